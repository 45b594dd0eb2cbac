"""Operations that are linear in the activation: weights, convolutions, sums, scales, means, and affine masks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering import exact as exact_streams
from ecmt_deploy.conversion.lowering import masks
from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal, exact
from ecmt_deploy.conversion.lowering.convolution import conv
from ecmt_deploy.conversion.lowering.nonlinear import ecm, product
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.conversion.lowering.weights import biased, synapses
from ecmt_deploy.program import ops

Operand = Activation | Tensor | float | int | bool


@handles("linear")
def linear(b: Builder, out: Layout, x: Operand, weight: Operand, bias: Operand | None = None) -> Activation:
    """``x W^T + bias`` over the last axis."""
    if not isinstance(x, Activation) or not isinstance(weight, Tensor) or isinstance(bias, Activation):
        raise Refusal("is a linear map whose weight depends on the input")
    if x.rank - 1 in x.tied:
        raise Refusal("is a linear map over an axis tied to the batch")
    if x.exact:
        return _of_exact(b, out, x, weight, bias)
    name = b.name("linear")
    cls = ops.Linear if len(x.shape) == 1 else ops.LastAxisLinear
    y = synapses(b, out, x, cls(b.array(weight)), name, len(x.shape) - 1)
    return y if bias is None else biased(b, out, y, b.array(bias), name)


def _of_exact(b: Builder, out: Layout, x: Activation, weight: Tensor, bias: Any) -> Activation:
    """The same of tokens or a mask, which send no spikes: a product with a constant, computed once."""
    name = b.name("linear")
    columns = b.constant(np.ascontiguousarray(b.array(weight).T), b.under(name, "weight"), out, raw=True)
    rows = b.reshaped(x, x.with_shape(*([1] * (2 - len(x.shape))), *x.shape))
    y = b.reshaped(product(b, out.with_shape(*rows.shape[:-1], weight.shape[0]), rows, columns, "matmul"), out)
    return y if bias is None else biased(b, out, y, b.array(bias), name)


@handles("matmul", "mm", "bmm")
def matmul(b: Builder, out: Layout, x: Operand, y: Operand) -> Activation:
    if isinstance(x, Activation) and isinstance(y, Activation):
        return product(b, out, x, y, "matmul")
    if isinstance(x, Activation) and isinstance(y, Tensor):
        if y.ndim > 2 and prod(y.shape[:-2]) > 1:  # x Y is (Y^T x^T)^T
            middle = out.with_shape(*out.shape[:-2], out.shape[-1], out.shape[-2])
            return turned(b, _batch_of_matrices(b, middle, turned(b, y), turned(b, x))).laid_out(out)
        return linear(b, out, x, y.reshape(y.shape[-2:]).T)
    if isinstance(y, Activation) and isinstance(x, Tensor):
        if x.ndim > 2 and prod(x.shape[:-2]) > 1:
            return _batch_of_matrices(b, out, x, y)
        rows = turned(b, y)
        middle = out.with_shape(*rows.shape[:-1], x.shape[-2])
        return turned(b, linear(b, middle, rows, x.reshape(x.shape[-2:]))).laid_out(out)
    raise Refusal("has no activation operand")


def turned(b: Builder, x: Activation | Tensor) -> Any:
    """The last two axes exchanged."""
    if isinstance(x, Tensor):
        return x.transpose(-2, -1)
    if x.rank < 2:
        raise Refusal("multiplies a vector from the left")
    if x.batch is not None and x.batch >= x.rank - 2:
        raise Refusal("exchanges the batch axis with another")
    swap = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
    exchanged = {x.rank - 1: x.rank - 2, x.rank - 2: x.rank - 1}
    tied = frozenset(exchanged.get(axis, axis) for axis in x.tied)
    return b.reordered(x, swap, Layout(x.shape, x.batch, tied))


def _batch_of_matrices(b: Builder, out: Layout, matrices: Tensor, x: Activation) -> Activation:
    """One constant matrix for each leading index of ``x`` (..., columns, N): a convolution of width 1 in groups."""
    lead, (columns, width) = x.shape[:-2], x.shape[-2:]
    rows = matrices.shape[-2]
    x.axis(-2)  # rows may be tied to the batch: each is by itself
    if x.batch is not None and x.batch >= x.rank - 2:
        raise Refusal("multiplies a batch of constant matrices with an activation whose batch is among their axes")
    if matrices.ndim == x.rank and x.batch is not None:
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


@handles("add", "add_", "sub", "rsub")
def add(b: Builder, out: Layout, x: Operand, y: Operand, alpha: float, *, op: str) -> Any:
    signs = {"add": (1, alpha), "add_": (1, alpha), "sub": (1, -alpha), "rsub": (-alpha, 1)}[op]
    if isinstance(x, Activation) and isinstance(y, Activation):
        terms = [_times(b, t, s) for t, s in zip((x, y), signs, strict=True)]
        return b.added([b.expanded(t, out) for t in terms], b.name("add"), out)
    activation, constant = (x, y) if isinstance(x, Activation) else (y, x)
    sign_a, sign_c = signs if isinstance(x, Activation) else signs[::-1]
    assert isinstance(activation, Activation)
    mask = masks.split(b, out, constant) if sign_c == 1 else None
    if mask is not None:
        return masks.added(b, out, _times(b, activation, sign_a), mask)
    activation = b.expanded(_times(b, activation, sign_a), out)
    value = np.broadcast_to(b.sample_array(sign_c * exact(constant), out), out.shape)
    if not value.any():
        return activation
    name = b.name("add")
    return b.added([activation, b.constant(value, b.under(name, "constant"), out, activation.raw)], name, out)


def _times(b: Builder, x: Activation, factor: float) -> Activation:
    return x if factor == 1 else b.scaled(x, b.array(factor), b.name("scale"), x)


def negative(b: Builder, x: Activation) -> Activation:
    """``-x``, in its own layout."""
    return _times(b, x, -1)


@handles("neg")
def neg(b: Builder, out: Layout, x: Activation) -> Activation:
    return negative(b, x)


@handles("mul", "mul_")
def mul(b: Builder, out: Layout, x: Operand, y: Operand) -> Any:
    if isinstance(x, Activation) and isinstance(y, Activation):
        if x.name == y.name:
            return ecm(b, out, [x], "power", exponent=2.0)
        return product(b, out, x, y, "multiply")
    activation, constant = (x, y) if isinstance(x, Activation) else (y, x)
    assert isinstance(activation, Activation)
    if not isinstance(constant, Tensor) and constant == 1 and activation.shape == out.shape:  # as decompositions write it
        return activation.laid_out(out)
    if activation.exact and masks.is_fill(constant):  # (1 - mask) times the smallest number there is
        return masks.masked(b, out, 0.0, exact_streams.negated(b, activation), constant)
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
    if x.exact and op == "sum":
        return exact_streams.summed(b, out, x, axes)
    (x,) = b.alike([x])
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
    return biased(b, x, y, b.array(shift).reshape(per_channel), name)


@handles("masked_fill", "masked_fill_")
def masked_fill(b: Builder, out: Layout, x: Operand, mask: Activation | Tensor, value: Any) -> Any:
    return where(b, out, mask, exact(value), x)


@handles("where")
def where(b: Builder, out: Layout, mask: Activation | Tensor, x: Operand, y: Operand) -> Any:
    """``mask x + (1 - mask) y``: each stream is multiplied by its mask, each constant is masked once."""
    if masks.is_fill(y) and (isinstance(mask, Activation) or np.isfinite(exact(y)).all()):
        return masks.masked(b, out, x, mask, y)
    opposite = functools.partial(exact_streams.logical_not, b, out, mask)
    if masks.is_fill(x) and (isinstance(mask, Activation) or np.isfinite(exact(x)).all()):
        return masks.masked(b, out, y, opposite(), x)
    if isinstance(mask, Activation):
        exact_streams.require_exact(mask, "selects by")
        chosen = [mul(b, out, side, value) for side, value in ((mask, x), (opposite(), y)) if not _is_zero(value)]
        if not chosen:
            raise Refusal("selects from zeros alone")
        return b.added(chosen, b.name("add"), out) if len(chosen) > 1 else chosen[0]
    assert isinstance(mask, Tensor)
    chosen_by = b.sample_array(mask, out).astype(bool)
    streams, fill = [], np.zeros(out.shape, b.array(0.0).dtype)
    for value, where_ in ((x, chosen_by), (y, ~chosen_by)):
        if isinstance(value, Activation):
            streams.append(b.scaled(value, where_.astype(fill.dtype), b.name("scale"), out))
        else:
            fill = np.where(where_, b.sample_array(value, out), fill)
    if fill.any():
        streams.append(b.constant(fill, b.name("constant"), out, all(s.raw for s in streams)))
    return b.added(streams, b.name("add"), out) if len(streams) > 1 else streams[0]


def _is_zero(value: Operand) -> bool:
    return not isinstance(value, Activation) and not bool(torch.as_tensor(value).any())
