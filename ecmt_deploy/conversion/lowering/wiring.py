"""Wiring operations: reshape, permute, slice, take, concatenate, pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.resampling import padded
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.program import ops


@handles(
    "alias", "clone", "contiguous", "detach", "lift_fresh_copy", "dropout", "native_dropout",
    "feature_dropout", "alpha_dropout", "type_as", "_assert_tensor_metadata",
)  # fmt: skip
def identity(b: Builder, out: Layout, x: Activation, *args: Any) -> Activation:
    return x


@handles(
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as",
)  # fmt: skip
def reshape(b: Builder, out: Layout, x: Activation, *args: Any) -> Activation:
    # a batch of one: dropping its axis never changes the order of elements
    return b.reshaped(x, out)


@handles("expand", "expand_as", "broadcast_to")
def expand(b: Builder, out: Layout, x: Activation, *args: Any) -> Activation:
    return b.expanded(x, out)


@handles("permute", "movedim", "swapaxes", "transpose", "t", "numpy_T", "mT", "swapdims")
def permute(b: Builder, out: Layout, x: Activation, *args: Any, op: str) -> Activation:
    # torch itself says where each axis goes: the sizes are distinct
    moved = getattr(torch.ops.aten, op)(torch.empty(tuple(range(x.rank)), device="meta"), *args)
    axes = [dim - (x.batch is not None and dim > x.batch) for dim in moved.shape if dim != x.batch]
    if axes == sorted(axes):
        return b.reshaped(x, out)
    return b.reordered(x, axes, out)


def _sliced(b: Builder, out: Layout, x: Activation, axis: int, start: int, stop: int, step: int = 1) -> Activation:
    if (start, stop, step) == (0, x.shape[axis], 1):
        return x
    return b.emit(ops.Slice(axis, start, stop, step), [x], b.name("slice"), out)


@handles("slice")
def slice_(b: Builder, out: Layout, x: Activation, dim: int, start: int | None, end: int | None, step: int) -> Activation:
    first, last, stride = slice(start, end, step).indices(x.full_shape[dim])
    if (dim % x.rank) in x.tied and (start or 0) == 0 and (end is None or end >= 2**31) and step == 1:
        return x  # the whole axis, which is the one tied to the batch
    return _sliced(b, out, x, x.axis(dim), first, last, stride)


@handles("split", "split_with_sizes", "chunk", "tensor_split")
def split(b: Builder, out: list[Layout], x: Activation, sizes: Any, dim: int) -> list[Activation]:
    axis = x.axis(dim)
    ends = np.cumsum([layout.shape[axis] for layout in out]).tolist()
    return [_sliced(b, layout, x, axis, end - layout.shape[axis], end) for layout, end in zip(out, ends, strict=True)]


@handles("unbind")
def unbind(b: Builder, out: list[Layout], x: Activation, dim: int) -> list[Activation]:
    return [select(b, layout, x, dim, i) for i, layout in enumerate(out)]


@handles("select")
def select(b: Builder, out: Layout, x: Activation, dim: int, index: int) -> Activation:
    axis = x.axis(dim)
    index %= x.shape[axis]
    return b.reshaped(_sliced(b, x, x, axis, index, index + 1), out)


@handles("flip")
def flip(b: Builder, out: Layout, x: Activation, dims: Sequence[int]) -> Activation:
    for dim in dims:
        axis = x.axis(dim)
        x = b.taken(x, axis, np.arange(x.shape[axis])[::-1], out)
    return x


@handles("roll")
def roll(b: Builder, out: Layout, x: Activation, shifts: Sequence[int], dims: Sequence[int] = ()) -> Activation:
    if not dims:
        raise Refusal("rolls a flattened tensor, which mixes samples")
    for shift, dim in zip(shifts, dims, strict=True):
        axis = x.axis(dim)
        x = b.taken(x, axis, np.roll(np.arange(x.shape[axis]), shift), out)
    return x


@handles("cat", "concatenate", "concat")
def cat(b: Builder, out: Layout, xs: Sequence[Activation | Tensor], dim: int) -> Activation:
    xs = [x for x in xs if not (isinstance(x, Tensor) and x.numel() == 0)]
    raw = all(x.raw for x in xs if isinstance(x, Activation))
    joined = [x if isinstance(x, Activation) else b.constant(b.sample_array(x, out), b.name("constant"), out, raw) for x in xs]
    return _joined(b, out, joined if raw else b.alike(joined), out.axis(dim))


@handles("stack")
def stack(b: Builder, out: Layout, xs: Sequence[Activation], dim: int) -> Activation:
    if any(not isinstance(x, Activation) for x in xs):
        raise Refusal("stacks a constant")
    axis = out.axis(dim)
    return _joined(b, out, b.alike([b.reshaped(x, out.with_axes(axis, 1)) for x in xs]), axis)


def _joined(b: Builder, out: Layout, xs: list[Activation], axis: int) -> Activation:
    return b.emit(ops.Concat(tuple(x.name for x in xs), axis), xs, b.name("concat"), out)


@handles("repeat")
def repeat(b: Builder, out: Layout, x: Activation, repeats: Sequence[int]) -> Activation:
    lead = len(repeats) - x.rank
    if x.batch is None or any(r != 1 for r in repeats[:lead]) or repeats[lead + x.batch] != 1:
        raise Refusal("repeats along the batch")
    times = [r for i, r in enumerate(repeats[lead:]) if i != x.batch]
    for axis, count in enumerate(times):
        if count != 1:
            x = b.taken(x, axis, np.tile(np.arange(x.shape[axis]), count), x)
    return b.reshaped(x, out)


@handles("repeat_interleave")
def repeat_interleave(
    b: Builder, out: Layout, x: Activation, repeats: int, dim: int | None = None, *args: Any
) -> Activation:  # fmt: skip
    """Every element of an axis so many times in a row. Of the batch axis it is every sample: so many copies stand in each."""
    if not isinstance(repeats, int) or dim is None:
        raise Refusal("repeats elements of a flattened tensor, or each as often as a tensor says")
    if repeats == 1:
        return x.laid_out(out)
    if dim % x.rank == x.batch:
        lead = b.reshaped(x, x.with_shape(*x.shape[: x.batch], 1, *x.shape[x.batch :]))
        return b.expanded(lead, out)
    axis = dim % x.rank - (x.batch is not None and dim % x.rank > x.batch)  # copies of windows stay within their sample
    return b.taken(x, axis, np.repeat(np.arange(x.shape[axis]), repeats), out)


@handles("constant_pad_nd", "pad")
def pad(b: Builder, out: Layout, x: Activation, pads: Sequence[int], *how: Any) -> Activation:
    mode, value = how if len(how) == 2 else ("constant", *how)
    if mode != "constant":
        return padded(b, x, pads, mode)
    value = float(value or 0.0)
    widths = np.zeros((len(x.shape), 2), np.int64)
    for i, both in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        if any(both):
            widths[x.axis(x.rank - 1 - i)] = both
    for axis, (before, after) in enumerate(np.minimum(widths, 0).tolist()):  # a negative width cuts off
        x = _sliced(b, x.with_axes(axis, x.shape[axis] + before + after), x, axis, -before, x.shape[axis] + after)
    widths = np.maximum(widths, 0)
    if not widths.any():
        return x.laid_out(out)
    wider = b.emit(ops.Pad(widths), [x], b.name("pad"), out)
    if value == 0.0:
        return wider
    wider = b.settled(wider) if np.isinf(value) else wider  # a mask is not held
    fill = np.pad(np.zeros(x.shape), widths.tolist(), constant_values=value)
    constant = b.constant(b.array(torch.from_numpy(fill)), b.name("constant"), out, wider.raw)
    return b.added([wider, constant], b.name("add"), out)


@handles("pixel_shuffle", "pixel_unshuffle", "channel_shuffle")
def pixel_shuffle(b: Builder, out: Layout, x: Activation, factor: int, op: str) -> Activation:
    if op == "channel_shuffle":
        channel = x.axis(1)
        order = np.arange(x.shape[channel]).reshape(factor, -1).T.ravel()
        return b.taken(x, channel, order, out)
    first, *_ = (x.axis(axis) for axis in (-3, -2, -1))
    channels, height, width = x.shape[first:]
    if op == "pixel_shuffle":
        split, axes = (channels // factor**2, factor, factor, height, width), (0, 3, 1, 4, 2)
    else:
        split, axes = (channels, height // factor, factor, width // factor, factor), (0, 2, 4, 1, 3)
    x = b.reshaped(x, Layout((*x.shape[:first], *split), None, frozenset()))
    return b.reshaped(b.reordered(x, (*range(first), *(first + axis for axis in axes)), x), out)
