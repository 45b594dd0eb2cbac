"""Maxima and minima: over axes, of two operands, within bounds, and over the windows of pooling.

A minimum is a maximum between two changes of sign. Of windows, every element is gathered once for each that holds it, and one
compensation module takes the maximum over each window.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal, exact, same_number
from ecmt_deploy.conversion.lowering.linear import negative
from ecmt_deploy.conversion.lowering.nonlinear import ecm
from ecmt_deploy.conversion.lowering.table import handles

Operand = Activation | Tensor | float | int


# --- over axes ------------------------------------------------------------------------------------------------------------


@handles("amax", "amin")
def amax(b: Builder, out: Layout, x: Activation, dim: Sequence[int] | int, keepdim: bool, *, op: str) -> Activation:
    dims = [dim] if isinstance(dim, int) else list(dim)
    if not dims:
        raise Refusal("reduces over every axis, the batch among them")
    if op == "amin":
        return negative(b, amax(b, out, negative(b, x), dims, keepdim, op="amax"))
    axes = sorted({x.axis(d) for d in dims})
    if axes != list(range(axes[0], axes[-1] + 1)):
        order = [axis for axis in range(len(x.shape)) if axis not in axes] + axes
        x = b.reordered(x, order, x)
        axes = list(range(len(order) - len(axes), len(order)))
    axis, end = axes[0], axes[-1] + 1
    x = b.reshaped(x, x.with_axes(axis, prod(x.shape[axis:end]), end=end))
    return b.reshaped(ecm(b, x.with_axes(axis, 1), [x], "max", axis=axis), out)


@handles("max", "min")
def max_(b: Builder, out: Layout, x: Operand, *args: Any, op: str) -> Activation:
    """Over all axes, over one (whose indices are left out), or of two operands."""
    if args and isinstance(args[0], Activation | Tensor):
        return maximum(b, out, x, args[0], op=f"{op}imum")
    if not isinstance(x, Activation):
        raise Refusal("has a parameter that depends on the input")
    return amax(b, out, x, args[0] if args else (), False, op=f"a{op}")


# --- of two operands, and within bounds -----------------------------------------------------------------------------------


@handles("maximum", "minimum", "fmax", "fmin")
def maximum(b: Builder, out: Layout, x: Operand, y: Operand, *, op: str) -> Activation:
    if not isinstance(x, Activation):
        x, y = y, x
    combined = _larger if op in ("maximum", "fmax") else _smaller
    return combined(b, out, _stream(b, out, x), _bound(y))


@handles("clamp", "clamp_", "clamp_min", "clip", "hardtanh", "hardtanh_")
def clamp(b: Builder, out: Layout, x: Operand, low: Operand | None, high: Operand | None = None) -> Activation:
    """min(max(x, low), high); of two numbers it is one function, an infinite bound is none."""
    first, last = _bound(-np.inf if low is None else low), _bound(np.inf if high is None else high)
    stream = _stream(b, out, x)
    if not isinstance(first, float) or not isinstance(last, float):
        return _smaller(b, out, _larger(b, out, stream, first), last)
    if (first, last) == (-np.inf, np.inf):
        return stream
    most = float(torch.finfo(b.dtype).max)
    return ecm(b, out, [stream], "clamp", low=max(min(first, last), -most), high=min(last, most))


@handles("clamp_max", "clamp_max_")
def clamp_max(b: Builder, out: Layout, x: Operand, high: Operand) -> Activation:
    return clamp(b, out, x, None, high)


@handles("relu6", "relu6_")
def relu6(b: Builder, out: Layout, x: Activation) -> Activation:
    return clamp(b, out, x, 0.0, 6.0)


def _bound(given: Operand) -> Activation | Tensor | float:
    """A number where a constant is the same all over."""
    if isinstance(given, Activation):
        return given
    number = same_number(given)
    return exact(given) if number is None else number


def _stream(b: Builder, out: Layout, x: Operand) -> Activation:
    """An operand in the shape of the result; minus infinity in a constant is a mask."""
    if isinstance(x, Activation):
        return b.expanded(x, out)
    value = b.sample_array(x, out)
    if np.isposinf(value).any():
        raise Refusal("takes the maximum with plus infinity, or the minimum with minus infinity")
    return b.constant(np.broadcast_to(value, out.shape), b.name("constant"), out)


def _larger(b: Builder, out: Layout, x: Activation, y: Activation | Tensor | float) -> Activation:
    if isinstance(y, float):
        return clamp(b, out, x, y)
    return ecm(b, out, [x, _stream(b, out, y)], "maximum")


def _smaller(b: Builder, out: Layout, x: Activation, y: Activation | Tensor | float) -> Activation:
    if isinstance(y, float):
        return clamp(b, out, x, None, y)
    return negative(b, _larger(b, out, negative(b, x), negative(b, y) if isinstance(y, Activation) else -y))


# --- over windows ---------------------------------------------------------------------------------------------------------


@handles("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices")
def max_pool(
    b: Builder, out: Layout, x: Activation, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, *, op: str
) -> Activation:  # fmt: skip
    """Windows at every stride; an element of the padding, and what rounding up adds, is replaced by one of its window."""
    axes = int(op[len("max_pool")])
    every = (np.broadcast_to(each, axes).tolist() for each in (kernel, stride or kernel, padding, dilation))
    windows = []
    for counted, size, (k, s, p, d) in zip(out.shape[-axes:], x.shape[-axes:], zip(*every, strict=True), strict=True):
        at = np.arange(counted)[:, None] * s - p + np.arange(k) * d
        windows.append(_within(at, (at >= 0) & (at < size)))
    return _pooled(b, out, x, windows)


@handles("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(b: Builder, out: Layout, x: Activation, size: Any, *, op: str) -> Activation:
    """Windows from floor(i size / windows) to ceil((i + 1) size / windows)."""
    axes, windows = int(op[len("adaptive_max_pool")]), []
    for counted, size in zip(out.shape[-axes:], x.shape[-axes:], strict=True):
        first, end = np.arange(counted) * size // counted, -(-np.arange(1, counted + 1) * size // counted)
        at = first[:, None] + np.arange((end - first).max())
        windows.append(_within(at, at < end[:, None]))
    return _pooled(b, out, x, windows)


def _within(at: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Positions (windows, elements of a window), those not ``inside`` replaced by the first of the same window that is."""
    if not inside.any(axis=1).all():
        raise Refusal("pools windows that hold padding alone")
    return np.where(inside, at, np.take_along_axis(at, inside.argmax(axis=1)[:, None], axis=1))


