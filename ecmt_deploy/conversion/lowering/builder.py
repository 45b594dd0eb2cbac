"""Building a program node by node: names, neurons, constants, and the batch axis that disappears."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.exactness import Exact, exact_of, exact_values
from ecmt_deploy.program import ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.inputs import NamedInput
from ecmt_deploy.program.ops import Op
from ecmt_deploy.program.verification import infer

Shape = tuple[int, ...]


class Refusal(Exception):  # noqa: N818 - not an error of its own: the driver collects refusals into one CaptureError
    """An operation cannot be lowered; the message says why."""


@dataclass(frozen=True)
class Layout:
    """Shape of a captured tensor, taken apart.

    Attributes
    ----------
    shape : its shape for one sample
    batch : where the captured tensor has its batch axis, which the sample lacks; ``None`` where the batch is part of a
        longer axis (k windows of every sample: k stays)
    tied : axes of the captured tensor whose size depends on the batch
    """

    shape: Shape
    batch: int | None
    tied: frozenset[int]

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

    def with_shape(self, *shape: int) -> Layout:
        """Another sample in the place of this one."""
        return Layout(shape, self.batch, self.tied)

    def with_axes(self, axis: int, *sizes: int, end: int | None = None) -> Layout:
        """The same with axes of these sizes in place of the sample's ``axis``, or of ``axis`` to ``end``."""
        return self.with_shape(*self.shape[:axis], *sizes, *self.shape[axis + 1 if end is None else end :])


@dataclass(frozen=True)
class Activation(Layout):
    """A value that depends on the input, as the lowering sees it.

    Attributes
    ----------
    name : node of the program that computes it for one sample
    raw : reached from the input through wiring, scales and constants alone, so that it enters once
    spiking : holds spikes only
    exact : what it holds, where it follows from tokens, masks and constants alone: such a stream is raw in whatever is computed
        of it, and needs no neuron
    """

    name: str
    raw: bool = False
    spiking: bool = False
    exact: Exact = Exact.NO

    def laid_out(self, like: Layout) -> Activation:
        """The same, its batch and tied axes those of ``like``."""
        return replace(self, batch=like.batch, tied=like.tied)


