"""Wiring operations: reshape, permute, slice, take, concatenate, pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.program import ops


@handles(
    "alias", "clone", "contiguous", "detach", "lift_fresh_copy", "_to_copy", "to", "dropout", "native_dropout",
    "feature_dropout", "alpha_dropout", "type_as", "_assert_tensor_metadata",
)  # fmt: skip
def identity(b: Builder, out: Layout, x: Activation, *args: Any, **kwargs: Any) -> Activation:
    return x


@handles(
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as",
)  # fmt: skip
def reshape(b: Builder, out: Layout, x: Activation, *args: Any) -> Activation:
    # a batch of one: dropping its axis never changes the order of elements
    return b.reshaped(x, out)


@handles("expand", "expand_as", "broadcast_to")
def expand(b: Builder, out: Layout, x: Activation, *args: Any, **kwargs: Any) -> Activation:
    return b.expanded(x, out)


def _permuted(b: Builder, out: Layout, x: Activation, dims: Sequence[int]) -> Activation:
    dims = [dim % x.rank for dim in dims]
    axes = [dim - (x.batch is not None and dim > x.batch) for dim in dims if dim != x.batch]
    if axes == sorted(axes):
        return b.reshaped(x, out)
    return b.emit(ops.Permute(np.array(axes, np.int64)), [x], b.name("permute"), out)


@handles("permute", "movedim", "swapaxes", "transpose", "t", "numpy_T", "mT", "swapdims")
def permute(b: Builder, out: Layout, x: Activation, *args: Any, op: str) -> Activation:
    dims = list(range(x.rank))
    reference = (
        torch.empty(0).expand(*([0] * x.rank)) if not x.rank else torch.empty(tuple(range(2, 2 + x.rank)), device="meta")
    )
    if op == "numpy_T":
        dims.reverse()
    elif op == "mT":
        dims[-2:] = dims[:-3:-1]
    else:  # let torch itself say where each axis goes: the sizes are distinct
        moved = getattr(torch, op)(reference, *args)
        dims = [size - 2 for size in moved.shape]
    return _permuted(b, out, x, dims)


def _sliced(b: Builder, out: Layout, x: Activation, axis: int, start: int, stop: int, step: int = 1) -> Activation:
    if (start, stop, step) == (0, x.shape[axis], 1):
        return x
    return b.emit(ops.Slice(axis, start, stop, step), [x], b.name("slice"), out)


@handles("slice")
def slice_(
    b: Builder, out: Layout, x: Activation, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Activation:
    size = x.full_shape[dim]
    first, last, stride = slice(start, end, step).indices(size)
    if (dim % x.rank) in x.tied and (start or 0) == 0 and (end is None or end >= 2**31) and step == 1:
        return x  # the whole axis, which is the one tied to the batch
    return _sliced(b, out, x, x.axis(dim), first, last, stride)


def _parts(b: Builder, outs: list[Layout], x: Activation, dim: int, sizes: Sequence[int]) -> list[Activation]:
    axis, start, parts = x.axis(dim), 0, []
    for out, size in zip(outs, sizes, strict=True):
        parts.append(_sliced(b, out, x, axis, start, start + size))
        start += size
    return parts


@handles("split", "split_with_sizes", "chunk", "tensor_split")
def split(b: Builder, out: list[Layout], x: Activation, *args: Any, op: str, dim: int | None = None) -> list[Activation]:
    dim = dim if dim is not None else (args[1] if len(args) > 1 else 0)
    axis = x.axis(dim)
    return _parts(b, out, x, dim, [layout.shape[axis] for layout in out])


@handles("unbind")
def unbind(b: Builder, out: list[Layout], x: Activation, dim: int = 0) -> list[Activation]:
    return [select(b, layout, x, dim, i) for i, layout in enumerate(out)]


@handles("select")
def select(b: Builder, out: Layout, x: Activation, dim: int, index: int) -> Activation:
    axis = x.axis(dim)
    index %= x.shape[axis]
    kept = Layout((), x.batch, x.tied)
    return b.reshaped(_sliced(b, kept, x, axis, index, index + 1), out)


def _taken(b: Builder, out: Layout | Activation, x: Activation, axis: int, indices: Any) -> Activation:
    return b.emit(ops.Take(axis, np.asarray(indices, np.int64)), [x], b.name("take"), out)


@handles("index_select")
def index_select(b: Builder, out: Layout, x: Activation, dim: int, index: Tensor) -> Activation:
    return _taken(b, out, x, x.axis(dim), index.numpy())


@handles("flip")
def flip(b: Builder, out: Layout, x: Activation, dims: Sequence[int]) -> Activation:
    for dim in dims:
        axis = x.axis(dim)
        x = _taken(b, out, x, axis, np.arange(x.shape[axis])[::-1])
    return x


@handles("roll")
def roll(b: Builder, out: Layout, x: Activation, shifts: Sequence[int], dims: Sequence[int] = ()) -> Activation:
    if not dims:
        raise Refusal("rolls a flattened tensor, which mixes samples")
    for shift, dim in zip(shifts, dims, strict=True):
        axis = x.axis(dim)
        x = _taken(b, out, x, axis, np.roll(np.arange(x.shape[axis]), shift))
    return x


@handles("index")
def index(b: Builder, out: Layout, x: Activation, indices: Sequence[Tensor | None]) -> Activation:
    given = [(dim, i) for dim, i in enumerate(indices) if i is not None]
    if any(not isinstance(i, Tensor) for _, i in given):
        raise Refusal("is indexed by an activation")
    if len(given) > 1:  # several indices address one flattened axis, if they stand side by side
        dims = [dim for dim, _ in given]
        if dims != list(range(dims[0], dims[0] + len(dims))) or any(i.dtype == torch.bool for _, i in given):
            raise Refusal("is indexed along axes that do not stand side by side")
        axes = [x.axis(dim) for dim in dims]
        sizes = [x.shape[axis] for axis in axes]
        broadcast = np.broadcast_arrays(*(i.numpy() % size for (_, i), size in zip(given, sizes, strict=True)))
        flat = np.ravel_multi_index(tuple(broadcast), tuple(sizes))
        joined = (*x.shape[: axes[0]], int(np.prod(sizes)), *x.shape[axes[-1] + 1 :])
        x = b.reshaped(x, Layout(joined, x.batch, x.tied))
        return b.reshaped(_taken(b, out, x, axes[0], flat.ravel()), out)
    (dim, only), = given  # fmt: skip
    axis = x.axis(dim)
    chosen = only.nonzero().ravel() if only.dtype == torch.bool else only
    return b.reshaped(_taken(b, out, x, axis, chosen.numpy().ravel() % x.shape[axis]), out)


@handles("cat", "concatenate", "concat")
def cat(b: Builder, out: Layout, xs: Sequence[Activation | Tensor], dim: int = 0) -> Activation:
    xs = [x for x in xs if not (isinstance(x, Tensor) and x.numel() == 0)]
    rank = len(out.shape) + (out.batch is not None)
    axis = Activation("", out.shape, out.batch, out.tied).axis(dim % rank)
    raw = all(x.raw for x in xs if isinstance(x, Activation))
    joined = []
    for x in xs:
        if isinstance(x, Activation):
            joined.append(x if raw else b.settled(x))
        else:
            joined.append(b.constant(b.sample_array(x, out), b.name("constant"), out, raw))
    return b.emit(ops.Concat(tuple(x.name for x in joined), axis), joined, b.name("concat"), out)


@handles("stack")
def stack(b: Builder, out: Layout, xs: Sequence[Activation], dim: int = 0) -> Activation:
    if any(not isinstance(x, Activation) for x in xs):
        raise Refusal("stacks a constant")
    axis = Activation("", out.shape, out.batch, out.tied).axis(dim)
    one = (*out.shape[:axis], 1, *out.shape[axis + 1 :])
    parts = [b.settled(b.reshaped(x, Layout(one, out.batch, out.tied))) for x in xs]
    return b.emit(ops.Concat(tuple(x.name for x in parts), axis), parts, b.name("concat"), out)


@handles("repeat")
def repeat(b: Builder, out: Layout, x: Activation, repeats: Sequence[int]) -> Activation:
    lead = len(repeats) - x.rank
    if x.batch is None or any(r != 1 for r in repeats[:lead]) or repeats[lead + x.batch] != 1:
        raise Refusal("repeats along the batch")
    times = [r for i, r in enumerate(repeats[lead:]) if i != x.batch]
    for axis, count in enumerate(times):
        if count != 1:
            x = _taken(b, x, x, axis, np.tile(np.arange(x.shape[axis]), count))
    return b.reshaped(x, out)


@handles("constant_pad_nd", "pad")
def pad(b: Builder, out: Layout, x: Activation, pads: Sequence[int], *args: Any, value: float | None = None) -> Activation:
    modes = [a for a in args if isinstance(a, str)]
    numbers = [a for a in args if isinstance(a, int | float)]
    if modes and modes[0] != "constant":
        raise Refusal(f"pads by {modes[0]}")
    value = float(value if value is not None else (numbers[0] if numbers else 0.0))
    widths = np.zeros((len(x.shape), 2), np.int64)
    for i in range(len(pads) // 2):
        before, after = pads[2 * i], pads[2 * i + 1]
        if before or after:
            widths[x.axis(x.rank - 1 - i)] = before, after
    if (widths < 0).any():
        raise Refusal("pads by a negative width")
    if not widths.any():
        return x
    padded = b.emit(ops.Pad(widths), [x], b.name("pad"), out)
    if value == 0.0:
        return padded
    fill = np.pad(np.zeros(x.shape), widths.tolist(), constant_values=value)
    return b.added([padded, b.constant(b.array(torch.from_numpy(fill)), b.name("constant"), out, x.raw)], b.name("add"), out)


@handles("pixel_shuffle", "pixel_unshuffle", "channel_shuffle")
def pixel_shuffle(b: Builder, out: Layout, x: Activation, factor: int, op: str) -> Activation:
    if x.batch != 0 or len(x.shape) != 3:
        raise Refusal("expects (batch, channels, height, width)")
    channels, height, width = x.shape
    if op == "channel_shuffle":
        order = np.arange(channels).reshape(factor, -1).T.ravel()
        return _taken(b, out, x, 0, order)
    if op == "pixel_shuffle":
        split, axes = (channels // factor**2, factor, factor, height, width), (0, 3, 1, 4, 2)
    else:
        split, axes = (channels, height // factor, factor, width // factor, factor), (0, 2, 4, 1, 3)
    x = b.reshaped(x, Layout(split, None, frozenset()))
    x = b.emit(ops.Permute(np.array(axes, np.int64)), [x], b.name("permute"), x)
    return b.reshaped(x, out)
