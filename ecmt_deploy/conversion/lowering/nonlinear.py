"""Nonlinear operations, wrapped in expectation compensation modules, and products of two activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.conversion.lowering.weights import biased
from ecmt_deploy.program import ops
from ecmt_deploy.program.functions import FUNCTIONS

Constant = Tensor | None


def ecm(
    b: Builder, out: Layout, xs: list[Activation], function: str, arrays: dict[str, Tensor | None] | None = None, **scalars: Any
) -> Activation:  # fmt: skip
    """An ECM around ``function`` of the activations ``xs``."""
    parameters: dict[str, np.ndarray] = {
        key: np.asarray(value, np.int64 if isinstance(value, int) else np.float64) for key, value in scalars.items()
    }
    parameters |= {key: b.array(value) for key, value in (arrays or {}).items() if value is not None}
    if not all(isinstance(x, Activation) for x in xs):
        raise Refusal("has a parameter that depends on the input")
    once = all(x.exact for x in xs)
    if FUNCTIONS[function].needs_exact and not once:
        raise Refusal("is discontinuous, and takes an activation that does not follow from tokens and masks alone")
    xs = b.alike(xs)
    node = ops.ECM(tuple(x.name for x in xs), function, "differential" if once else b.coding, parameters)
    return b.emit(node, xs, b.name(function), out)


def product(b: Builder, out: Layout, x: Activation, y: Activation, kind: str) -> Activation:
    """An ECM product; both operands spike, but for what is exact: it needs no neuron."""
    if kind == "matmul" and min(x.rank, y.rank) < 2:
        raise Refusal("multiplies a vector")
    if x.batch is not None and y.batch is not None and x.rank - x.batch != y.rank - y.batch:
        raise Refusal("multiplies activations whose batch axes do not meet")
    if kind == "matmul" and (x.rank - 1 in x.tied or y.rank - 2 in y.tied):
        raise Refusal("contracts an axis tied to the batch")
    name = b.name(kind)
    if x.exact and y.exact:
        return b.emit(ops.ECMProduct((x.name, y.name), kind, "differential"), [x, y], name, out)
    left = b.spikes(x, name, None, "neuron_left")
    right = b.spikes(y, name, None, "neuron_right")
    return b.emit(ops.ECMProduct((left.name, right.name), kind, b.coding), [left, right], name, out)


@handles("softmax", "_softmax", "_safe_softmax")
def softmax(b: Builder, out: Layout, x: Activation, dim: int, *args: Any) -> Activation:
    return ecm(b, out, [x], "softmax", axis=x.axis(dim))


@handles("layer_norm", "native_layer_norm")
def layer_norm(
    b: Builder, out: Layout, x: Activation, shape: Sequence[int], weight: Constant, bias: Constant, eps: float, *args: Any
) -> Activation:
    for axis in range(1, len(shape) + 1):
        x.axis(-axis)
    return ecm(b, out, [x], "layer_norm", {"weight": weight, "bias": bias}, eps=float(eps), normalized_axes=len(shape))


@handles("rms_norm", "_fused_rms_norm")
def rms_norm(b: Builder, out: Layout, x: Activation, shape: Sequence[int], weight: Constant, eps: float | None) -> Activation:
    eps = torch.finfo(b.dtype).eps if eps is None else float(eps)
    return ecm(b, out, [x], "rms_norm", {"weight": weight}, eps=eps, normalized_axes=len(shape))


@handles("group_norm")
def group_norm(
    b: Builder, out: Layout, x: Activation, groups: int, weight: Constant, bias: Constant, eps: float, *args: Any
) -> Activation:
    if x.batch != 0:
        return _groups_of_windows(b, out, x, groups, weight, bias, eps)
    return ecm(b, out, [x], "group_norm", {"weight": weight, "bias": bias}, eps=float(eps), groups=groups)


def _groups_of_windows(
    b: Builder, out: Layout, x: Activation, groups: int, weight: Constant, bias: Constant, eps: float
) -> Activation:  # fmt: skip
    """Windows (k, C, ...) of every sample, each normalised by itself: the rows of a layer norm, then a scale and a shift."""
    channel = x.axis(1)
    size = int(np.prod(x.shape[channel:])) // groups
    rows = b.reshaped(x, x.with_shape(*x.shape[:channel], groups, size))
    y = b.reshaped(ecm(b, rows, [rows], "layer_norm", eps=float(eps), normalized_axes=1), out)
    per_channel = [-1 if axis == channel else 1 for axis in range(len(x.shape))]
    if weight is not None:
        y = b.scaled(y, b.array(weight).reshape(per_channel), b.name("scale"), out)
    return y if bias is None else biased(b, out, y, b.array(bias).reshape(per_channel), b.under(b.path, "group_norm"))


@handles("gelu", "gelu_")
def gelu(b: Builder, out: Layout, x: Activation, approximate: str) -> Activation:
    return ecm(b, out, [x], "gelu_tanh" if approximate == "tanh" else "gelu")


def plain(operation: str) -> Callable[..., Activation] | None:
    """What lowers an operation that is a function as it stands, in place or not; ``None`` where none says so."""
    for function in FUNCTIONS.values():
        if operation.removesuffix("_") in function.aten or (function.stands_for and operation == function.name):
            return lambda b, out, x: ecm(b, out, [x], function.name)
    return None


@handles("leaky_relu")
def leaky_relu(b: Builder, out: Layout, x: Activation, slope: float) -> Activation:
    return ecm(b, out, [x], "leaky_relu", slope=float(slope))


@handles("softplus")
def softplus(b: Builder, out: Layout, x: Activation, beta: float, threshold: float) -> Activation:
    if beta == 1:
        return ecm(b, out, [x], "softplus", threshold=float(threshold))
    y = ecm(b, out, [b.scaled(x, b.array(float(beta)), b.name("scale"), out)], "softplus", threshold=float(threshold))
    return b.scaled(y, b.array(1.0 / beta), b.name("scale"), out)


@handles("pow", "square")
def power(b: Builder, out: Layout, x: Activation, exponent: float = 2.0) -> Activation:
    if not isinstance(exponent, int | float):
        raise Refusal("raises to a power that is no number")
    return ecm(b, out, [x], "power", exponent=float(exponent))


@handles("linalg_vector_norm", "norm")
def vector_norm(
    b: Builder, out: Layout, x: Activation, order: float, dim: Sequence[int] | int | None = None, *args: Any
) -> Activation:
    dims = [dim] if isinstance(dim, int) else list(dim or [])
    axes = sorted(x.axis(d) for d in dims)
    if order != 2 or not axes or axes != list(range(axes[0], axes[-1] + 1)):
        raise Refusal(f"is a norm of order {order} over axes {dims}; expected order 2 over axes that stand side by side")
    axis, end = axes[0], axes[-1] + 1
    x = b.reshaped(x, x.with_axes(axis, int(np.prod(x.shape[axis:end])), end=end))
    return b.reshaped(ecm(b, x.with_axes(axis, 1), [x], "l2_norm", axis=axis), out)
