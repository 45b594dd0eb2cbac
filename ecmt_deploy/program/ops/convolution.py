"""Convolutions of (C, length) and (C, H, W), which have no bias: a bias is an added constant."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd, prod
from typing import Any, ClassVar

import nir
import numpy as np

from ecmt_deploy.kernels.base import Site, cast
from ecmt_deploy.kernels.integers import within
from ecmt_deploy.kernels.streams import MACS_PER_ELEMENT, WHOLE, Part, Stream
from ecmt_deploy.program.ops.base import Require, Shape, Work, fits, register, trait
from ecmt_deploy.program.ops.format import Weighted
from ecmt_deploy.program.ops.linear import IntegerSynapses, SynapseKernel, Synapses
from ecmt_deploy.program.ops.share import Share, box
from ecmt_deploy.program.ops.windows import listed_windows


def convolution(node: Any) -> dict[str, Any]:
    """Stride, padding and dilation (one per spatial axis) and groups of a convolution node, as plain integers."""
    axes = node.weight.ndim - 2
    values: dict[str, Any] = {"groups": int(node.groups)}
    for name in ("stride", "padding", "dilation"):
        value = np.broadcast_to(np.asarray(getattr(node, name), dtype=np.int64), (axes,))
        values[name] = tuple(int(v) for v in value)
    return values


class ConvKernel(SynapseKernel):
    """One dimension runs as two."""

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.weight = cast(node.weight, dtype)
        p = convolution(node)
        self.stride, self.padding, self.dilation, self.groups = p["stride"], p["padding"], p["dilation"], p["groups"]
        self.line = node.weight.ndim == 3
        if self.line:
            self.weight = self.weight[:, :, None]
            self.stride, self.padding, self.dilation = (1, *self.stride), (0, *self.padding), (1, *self.dilation)
        self.dense_macs = self.accesses(np.ones(site.operand_shapes[0], bool))

    def _planes(self, x: np.ndarray) -> np.ndarray:
        return x[:, None] if self.line else x

    def _windows(self, x: np.ndarray) -> np.ndarray:
        """Windows (C, H', W', kh, kw) of the padded planes, without a copy."""
        (ph, pw), (sh, sw), (dh, dw) = self.padding, self.stride, self.dilation
        kh, kw = self.weight.shape[2:]
        x = np.pad(self._planes(x), ((0, 0), (ph, ph), (pw, pw)))
        window = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
        view: np.ndarray = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))  # type: ignore[call-overload]
        return view[:, ::sh, ::sw, ::dh, ::dw]

    def accesses(self, mask: np.ndarray) -> int:
        """True taps, padding excluded."""
        return int(np.count_nonzero(self._windows(mask))) * (self.weight.shape[0] // self.groups)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        self.count(x)
        reached = self._windows(x.changed).any(axis=(3, 4))  # (C, H', W'): by input channel
        by_group = reached.reshape(self.groups, -1, *reached.shape[1:]).any(axis=1)
        changed = np.repeat(by_group, self.weight.shape[0] // self.groups, axis=0).reshape(self.site.shape)
        if not by_group.any():
            return Stream(self.zeros(self.site.shape), changed)
        windows = self._windows(x.value.astype(self.weight.dtype, copy=False))
        weights, taken = (np.split(array, self.groups) for array in (self.weight, windows))
        total = np.concatenate([self._group(*of_group) for of_group in zip(weights, taken, by_group, strict=True)])
        return Stream(self.sent(total.reshape(self.site.shape), WHOLE), changed)

    def _group(self, weight: np.ndarray, windows: np.ndarray, reached: np.ndarray) -> np.ndarray:
        """The sums of one group's output channels, (out, H', W'), at positions that an event reached."""
        part = Part(reached, weight.size // MACS_PER_ELEMENT)
        taken = windows if part.rows is None else windows[:, part.rows]
        total: np.ndarray = np.tensordot(weight, taken, axes=([1, 2, 3], [0, -2, -1]))
        return total if part.rows is None else np.moveaxis(part.spread(total.T, (*reached.shape, len(weight))), -1, 0)


class IntegerConvKernel(IntegerSynapses, ConvKernel):
    """Integer kernels; multiplier and shift (out channels,)."""


class IntegerWindowsKernel(IntegerConvKernel):
    """Windows that are listed instead of a plane they slide over."""

    def _windows(self, x: np.ndarray) -> np.ndarray:
        taken: np.ndarray = np.append(x.ravel(), x.dtype.type(0))[self.node.windows]
        return taken


@dataclass(eq=False, repr=False)
class Windows(Synapses):
    """A core's share of a convolution: some output channels at some positions.

    Attributes
    ----------
    weight : (out, channels of a group, 1, taps)
    windows : which element of the operand (flat) stands under each tap of each window, -1 in the padding:
        (channels, 1, positions, 1, taps)
    groups : groups of channels, all of as many outputs
    """

    weight: np.ndarray
    windows: np.ndarray
    groups: int

    fields = {"weight": "floats", "windows": "ints", "groups": "int"}
    layer = "convolution"
    integer_kernel = IntegerWindowsKernel
    stride = dilation = 1
    padding = 0

    def check_format(self, require: Require) -> None:
        weight, taken, groups = self.weight, self.windows, self.groups
        sound = weight.ndim == 4 and weight.shape[2] == 1 and 1 <= groups <= len(weight) and len(weight) % groups == 0
        require(sound, "weight", f"of shape {weight.shape} in {groups} groups", "(out, channels of a group, 1, taps)")
        expected = (weight.shape[1] * groups, 1, taken.shape[2] if taken.ndim == 5 else 0, 1, weight.shape[3])
        require(taken.shape == expected and taken.size > 0, "windows", f"of shape {taken.shape}", f"{expected}")
        super().check_format(require)

    def infer(self, x: Shape) -> Shape:
        least, most = int(self.windows.min()), int(self.windows.max())
        fits(least >= -1 and most < prod(x), f"windows name elements {least} to {most} of an operand of {prod(x)}")
        return (len(self.weight), 1, self.windows.shape[2])

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work(int(np.count_nonzero(self.windows >= 0)) * (len(self.weight) // self.groups), ((0, prod(shape)),))


@dataclass(eq=False, repr=False)
class Convolving(Synapses):
    """Base of all convolutions of (C, places), whose kernels (out, in / groups, taps) look at places through windows.

    Attributes
    ----------
    spatial_axes : over how many axes windows slide; ``None`` where they are listed
    """

    spatial_axes: ClassVar[int | None] = None
    layer = "convolution"
    under = trait("place of the operand under each tap of each place of its stream, -1 in the padding: (places, taps)")

    def share(self, elements: np.ndarray, shape: Shape, *operands: Shape) -> Share:
        """What lies under the windows of its positions, and the weights of its channels."""
        node: Any = self
        form: Weighted = self.format
        (operand,), out = operands, len(node.weight)
        channels, positions = box(elements, out, prod(shape[1:]))
        groups = int(node.groups)
        of_group = channels // (out // groups)
        here, counts = np.unique(of_group, return_counts=True)
        blocks = here if (counts == counts[0]).all() else of_group  # otherwise each output is a group of its own
        taken = node.weight.shape[1]
        reads = (blocks[:, None] * taken + np.arange(taken)).ravel()  # channel of the operand, block after block
        under = self.under(operand[1:], shape[1:])[positions]
        seen, kept = np.unique(under[under >= 0]), np.unique(reads)
        column = np.where(under >= 0, np.searchsorted(seen, under), -1)
        index = np.where(column >= 0, np.searchsorted(kept, reads)[:, None, None] * len(seen) + column, -1)
        weight = node.weight[channels].reshape(len(channels), taken, 1, -1)
        part = Windows(weight, index[:, None, :, None, :], len(blocks), format=form.of(channels))
        made = channels[:, None, None] * prod(shape[1:]) + positions
        return Share(part, made, (kept[:, None] * prod(operand[1:]) + seen,))


@dataclass(eq=False, repr=False)
class Convolution(Convolving):
    """Base of both whose windows slide: stride, padding and dilation are one integer, or one per spatial axis."""

    spatial_axes: ClassVar[int]
    fields = {
        "input_shape": "ints", "weight": "floats", "stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int",
        "bias": "floats",
    }  # fmt: skip
    kernel, integer_kernel = ConvKernel, IntegerConvKernel

    def settle(self, require: Require) -> None:
        node: Any = self
        for field in ("stride", "padding", "dilation"):
            value = getattr(node, field)
            known = value.shape in ((), (1,), (self.spatial_axes,))
            require(known, field, value.tolist(), f"{self.spatial_axes} integers")
            each = tuple(np.broadcast_to(value, (self.spatial_axes,)).tolist())
            setattr(node, field, each[0] if self.spatial_axes == 1 else each)
        if self.spatial_axes == 2 and node.input_shape is not None:
            node.input_shape = tuple(node.input_shape.ravel().tolist())

    def fit(self, shape: Shape) -> None:
        node: Any = self
        if node.input_shape is None:
            node.input_shape = shape[1] if self.spatial_axes == 1 and len(shape) > 1 else shape[1:]

    def check(self, require: Require) -> None:
        super().check(require)
        self._check_kernels(require)

    def check_format(self, require: Require) -> None:
        self._check_kernels(require)
        super().check_format(require)
        for field, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            value = np.asarray(convolution(self)[field])
            require(within(value, least, 2**20), field, value.tolist(), f"{self.spatial_axes} integers of at least {least}")

    def _check_kernels(self, require: Require) -> None:
        node: Any = self
        require(
            node.weight.ndim == self.spatial_axes + 2,
            "weight",
            f"of shape {node.weight.shape}",
            f"{self.spatial_axes + 2} axes",
        )
        require(node.groups >= 1, "groups", node.groups, "at least 1")
        require(not np.any(node.bias), "bias", "not zero", "zeros (a bias is an added Constant)")
        require(node.bias.shape == node.weight.shape[:1], "bias", f"of shape {node.bias.shape}", "one per output channel")

    def infer(self, x: Shape) -> Shape:
        node: Any = self
        axes = node.weight.ndim - 2
        fits(axes == self.spatial_axes, f"weight of shape {node.weight.shape}")
        fits(len(x) == axes + 1, f"operand {x}, expected (channels, {axes} spatial axes)")
        declared = tuple(int(size) for size in np.atleast_1d(node.input_shape)) if node.input_shape is not None else x[1:]
        fits(declared == x[1:], f"input_shape is {declared}, the operand {x}")
        p = convolution(node)
        groups = p["groups"]
        fits(isinstance(groups, int) and groups > 0 and x[0] == node.weight.shape[1] * groups, f"operand {x}: channels")
        fits(node.weight.shape[0] % groups == 0, f"{node.weight.shape[0]} output channels in {groups} groups")
        out = []
        for size, kernel, stride, padding, dilation in zip(
            x[1:], node.weight.shape[2:], p["stride"], p["padding"], p["dilation"], strict=True
        ):
            fits(stride > 0 and padding >= 0 and dilation > 0, "stride, padding or dilation out of range")
            out.append((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
        fits(all(size > 0 for size in out), f"operand {x} is smaller than the kernel")
        return (node.weight.shape[0], *out)

    def under(self, operand: Shape, shape: Shape) -> np.ndarray:
        node: Any = self
        p = convolution(node)
        return listed_windows(operand, shape, node.weight.shape[2:], p["stride"], p["padding"], p["dilation"])

    def work(self, shape: Shape, x: Shape) -> Work:
        node: Any = self
        p = convolution(node)
        per_group = node.weight.shape[0] // p["groups"]
        taps, most = x[0] * per_group, per_group
        for size, out, kernel, stride, padding, dilation in zip(
            x[1:], shape[1:], node.weight.shape[2:], p["stride"], p["padding"], p["dilation"], strict=True
        ):
            starts = np.arange(kernel) * dilation - padding  # where a tap looks from the first window
            first, last = np.maximum(-(starts // stride), 0), np.minimum((size - 1 - starts) // stride, out - 1)
            taps *= int(np.maximum(last - first + 1, 0).sum())
            most *= ceil(kernel * gcd(stride, dilation) / stride)  # the taps of one position stand so far apart
        return Work(taps, ((0, most),))


@register
@dataclass(eq=False, repr=False)
class Conv1d(Convolution, nir.Conv1d):
    """Convolution of (C, length)."""

    spatial_axes = 1
    fields = {**Convolution.fields, "input_shape": "int"}


@register
@dataclass(eq=False, repr=False)
class Conv2d(Convolution, nir.Conv2d):
    """Convolution of (C, H, W)."""

    spatial_axes = 2