@dataclass
class Builder:
    """The program under construction.

    Attributes
    ----------
    coding : coding of the program
    dtype : floating dtype of constants and weights
    leaves : module paths without children: the first operation there takes the module's own name
    channel_axes : by neuron, the axis of its operand that counts as channel, where the consumer's weights can absorb a scale
    path : where in the model the captured operation stands that is being lowered
    copied : by what was broadcast, what it was before
    """

    coding: str
    dtype: torch.dtype
    leaves: frozenset[str]
    nodes: dict[str, Op] = field(default_factory=dict)
    operands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    channel_axes: dict[str, int | None] = field(default_factory=dict)
    path: str = ""
    copied: dict[str, Activation] = field(default_factory=dict)
    _neurons: dict[str, Activation] = field(default_factory=dict)
    _held: dict[str, Activation] = field(default_factory=dict)

    def name(self, suffix: str) -> str:
        """A fresh name under the current module: its own path for the principal operation of a leaf module."""
        if self.path in self.leaves and self.path not in self.nodes and _is_principal(suffix):
            return self.path
        return self.under(self.path, suffix)

    def under(self, owner: str, suffix: str) -> str:
        """A fresh name under the node or module ``owner``; an empty one is the model itself."""
        base = f"{owner}.{suffix}" if owner else suffix
        names = (base if count == 0 else f"{base}_{count}" for count in itertools.count())
        return next(name for name in names if name not in self.nodes)

    def emit(self, node: Op, sources: list[Activation], name: str, like: Layout) -> Activation:
        """Add ``node`` under ``name``; the result has the batch layout of ``like``."""
        self._place(name, node, tuple(source.name for source in sources))
        exact = exact_of(node, [source.exact for source in sources])
        return Activation(
            self.shapes[name],
            like.batch,
            like.tied,
            name,
            raw=bool(exact) or (node.passes_image and all(source.raw for source in sources)),
            spiking=node.role == "movement" and all(source.spiking for source in sources),
            exact=exact,
        )

    def _place(self, name: str, node: Op, operands: tuple[str, ...]) -> None:
        self.shapes[name] = infer(node, [self.shapes[operand] for operand in operands])
        self.nodes[name], self.operands[name] = node, operands

    def input(self, layout: Layout, entry: NamedInput) -> Activation:
        """An ``Input`` node."""
        node = ops.Input(input_type={"input": np.array(layout.shape)}, holds=entry.holds, limit=entry.limit)
        self._place(entry.name, node, ())
        exact = {"values": Exact.NO, "tokens": Exact.INTEGERS, "mask": Exact.BITS}[entry.holds]
        return Activation(layout.shape, layout.batch, layout.tied, entry.name, raw=True, exact=exact)

    def array(self, value: Tensor | float | bool) -> np.ndarray:
        """A constant as an array of the program's dtype: a copy, for whoever trains the model further changes it in place."""
        tensor = exact(value).detach()
        return torch.empty(tensor.shape, dtype=self.dtype).copy_(tensor).numpy()

    def constant(self, value: np.ndarray, name: str, like: Layout, raw: bool = False) -> Activation:
        """A ``Constant`` node; in the company of the raw input it enters once, as the input does.

        A value that was broadcast (a bias, to every token) stays so: it takes no memory until it is written to a file.
        """
        schedule = "first" if raw or self.coding == "differential" else "every"
        self._place(name, ops.Constant(value, schedule), ())
        return Activation(value.shape, like.batch, like.tied, name, raw=raw, exact=exact_values(value) if raw else Exact.NO)

    def sample_array(self, value: Any, layout: Layout) -> np.ndarray:
        """A constant operand that broadcasts against a captured tensor of ``layout``, without its batch axis."""
        array = self.array(value)
        axis = -1 if layout.batch is None else layout.batch - (layout.rank - array.ndim)
        if axis < 0:
            return array
        if array.shape[axis] != 1:
            raise Refusal(f"a constant of shape {array.shape} differs from sample to sample")
        return array.squeeze(axis)

    def settled(self, x: Activation) -> Activation:
        """``x`` as a stream that lasts: in rate coding what the image left once is held and repeated at every step."""
        if not x.raw or self.coding == "differential":
            return replace(x, raw=False, exact=Exact.NO)
        if x.name not in self._held:
            held = self.emit(ops.Hold(), [x], self.under(x.name, "hold"), x)
            self._held[x.name] = replace(held, raw=False, exact=Exact.NO)
        return self._held[x.name].laid_out(x)

    def alike(self, xs: list[Activation]) -> list[Activation]:
        """Operands of one node that is no synapse: as streams that last, unless all are exact and enter once."""
        return xs if all(x.exact for x in xs) else [self.settled(x) for x in xs]

    def spikes(self, x: Activation, consumer: str, channel_axis: int | None, suffix: str = "neuron") -> Activation:
        """``x`` through a multi-threshold neuron; consumers of one stream share it if they agree on its channels.

        What is exact needs none.
        """
        if x.spiking:
            return x
        if x.exact:
            return self.settled(x)
        x = self.settled(x)
        if x.name in self._neurons:
            shared = self._neurons[x.name]
            if self.channel_axes[shared.name] != channel_axis:
                self.channel_axes[shared.name] = None
            return shared.laid_out(x)
        spikes = replace(self.emit(unmeasured(self.array(0.0).dtype), [x], self.under(consumer, suffix), x), spiking=True)
        self.channel_axes[spikes.name] = channel_axis
        self._neurons[x.name] = spikes
        return spikes

    def reshaped(self, x: Activation, layout: Layout) -> Activation:
        """``x`` with the shape of ``layout``, row-major; nothing is added where the sample's shape stays."""
        return self._shaped(ops.Reshape, "reshape", x, layout)

    def expanded(self, x: Activation, layout: Layout) -> Activation:
        """``x`` broadcast to ``layout``."""
        expanded = self._shaped(ops.Expand, "expand", x, layout)
        self.copied.setdefault(expanded.name, x)
        return expanded

    def _shaped(self, op: Callable[[np.ndarray], Op], suffix: str, x: Activation, layout: Layout) -> Activation:
        if x.shape == layout.shape:
            return x.laid_out(layout)
        return self.emit(op(np.array(layout.shape, np.int64)), [x], self.name(suffix), layout)

    def taken(self, x: Activation, axis: int, indices: Any, layout: Layout) -> Activation:
        """Elements of an axis of the sample by constant numbers; the batch as in ``layout``."""
        return self.emit(ops.Take(axis, np.asarray(indices, np.int64)), [x], self.name("take"), layout)

    def reordered(self, x: Activation, axes: Sequence[int], layout: Layout) -> Activation:
        """Axes of the sample in another order; the batch as in ``layout``."""
        return self.emit(ops.Permute(np.array(axes, np.int64)), [x], self.name("permute"), layout)

    def added(self, xs: list[Activation], name: str, layout: Layout) -> Activation:
        """The sum of activations of one shape."""
        if not all(x.raw for x in xs):
            xs = [self.settled(x) for x in xs]
        return self.emit(ops.Add(tuple(x.name for x in xs)), xs, name, layout)

    def scaled(self, x: Activation, scale: np.ndarray, name: str, layout: Layout) -> Activation:
        """``scale * x``, as the standard node where shapes are equal."""
        if np.broadcast_shapes(scale.shape, layout.shape) != layout.shape:
            raise Refusal(f"a constant of shape {scale.shape} scales an activation of shape {layout.shape}")
        x = self.expanded(x, layout)
        scale = np.asarray(scale, order="C")  # a scalar keeps its shape
        node = ops.Scale(scale) if scale.shape == x.shape else ops.BroadcastScale(scale)
        return self.emit(node, [x], name, layout)


def unmeasured(dtype: np.dtype) -> ops.MultiThreshold:
    """A neuron in its place: what it is, and its bases, a preset finds out later."""
    one = np.ones((), dtype)
    return ops.MultiThreshold(one, one.copy(), 1, "nearest", 0.74)


def exact(value: Any) -> Tensor:
    """A constant as a tensor; a Python number keeps all its digits until it is cast to the program's dtype."""
    if isinstance(value, Activation):
        raise Refusal("has a parameter that depends on the input")
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def same_number(value: Any) -> float | None:
    """The number that a constant is everywhere; ``None`` where it is an activation, has no elements, or is several numbers."""
    if isinstance(value, Activation):
        return None
    values = exact(value).flatten()
    return float(values[0]) if values.numel() and bool((values == values[0]).all()) else None


#: operations that carry a leaf module's name; everything else there is named after itself
_PRINCIPAL = ("linear", "conv1d", "conv2d", "conv3d", "scale", "mean", "embedding")


def _is_principal(suffix: str) -> bool:
    """Whether a module without children is this operation, and what else it does is added to it."""
    return suffix in _PRINCIPAL or (suffix in FUNCTIONS and not FUNCTIONS[suffix].elementary)
