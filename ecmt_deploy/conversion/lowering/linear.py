"""Operations that are linear in the activation: weights, convolutions, sums, scales, means, and affine masks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal, exact
from ecmt_deploy.conversion.lowering.nonlinear import ecm, product
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.program import ops

Operand = Activation | Tensor | float | int | bool


def _encoded(b: Builder, x: Activation, y: Activation) -> Activation:
    """The output of a weight node: where it took the raw image, rate coding holds it from here on."""
    return b.settled(Activation(y.name, y.shape, y.batch, y.tied, raw=True)) if x.raw else y


def _weighted(b: Builder, out: Layout, x: Activation, weight: Tensor, bias: Tensor | None) -> Activation:
    """``x W^T + bias`` over the last axis."""
    if x.rank - 1 in x.tied:
        raise Refusal("is a linear map over an axis tied to the batch")
    name = b.name("linear")
    array = b.array(weight)
    vector = len(x.shape) == 1
    taken = x if x.raw else b.spikes(x, name, channel_axis=len(x.shape) - 1)
    node = ops.Linear(array) if vector else ops.LastAxisLinear(array)
    y = _encoded(b, x, b.emit(node, [taken], name, out))
    return _biased(b, out, y, b.array(bias), name) if bias is not None else y


def _biased(b: Builder, out: Layout, y: Activation, bias: np.ndarray, owner: str) -> Activation:
    bias = np.broadcast_to(bias, y.shape)
    constant = b.constant(bias, b.under(owner, "bias"), out, y.raw)
    return b.added([y, constant], b.under(owner, "add"), out)


@handles("linear")
def linear(b: Builder, out: Layout, x: Operand, weight: Operand, bias: Tensor | None = None) -> Activation:
    if not isinstance(x, Activation) or not isinstance(weight, Tensor) or isinstance(bias, Activation):
        raise Refusal("is a linear map whose weight depends on the input")
    return _weighted(b, out, x, weight, bias)


@handles("matmul", "mm", "bmm")
def matmul(b: Builder, out: Layout, x: Operand, y: Operand) -> Activation:
    if isinstance(x, Activation) and isinstance(y, Activation):
        return product(b, out, x, y, "matmul")
    if isinstance(x, Activation) and isinstance(y, Tensor):
        if y.ndim > 2 and prod(y.shape[:-2]) > 1:  # x Y is (Y^T x^T)^T
            middle = Layout((*out.shape[:-2], out.shape[-1], out.shape[-2]), out.batch, out.tied)
            return turned(b, _batch_of_matrices(b, middle, y.transpose(-2, -1), turned(b, x)))
        return _weighted(b, out, x, y.reshape(y.shape[-2:]).T, None)
    if isinstance(y, Activation) and isinstance(x, Tensor):
        if x.ndim > 2 and prod(x.shape[:-2]) > 1:
            return _batch_of_matrices(b, out, x, y)
        rows = turned(b, y)
        middle = Layout((*rows.shape[:-1], x.shape[-2]), out.batch, out.tied)
        return turned(b, _weighted(b, middle, rows, x.reshape(x.shape[-2:]), None))
    raise Refusal("has no activation operand")


def turned(b: Builder, x: Activation) -> Activation:
    """The last two axes exchanged."""
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
        matrices = matrices.squeeze(x.batch) if matrices.shape[x.batch] == 1 else matrices
    if np.broadcast_shapes(tuple(matrices.shape[:-2]), lead) != lead:
        raise Refusal(f"multiplies constant matrices of shape {tuple(matrices.shape)} with an activation of shape {x.shape}")
    groups = prod(lead)
    kernels = matrices.expand(*lead, rows, columns).reshape(groups * rows, columns, 1)
    stacked = b.reshaped(x, Layout((groups * columns, width), 0, frozenset({0})))
    y = conv(b, Layout((groups * rows, width), 0, frozenset({0})), stacked, kernels, groups=groups)
    return b.reshaped(y, out)


@handles("addmm")
def addmm(b: Builder, out: Layout, bias: Operand, x: Operand, weight: Operand, beta: float = 1, alpha: float = 1) -> Activation:
    if not isinstance(x, Activation) or not isinstance(weight, Tensor) or isinstance(bias, Activation):
        raise Refusal("is a linear map whose weight depends on the input")
    return _weighted(b, out, x, alpha * weight.T, beta * exact(bias))


@handles("conv1d", "conv2d", "convolution")
def conv(
    b: Builder, out: Layout, x: Operand, weight: Operand, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, *rest: Any, groups: int | None = None,
) -> Activation:  # fmt: skip
    if not isinstance(x, Activation) or not isinstance(weight, Tensor) or isinstance(bias, Activation):
        raise Refusal("is a convolution whose kernel depends on the input")
    axes = weight.ndim - 2
    if len(rest) == 3:  # aten.convolution: transposed, output_padding, groups
        if rest[0]:
            raise Refusal("is a transposed convolution")
        groups = rest[2]
    elif rest:
        groups = rest[0]
    if axes not in (1, 2) or x.batch != 0:
        raise Refusal(f"is a convolution over {axes} axes with the batch at axis {x.batch}")
    if isinstance(padding, str):
        total = [(1 if isinstance(dilation, int) else dilation[0]) * (k - 1) for k in weight.shape[2:]]
        if padding == "same" and any(t % 2 for t in total):
            raise Refusal("is padded unevenly")
        padding = [t // 2 for t in total] if padding == "same" else 0
    name = b.name(f"conv{axes}d")
    array = b.array(weight)
    stride, padding, dilation = (_per_axis(v, axes) for v in (stride, padding, dilation))
    zero = np.zeros(array.shape[0], array.dtype)
    taken = x if x.raw else b.spikes(x, name, channel_axis=0)
    if axes == 1:
        node = ops.Conv1d(x.shape[1], array, stride[0], padding[0], dilation[0], groups or 1, zero)
    else:
        node = ops.Conv2d(x.shape[1:], array, stride, padding, dilation, groups or 1, zero)
    y = _encoded(b, x, b.emit(node, [taken], name, out))
    if bias is None:
        return y
    return _biased(b, out, y, b.array(bias).reshape(-1, *[1] * axes), name)


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values


@handles("add", "add_", "sub", "rsub")
def add(b: Builder, out: Layout, x: Operand, y: Operand, alpha: float = 1, *, op: str) -> Activation:
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
    inverse = ecm(b, Layout(y.shape, y.batch, y.tied), [y], "reciprocal")
    return mul(b, out, inverse, x)


@handles("mean", "sum")
def mean(
    b: Builder, out: Layout, x: Activation, dim: Sequence[int] | int | None = None, keepdim: bool = False,
    dtype: Any = None, *, op: str,
) -> Activation:  # fmt: skip
    if dim is None:
        raise Refusal("reduces over every axis, the batch among them")
    axes = [x.axis(d) for d in ([dim] if isinstance(dim, int) else dim)]
    x = b.settled(x)
    y = b.emit(ops.Mean(np.array(axes, np.int64), bool(keepdim)), [x], b.name("mean"), out)
    return y if op == "mean" else b.scaled(y, b.array(float(prod(x.shape[a] for a in axes))), b.name("scale"), out)


@handles("batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
def batch_norm(
    b: Builder, out: Layout | list[Layout], x: Activation, weight: Tensor | None, bias: Tensor | None, mean: Tensor,
    var: Tensor, *options: Any,
) -> Activation | list[Activation]:  # fmt: skip
    eps = next(o for o in reversed(options) if isinstance(o, float))
    scale = torch.rsqrt(var.double() + eps) * (1 if weight is None else weight.double())
    shift = -mean.double() * scale + (0 if bias is None else bias.double())
    per_channel = [1] * len(x.shape)
    per_channel[x.axis(1)] = -1
    name = b.name("scale")
    y = b.scaled(x, b.array(scale).reshape(per_channel), name, x)
    y = _biased(b, Layout(x.shape, x.batch, x.tied), y, b.array(shift).reshape(per_channel), name)
    return [y] if isinstance(out, list) else y


@handles("avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d")
def avg_pool(b: Builder, out: Layout, x: Activation, size: Any, *args: Any, op: str) -> Activation:
    spatial = x.shape[1:]
    if x.batch != 0:
        raise Refusal(f"pools with the batch at axis {x.batch}")
    if op == "avg_pool2d":
        kernel = _per_axis(size, 2)
        stride = _per_axis(args[0], 2) if args and args[0] else kernel
        if stride != kernel or any(_per_axis(args[1], 2) if len(args) > 1 else ()):
            return _overlapping_avg_pool(b, out, x, kernel, stride, args)
    else:
        kernel = tuple(s // o for s, o in zip(spatial, _per_axis(size, len(spatial)), strict=True))
    if any(s % k for s, k in zip(spatial, kernel, strict=True)):
        raise Refusal(f"pools {spatial} by windows {kernel} that do not divide it")
    windows = [part for s, k in zip(spatial, kernel, strict=True) for part in (s // k, k)]
    x = b.reshaped(b.settled(x), Layout((x.shape[0], *windows), x.batch, x.tied))
    axes = np.arange(2, 2 + 2 * len(spatial), 2)
    return b.reshaped(b.emit(ops.Mean(axes, False), [x], b.name("mean"), out), out)


def _overlapping_avg_pool(
    b: Builder, out: Layout, x: Activation, kernel: tuple[int, ...], stride: tuple[int, ...], args: tuple[Any, ...]
) -> Activation:
    """Windows that overlap or are padded: along each axis the sum of shifted copies, then divided by what torch divides by."""
    padding = _per_axis(args[1], 2) if len(args) > 1 else (0, 0)
    ones = torch.ones((1, 1, *x.shape[1:]), dtype=torch.float64)
    share = torch.nn.functional.avg_pool2d(ones, kernel, stride, *args[1:])  # of the window that is no padding, as torch counts
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
            constant = np.broadcast_to(b.sample_array(value, out), out.shape)
            fill = np.where(np.broadcast_to(where_, out.shape), constant, fill)
    if fill.any():
        raw = all(s.raw for s in streams)
        streams.append(b.constant(fill, b.name("constant"), out, raw))
    return b.added(streams, b.name("add"), out) if len(streams) > 1 else streams[0]
