"""Operations that are linear in the activation: weights, convolutions, sums, scales, means, and affine masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal, exact
from ecmt_deploy.conversion.lowering.nonlinear import ecm, product
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.program import ops
from ecmt_deploy.program.ops import Op

Operand = Activation | Tensor | float | int | bool


def _synapses(b: Builder, out: Layout, x: Activation, node: Op, name: str, channel_axis: int) -> Activation:
    """A weight node that takes spikes, or the raw image: its output rate coding holds from here on."""
    taken = x if x.raw else b.spikes(x, name, channel_axis)
    y = b.emit(node, [taken], name, out)
    return b.settled(replace(y, raw=True)) if x.raw else y


def _biased(b: Builder, out: Layout, y: Activation, bias: np.ndarray, owner: str) -> Activation:
    constant = b.constant(np.broadcast_to(bias, y.shape), b.under(owner, "bias"), out, y.raw)
    return b.added([y, constant], b.under(owner, "add"), out)


@handles("linear")
def linear(b: Builder, out: Layout, x: Operand, weight: Operand, bias: Operand | None = None) -> Activation:
    """``x W^T + bias`` over the last axis."""
    if not isinstance(x, Activation) or not isinstance(weight, Tensor) or isinstance(bias, Activation):
        raise Refusal("is a linear map whose weight depends on the input")
    if x.rank - 1 in x.tied:
        raise Refusal("is a linear map over an axis tied to the batch")
    name = b.name("linear")
    cls = ops.Linear if len(x.shape) == 1 else ops.LastAxisLinear
    y = _synapses(b, out, x, cls(b.array(weight)), name, len(x.shape) - 1)
    return y if bias is None else _biased(b, out, y, b.array(bias), name)


@handles("matmul", "mm", "bmm")
def matmul(b: Builder, out: Layout, x: Operand, y: Operand) -> Activation:
    if isinstance(x, Activation) and isinstance(y, Activation):
        return product(b, out, x, y, "matmul")
    if isinstance(x, Activation) and isinstance(y, Tensor):
        if y.ndim > 2 and prod(y.shape[:-2]) > 1:  # x Y is (Y^T x^T)^T
            middle = out.with_shape(*out.shape[:-2], out.shape[-1], out.shape[-2])
            return turned(b, _batch_of_matrices(b, middle, turned(b, y), turned(b, x)))
        return linear(b, out, x, y.reshape(y.shape[-2:]).T)
    if isinstance(y, Activation) and isinstance(x, Tensor):
        if x.ndim > 2 and prod(x.shape[:-2]) > 1:
            return _batch_of_matrices(b, out, x, y)
        rows = turned(b, y)
        middle = out.with_shape(*rows.shape[:-1], x.shape[-2])
        return turned(b, linear(b, middle, rows, x.reshape(x.shape[-2:])))
    raise Refusal("has no activation operand")


def turned(b: Builder, x: Activation | Tensor) -> Any:
    """The last two axes exchanged."""
    if isinstance(x, Tensor):
        return x.transpose(-2, -1)
    if x.rank < 2:
        raise Refusal("multiplies a vector from the left")
    x.axis(-1), x.axis(-2)
    swap = np.array([*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2], np.int64)
    return b.emit(ops.Permute(swap), [x], b.name("permute"), x)


def _batch_of_matrices(b: Builder, out: Layout, matrices: Tensor, x: Activation) -> Activation:
    """One constant matrix for each leading index of ``x`` (..., columns, N): a convolution of width 1 in groups."""
    lead, (columns, width) = x.shape[:-2], x.shape[-2:]
    rows = matrices.shape[-2]
    if x.batch is None or x.batch >= x.rank - 2:
        raise Refusal("multiplies a batch of constant matrices with an activation whose batch is part of another axis")
    if matrices.ndim == x.rank:
        matrices = matrices.squeeze(x.batch)
    if np.broadcast_shapes(tuple(matrices.shape[:-2]), lead) != lead:
        raise Refusal(f"multiplies constant matrices of shape {tuple(matrices.shape)} with an activation of shape {x.shape}")
    groups = prod(lead)
    kernels = matrices.expand(*lead, rows, columns).reshape(groups * rows, columns, 1)
    stacked = b.reshaped(x, Layout((groups * columns, width), 0, frozenset({0})))
    y = conv(b, Layout((groups * rows, width), 0, frozenset({0})), stacked, kernels, None, 1, 0, 1, groups)
    return b.reshaped(y, out)


@handles("addmm")
def addmm(b: Builder, out: Layout, bias: Operand, x: Operand, weight: Operand, beta: float, alpha: float) -> Activation:
    weight = alpha * weight.T if isinstance(weight, Tensor) else weight
    return linear(b, out, x, weight, beta * exact(bias))


@handles("conv1d", "conv2d", "convolution")
def conv(
    b: Builder, out: Layout, x: Operand, weight: Operand, bias: Operand | None, stride: Any, padding: Any, dilation: Any,
    *rest: Any,
) -> Activation:  # fmt: skip
    """``rest`` is the number of groups; in the general form, before it: whether it is transposed, and its output padding."""
    if not isinstance(x, Activation) or not isinstance(weight, Tensor) or isinstance(bias, Activation):
        raise Refusal("is a convolution whose kernel depends on the input")
    *general, groups = rest
    if general and general[0]:
        raise Refusal("is a transposed convolution")
    axes = weight.ndim - 2
    if axes not in (1, 2) or x.batch != 0:
        raise Refusal(f"is a convolution over {axes} axes with the batch at axis {x.batch}")
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(_per_axis(dilation, axes), weight.shape[2:], strict=True)]
        if padding == "same" and any(t % 2 for t in total):
            raise Refusal("is padded unevenly")
        padding = [t // 2 for t in total] if padding == "same" else 0
    name, array = b.name(f"conv{axes}d"), b.array(weight)
    cls = ops.Conv1d if axes == 1 else ops.Conv2d
    y = _synapses(b, out, x, cls(None, array, stride, padding, dilation, groups, np.zeros(len(array), array.dtype)), name, 0)
    return y if bias is None else _biased(b, out, y, b.array(bias).reshape(-1, *[1] * axes), name)


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(np.broadcast_to(value, (axes,)).tolist())


@handles("add", "add_", "sub", "rsub")
def add(b: Builder, out: Layout, x: Operand, y: Operand, alpha: float, *, op: str) -> Activation:
    signs = {"add": (1, alpha), "add_": (1, alpha), "sub": (1, -alpha), "rsub": (-alpha, 1)}[op]
    if isinstance(x, Activation) and isinstance(y, Activation):
        terms = [_times(b, t, s) for t, s in zip((x, y), signs, strict=True)]
        return b.added([b.expanded(t, out) for t in terms], b.name("add"), out)
    activation, constant = (x, y) if isinstance(x, Activation) else (y, x)
    sign_a, sign_c = signs if isinstance(x, Activation) else signs[::-1]
    assert isinstance(activation, Activation)
    activation = b.expanded(_times(b, activation, sign_a), out)
    value = np.broadcast_to(b.sample_array(sign_c * exact(constant), out), out.shape)
    if not value.any():
        return activation
    name = b.name("add")
    return b.added([activation, b.constant(value, b.under(name, "constant"), out, activation.raw)], name, out)


def _times(b: Builder, x: Activation, factor: float) -> Activation:
    return x if factor == 1 else b.scaled(x, b.array(factor), b.name("scale"), x)


@handles("neg")
def neg(b: Builder, out: Layout, x: Activation) -> Activation:
    return _times(b, x, -1)


@handles("mul", "mul_")
def mul(b: Builder, out: Layout, x: Operand, y: Operand) -> Activation:
    if isinstance(x, Activation) and isinstance(y, Activation):
        if x.name == y.name:
            return ecm(b, out, [x], "power", exponent=2.0)
        return product(b, out, x, y, "multiply")
    activation, constant = (x, y) if isinstance(x, Activation) else (y, x)
    assert isinstance(activation, Activation)
    return b.scaled(activation, b.sample_array(constant, out), b.name("scale"), out)


@handles("div", "true_divide", "div_")
def div(b: Builder, out: Layout, x: Operand, y: Operand, rounding_mode: str | None = None) -> Activation:
    if rounding_mode:
        raise Refusal(f"divides and rounds ({rounding_mode})")
    if isinstance(x, Activation) and isinstance(y, Activation):
        return ecm(b, out, [x, y], "divide")
    if isinstance(x, Activation):
        return b.scaled(x, b.sample_array(1.0 / exact(y), out), b.name("scale"), out)
    assert isinstance(y, Activation)
    return mul(b, out, ecm(b, y, [y], "reciprocal"), x)


@handles("mean", "sum")
def mean(
    b: Builder, out: Layout, x: Activation, dim: Sequence[int] | int | None, keepdim: bool = False, *args: Any, op: str
) -> Activation:
    if dim is None:
        raise Refusal("reduces over every axis, the batch among them")
    axes = [x.axis(d) for d in ([dim] if isinstance(dim, int) else dim)]
    x = b.settled(x)
    y = b.emit(ops.Mean(np.array(axes, np.int64), bool(keepdim)), [x], b.name("mean"), out)
    return y if op == "mean" else b.scaled(y, b.array(float(prod(x.shape[a] for a in axes))), b.name("scale"), out)


@handles("batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
def batch_norm(
    b: Builder, out: Layout, x: Activation, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, *options: Any
) -> Activation:
    eps = next(o for o in reversed(options) if isinstance(o, float))
    scale = torch.rsqrt(var.double() + eps) * (1 if weight is None else weight.double())
    shift = -mean.double() * scale + (0 if bias is None else bias.double())
    per_channel = [1] * len(x.shape)
    per_channel[x.axis(1)] = -1
    name = b.name("scale")
    y = b.scaled(x, b.array(scale).reshape(per_channel), name, x)
    return _biased(b, x, y, b.array(shift).reshape(per_channel), name)


@handles("avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d")
def avg_pool(b: Builder, out: Layout, x: Activation, size: Any, *windows: Any) -> Activation:
    spatial = x.shape[1:]
    if x.batch != 0:
        raise Refusal(f"pools with the batch at axis {x.batch}")
    kernel = _per_axis(size, len(spatial))
    if not windows:  # the size is that of the result
        kernel = tuple(s // o for s, o in zip(spatial, kernel, strict=True))
    elif (windows[0] and _per_axis(windows[0], 2) != kernel) or any(_per_axis(windows[1], 2)):
        return _overlapping_avg_pool(b, out, x, kernel, *windows)
    if any(s % k for s, k in zip(spatial, kernel, strict=True)):
        raise Refusal(f"pools {spatial} by windows {kernel} that do not divide it")
    parts = [part for s, k in zip(spatial, kernel, strict=True) for part in (s // k, k)]
    x = b.reshaped(b.settled(x), x.with_shape(x.shape[0], *parts))
    axes = np.arange(2, 2 + 2 * len(spatial), 2)
    return b.reshaped(b.emit(ops.Mean(axes, False), [x], b.name("mean"), out), out)


def _overlapping_avg_pool(
    b: Builder, out: Layout, x: Activation, kernel: tuple[int, ...], stride: Any, padding: Any, *counting: Any
) -> Activation:
    """Windows that overlap or are padded: along each axis the sum of shifted copies, then divided by what torch divides by."""
    stride, padding = _per_axis(stride or kernel, 2), _per_axis(padding, 2)
    ones = torch.ones((1, 1, *x.shape[1:]), dtype=torch.float64)
    share = torch.nn.functional.avg_pool2d(ones, kernel, stride, padding, *counting)  # of the window that is no padding
    within = ones[0, 0].numpy()
    x = b.settled(x)
    for axis, (k, s, p, size) in enumerate(zip(kernel, stride, padding, out.shape[1:], strict=True)):
        beyond = max((size - 1) * s + k - p - x.shape[axis + 1], 0)  # rounding the number of windows up needs more than p
        if p or beyond:
            widths = np.zeros((3, 2), np.int64)
            widths[axis + 1] = p, beyond
            x = b.emit(ops.Pad(widths), [x], b.name("pad"), x)
            within = np.pad(within, widths[1:])
        ends = [(i, i + (size - 1) * s + 1) for i in range(k)]
        shifted = [b.emit(ops.Slice(axis + 1, first, last, s), [x], b.name("slice"), x) for first, last in ends]
        x = b.added(shifted, b.name("add"), out) if k > 1 else shifted[0]
        within = np.sum([within.take(range(first, last, s), axis) for first, last in ends], axis=0)
    return b.scaled(x, b.array(share[0] / torch.from_numpy(within)), b.name("scale"), out)


@handles("masked_fill", "masked_fill_")
def masked_fill(b: Builder, out: Layout, x: Operand, mask: Operand, value: Any) -> Activation:
    return where(b, out, mask, exact(value), x)


@handles("where")
def where(b: Builder, out: Layout, mask: Operand, x: Operand, y: Operand) -> Activation:
    """``mask x + (1 - mask) y``: each stream is multiplied by its mask, each constant is masked once."""
    if not isinstance(mask, Tensor):
        raise Refusal("selects by a condition that depends on the input")
    chosen = b.sample_array(mask, out).astype(bool)
    streams, fill = [], np.zeros(out.shape, b.array(0.0).dtype)
    for value, where_ in ((x, chosen), (y, ~chosen)):
        if isinstance(value, Activation):
            streams.append(b.scaled(value, where_.astype(fill.dtype), b.name("scale"), out))
        else:
            fill = np.where(where_, b.sample_array(value, out), fill)
    if fill.any():
        streams.append(b.constant(fill, b.name("constant"), out, all(s.raw for s in streams)))
    return b.added(streams, b.name("add"), out) if len(streams) > 1 else streams[0]
