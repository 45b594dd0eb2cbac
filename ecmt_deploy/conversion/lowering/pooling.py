"""Average pooling over one to three axes, as means, sums of shifted copies, or fixed sums of few taps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout
from ecmt_deploy.conversion.lowering.resampling import each_axis
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.program import ops


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """One number for each axis, where one for all may stand."""
    return tuple(np.broadcast_to(value, (axes,)).tolist())


def _pooled_axes(x: Activation, op: str) -> list[int]:
    """Axes of the sample that an operation named after their number pools: the last ones."""
    axes = int(op[-2])
    return [x.axis(x.rank - axes + i) for i in range(axes)]


def _mean_of_blocks(b: Builder, out: Layout, x: Activation, axes: list[int], kernel: tuple[int, ...]) -> Activation:
    """Windows that lie side by side."""
    first = axes[0]
    parts = [part for axis, k in zip(axes, kernel, strict=True) for part in (x.shape[axis] // k, k)]
    x = b.reshaped(b.settled(x), x.with_axes(first, *parts, end=first + len(axes)))
    over = first + 1 + 2 * np.arange(len(axes))
    return b.reshaped(b.emit(ops.Mean(over, False), [x], b.name("mean"), out), out)


@handles(*(f"{how}avg_pool{axes}d" for how in ("adaptive_", "_adaptive_") for axes in (1, 2, 3)))
def adaptive_avg_pool(b: Builder, out: Layout, x: Activation, size: Any, op: str) -> Activation:
    """To a size; where it does not divide what is averaged, windows overlap and differ in length."""
    axes = _pooled_axes(x, op)
    if not any(x.shape[axis] % out.shape[axis] for axis in axes):
        return _mean_of_blocks(b, out, x, axes, tuple(x.shape[axis] // out.shape[axis] for axis in axes))
    matrices = {
        axis: F.adaptive_avg_pool1d(torch.eye(x.shape[axis], dtype=torch.float64), out.shape[axis]).T.numpy() for axis in axes
    }
    return each_axis(b, b.settled(x), matrices)


@handles("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    b: Builder, out: Layout, x: Activation, size: Any, stride: Any, padding: Any, *counting: Any, op: str
) -> Activation:  # fmt: skip
    axes = _pooled_axes(x, op)
    n = len(axes)
    kernel, padding = per_axis(size, n), per_axis(padding, n)
    stride = per_axis(stride or kernel, n)
    spatial = [x.shape[axis] for axis in axes]
    if stride == kernel and not any(padding) and not any(s % k for s, k in zip(spatial, kernel, strict=True)):
        return _mean_of_blocks(b, out, x, axes, kernel)
    ones = torch.ones((1, 1, *spatial), dtype=torch.float64)
    share = getattr(F, op)(ones, kernel, stride, padding, *counting)[0, 0]  # of the window that is no padding
    return _overlapping(b, out, x, axes, share.numpy(), kernel, stride, padding)


def _overlapping(
    b: Builder, out: Layout, x: Activation, axes: list[int], share: np.ndarray, kernel: tuple[int, ...],
    stride: tuple[int, ...], padding: tuple[int, ...],
) -> Activation:  # fmt: skip
    """Windows that overlap or are padded: along each axis the sum of shifted copies, then divided by what torch divides by."""
    within = np.ones([x.shape[axis] for axis in axes])
    x = b.settled(x)
    for i, (axis, k, s, p) in enumerate(zip(axes, kernel, stride, padding, strict=True)):
        size = out.shape[axis]
        beyond = max((size - 1) * s + k - p - x.shape[axis], 0)  # rounding the number of windows up needs more than p
        if p or beyond:
            widths = np.zeros((len(x.shape), 2), np.int64)
            widths[axis] = p, beyond
            x = b.emit(ops.Pad(widths), [x], b.name("pad"), x)
            within = np.pad(within, [(p, beyond) if j == i else (0, 0) for j in range(len(axes))])
        ends = [(j, j + (size - 1) * s + 1) for j in range(k)]
        shifted = [b.emit(ops.Slice(axis, first, last, s), [x], b.name("slice"), x) for first, last in ends]
        x = b.added(shifted, b.name("add"), out) if k > 1 else shifted[0]
        within = np.sum([within.take(range(first, last, s), i) for first, last in ends], axis=0)
    return b.scaled(x, b.array(torch.from_numpy(share / within)), b.name("scale"), out)