def _pooled(b: Builder, out: Layout, x: Activation, windows: list[np.ndarray]) -> Activation:
    """Maxima over windows of the last axes: over all of these at once, or over one after the other (which is the same,
    compensation inside compensation being exact) where fewer elements have to be compared."""
    first = len(x.shape) - len(windows)
    for axis in range(-len(windows), 0):
        x.axis(axis)
    sizes, made = list(x.shape[first:]), []
    for i, window in enumerate(windows):
        sizes[i] = len(window)
        made.append(prod(sizes) * window.shape[1])
    if prod(window.size for window in windows) <= sum(made):
        return _gathered(b, x, first, windows).laid_out(out)
    for i, window in enumerate(windows):
        x = _gathered(b, x, first + i, [window])
    return x.laid_out(out)


def _gathered(b: Builder, x: Activation, axis: int, windows: list[np.ndarray]) -> Activation:
    """Maxima over windows of ``axis`` and those behind it, in their place; the elements of a window are a row."""
    counted, end, at = [len(window) for window in windows], axis + len(windows), np.zeros(1, np.int64)
    for i, window in enumerate(windows):
        spread = [1] * (2 * len(windows))
        spread[i], spread[len(windows) + i] = window.shape
        at = at * x.shape[axis + i] + window.reshape(spread)
    x = b.reshaped(x, x.with_axes(axis, prod(x.shape[axis:end]), end=end))
    if not np.array_equal(at.ravel(), np.arange(x.shape[axis])):
        x = b.taken(x, axis, at.ravel(), x)
    x = b.reshaped(x, x.with_axes(axis, *counted, prod(at.shape[len(windows) :])))
    if end < len(x.shape) - 1:
        order = [i for i in range(len(x.shape)) if i != end] + [end]
        x = b.reordered(x, order, x)
    last = len(x.shape) - 1
    y = ecm(b, x.with_axes(last, 1), [x], "max", axis=last)
    return b.reshaped(y, y.with_axes(last))
