"""Building a program node by node: names, neurons, constants, and the batch axis that disappears."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.program import ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.ops import Op
from ecmt_deploy.program.verification import infer

Shape = tuple[int, ...]


class Refusal(Exception):  # noqa: N818 - not an error of its own: the driver collects refusals into one CaptureError
    """An operation cannot be lowered; the message says why."""


@dataclass(frozen=True)
class Activation:
    """A value that depends on the input, as the lowering sees it.

    Attributes
    ----------
    name : node of the program that computes it for one sample
    shape : its shape for one sample
    batch : where the captured tensor has its batch axis, which the sample lacks; ``None`` where the batch is part of a
        longer axis (k windows of every sample: k stays)
    tied : axes of the captured tensor whose size depends on the batch
    raw : reached from the input through wiring, scales and constants alone
    spiking : holds spikes only
    """

    name: str
    shape: Shape
    batch: int | None
    tied: frozenset[int]
    raw: bool = False
    spiking: bool = False

    @property
    def rank(self) -> int:
        """Axes of the captured tensor."""
        return len(self.shape) + (self.batch is not None)

    @property
    def full_shape(self) -> Shape:
        """Shape of the captured tensor for a batch of one."""
        if self.batch is None:
            return self.shape
        return (*self.shape[: self.batch], 1, *self.shape[self.batch :])

    def axis(self, axis: int) -> int:
        """Axis of the sample for an axis of the captured tensor; refuses one that mixes samples."""
        axis %= max(self.rank, 1)
        if axis in self.tied:
            raise Refusal(f"works along axis {axis}, which is tied to the batch")
        return axis - (self.batch is not None and axis > self.batch)


@dataclass(frozen=True)
class Layout:
    """Shape of a captured tensor, taken apart: per sample shape, batch axis, axes tied to the batch."""

    shape: Shape
    batch: int | None
    tied: frozenset[int]


@dataclass
class Site:
    """A neuron's place: the axis of its operand that counts as channel, where the consumer's weights can absorb a scale."""

    channel_axis: int | None


@dataclass
class Builder:
    """The program under construction.

    Attributes
    ----------
    coding : coding of the program
    dtype : floating dtype of constants and weights
    leaves : module paths without children: the first operation there takes the module's own name
    """

    coding: str
    dtype: torch.dtype
    leaves: frozenset[str]
    nodes: dict[str, Op] = field(default_factory=dict)
    operands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    path: str = ""
    _neurons: dict[str, Activation] = field(default_factory=dict)
    _held: dict[str, Activation] = field(default_factory=dict)

    def name(self, suffix: str) -> str:
        """A fresh name under the current module: its own path for the principal operation of a leaf module."""
        base = f"{self.path}.{suffix}" if self.path else suffix
        if self.path in self.leaves and self.path not in self.nodes and _is_principal(suffix):
            return self.path
        name, count = base, 0
        while name in self.nodes:
            count += 1
            name = f"{base}_{count}"
        return name

    def under(self, owner: str, suffix: str) -> str:
        """A fresh name under the node ``owner``."""
        name, count = f"{owner}.{suffix}", 0
        while name in self.nodes:
            count += 1
            name = f"{owner}.{suffix}_{count}"
        return name

    def emit(self, node: Op, sources: list[Activation], name: str, like: Layout | Activation) -> Activation:
        """Add ``node`` under ``name``; the result has the batch layout of ``like``."""
        self._place(name, node, tuple(source.name for source in sources))
        return Activation(
            name,
            self.shapes[name],
            like.batch,
            like.tied,
            raw=node.passes_image and all(source.raw for source in sources),
            spiking=node.role == "movement" and all(source.spiking for source in sources),
        )

    def _place(self, name: str, node: Op, operands: tuple[str, ...]) -> None:
        self.shapes[name] = infer(node, [self.shapes[operand] for operand in operands])
        self.nodes[name], self.operands[name] = node, operands

    def input(self, layout: Layout) -> Activation:
        """The ``Input`` node."""
        self._place("input", ops.Input(input_type={"input": np.array(layout.shape)}), ())
        return Activation("input", layout.shape, layout.batch, layout.tied, raw=True)

    def array(self, value: Tensor | float | bool) -> np.ndarray:
        """A constant as an array of the program's dtype: a copy, for whoever trains the model further changes it in place."""
        tensor = exact(value).detach()
        return torch.empty(tensor.shape, dtype=self.dtype).copy_(tensor).numpy()

    def constant(self, value: np.ndarray, name: str, like: Activation | Layout, raw: bool = False) -> Activation:
        """A ``Constant`` node; in the company of the raw input it enters once, as the input does.

        A value that was broadcast (a bias, to every token) stays so: it takes no memory until it is written to a file.
        """
        schedule = "first" if raw or self.coding == "differential" else "every"
        self._place(name, ops.Constant(value, schedule), ())
        return Activation(name, value.shape, like.batch, like.tied, raw=raw)

    def sample_array(self, value: Any, layout: Layout | Activation) -> np.ndarray:
        """A constant operand that broadcasts against a captured tensor of ``layout``, without its batch axis."""
        array = self.array(value)
        if layout.batch is None:
            return array
        rank = len(layout.shape) + 1
        axis = layout.batch - (rank - array.ndim)
        if axis < 0:
            return array
        if array.shape[axis] != 1:
            raise Refusal(f"a constant of shape {array.shape} differs from sample to sample")
        return array.squeeze(axis)

    def settled(self, x: Activation) -> Activation:
        """``x`` as a stream that lasts: in rate coding what the image left once is held and repeated at every step."""
        if not x.raw or self.coding == "differential":
            return replace(x, raw=False)
        if x.name not in self._held:
            self._held[x.name] = self.emit(ops.Hold(), [x], self.under(x.name, "hold"), x)
        return replace(self._held[x.name], batch=x.batch, tied=x.tied)

    def spikes(self, x: Activation, consumer: str, channel_axis: int | None, suffix: str = "neuron") -> Activation:
        """``x`` through a multi-threshold neuron; consumers of one stream share it if they agree on its channels."""
        if x.spiking:
            return x
        x = self.settled(x)
        if x.name in self._neurons:
            shared = self._neurons[x.name]
            if self.sites[shared.name].channel_axis != channel_axis:
                self.sites[shared.name].channel_axis = None
            return replace(shared, batch=x.batch, tied=x.tied)
        one = np.ones((), self.array(0.0).dtype)
        neuron = ops.MultiThreshold(one, one.copy(), 1, "nearest", 0.74)  # bases are measured later
        spikes = replace(self.emit(neuron, [x], self.under(consumer, suffix), x), spiking=True)
        self.sites[spikes.name] = Site(channel_axis)
        self._neurons[x.name] = spikes
        return spikes

    def reshaped(self, x: Activation, layout: Layout) -> Activation:
        """``x`` with the shape of ``layout``, row-major; nothing is added where the sample's shape stays."""
        if x.shape == layout.shape:
            return replace(x, batch=layout.batch, tied=layout.tied)
        return self.emit(ops.Reshape(np.array(layout.shape, np.int64)), [x], self.name("reshape"), layout)

    def expanded(self, x: Activation, layout: Layout | Activation) -> Activation:
        """``x`` broadcast to ``layout``."""
        if x.shape == layout.shape:
            return replace(x, batch=layout.batch, tied=layout.tied)
        return self.emit(ops.Expand(np.array(layout.shape, np.int64)), [x], self.name("expand"), layout)

    def added(self, xs: list[Activation], name: str, layout: Layout | Activation) -> Activation:
        """The sum of activations of one shape."""
        if not all(x.raw for x in xs):
            xs = [self.settled(x) for x in xs]
        return self.emit(ops.Add(tuple(x.name for x in xs)), xs, name, layout)

    def scaled(self, x: Activation, scale: np.ndarray, name: str, layout: Layout | Activation) -> Activation:
        """``scale * x``, as the standard node where shapes are equal."""
        if np.broadcast_shapes(scale.shape, layout.shape) != layout.shape:
            raise Refusal(f"a constant of shape {scale.shape} scales an activation of shape {layout.shape}")
        x = self.expanded(x, layout)
        scale = np.ascontiguousarray(scale)
        node = ops.Scale(scale) if scale.shape == x.shape else ops.BroadcastScale(scale)
        return self.emit(node, [x], name, layout)


def exact(value: Any) -> Tensor:
    """A constant as a tensor; a Python number keeps all its digits until it is cast to the program's dtype."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


#: operations that carry a leaf module's name; everything else there is named after itself
_PRINCIPAL = ("linear", "conv1d", "conv2d", "scale", "mean")


def _is_principal(suffix: str) -> bool:
    """Whether a module without children is this operation, and what else it does is added to it."""
    return suffix in _PRINCIPAL or (suffix in FUNCTIONS and not FUNCTIONS[suffix].elementary)
