"""Nonlinear operations, wrapped in expectation compensation modules, and products of two activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.program import ops
from ecmt_deploy.program.functions import FUNCTIONS


def ecm(
    b: Builder, out: Layout, xs: list[Activation], function: str, arrays: dict[str, Tensor | None] | None = None, **scalars: Any
) -> Activation:  # fmt: skip
    """An ECM around ``function`` of the activations ``xs``."""
    parameters: dict[str, np.ndarray] = {
        key: np.asarray(value, np.int64 if isinstance(value, int) else np.float64) for key, value in scalars.items()
    }
    parameters |= {key: b.array(value) for key, value in (arrays or {}).items() if value is not None}
    xs = [b.settled(x) for x in xs]
    node = ops.ECM(tuple(x.name for x in xs), function, b.coding, parameters)
    return b.emit(node, xs, b.name(function), out)


def product(b: Builder, out: Layout, x: Activation, y: Activation, kind: str) -> Activation:
    """An ECM product; both operands spike."""
    if kind == "matmul" and min(x.rank, y.rank) < 2:
        raise Refusal("multiplies a vector")
    if x.batch is not None and y.batch is not None and x.rank - x.batch != y.rank - y.batch:
        raise Refusal("multiplies activations whose batch axes do not meet")
    if kind == "matmul" and (x.rank - 1 in x.tied or y.rank - 2 in y.tied):
        raise Refusal("contracts an axis tied to the batch")
    name = b.name(kind)
    left = b.spikes(x, name, None, "neuron_left")
    right = b.spikes(y, name, None, "neuron_right")
    return b.emit(ops.ECMProduct((left.name, right.name), kind, b.coding), [left, right], name, out)


def _activation(x: Any) -> Activation:
    if not isinstance(x, Activation):
        raise Refusal("has a parameter that depends on the input")
    return x


@handles("softmax", "_softmax", "_safe_softmax")
def softmax(b: Builder, out: Layout, x: Activation, dim: int, *args: Any) -> Activation:
    return ecm(b, out, [_activation(x)], "softmax", axis=x.axis(dim))


@handles("layer_norm", "native_layer_norm")
def layer_norm(
    b: Builder, out: Layout | list[Layout], x: Activation, shape: Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5, *args: Any,
) -> Activation | list[Activation]:  # fmt: skip
    layout = out[0] if isinstance(out, list) else out
    for axis in range(1, len(shape) + 1):
        x.axis(-axis)
    arrays = {"weight": weight, "bias": bias}
    y = ecm(b, layout, [_activation(x)], "layer_norm", arrays, eps=float(eps), normalized_axes=len(shape))
    return [y] if isinstance(out, list) else y


@handles("rms_norm", "_fused_rms_norm")
def rms_norm(
    b: Builder, out: Layout | list[Layout], x: Activation, shape: Sequence[int], weight: Tensor | None = None,
    eps: float | None = None,
) -> Activation | list[Activation]:  # fmt: skip
    layout = out[0] if isinstance(out, list) else out
    eps = torch.finfo(b.dtype).eps if eps is None else float(eps)
    y = ecm(b, layout, [_activation(x)], "rms_norm", {"weight": weight}, eps=eps, normalized_axes=len(shape))
    return [y] if isinstance(out, list) else y


@handles("group_norm")
def group_norm(
    b: Builder, out: Layout, x: Activation, groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5, *args: Any,
) -> Activation:  # fmt: skip
    if x.batch != 0:
        raise Refusal(f"normalises groups with the batch at axis {x.batch}")
    return ecm(b, out, [_activation(x)], "group_norm", {"weight": weight, "bias": bias}, eps=float(eps), groups=groups)


@handles("gelu", "gelu_")
def gelu(b: Builder, out: Layout, x: Activation, approximate: str = "none") -> Activation:
    return ecm(b, out, [x], "gelu_tanh" if approximate == "tanh" else "gelu")


def plain(operation: str) -> Callable[..., Activation] | None:
    """What lowers an operation that is a function as it stands, in place or not; ``None`` where none says so."""
    for function in FUNCTIONS.values():
        if operation.removesuffix("_") in function.aten or (function.stands_for and operation == function.name):
            return lambda b, out, x: ecm(b, out, [x], function.name)
    return None


@handles("leaky_relu")
def leaky_relu(b: Builder, out: Layout, x: Activation, slope: float = 0.01) -> Activation:
    return ecm(b, out, [x], "leaky_relu", slope=float(slope))


@handles("clamp", "clamp_min", "clamp_max", "hardtanh", "relu6", "clip", "hardtanh_", "relu6_")
def clamp(
    b: Builder, out: Layout, x: Activation, low: float | None = None, high: float | None = None, *, op: str,
    min: float | None = None, max: float | None = None,
) -> Activation:  # fmt: skip
    if op == "clamp_max":
        low, high = None, low if low is not None else max
    if op.startswith("relu6"):
        low, high = 0.0, 6.0
    if op.startswith("hardtanh"):
        low, high = (-1.0 if low is None else low), (1.0 if high is None else high)
    low, high = (low if low is not None else min), (high if high is not None else max)
    if isinstance(low, Tensor | Activation) or isinstance(high, Tensor | Activation):
        raise Refusal("clamps to a tensor")
    largest = torch.finfo(b.dtype).max
    return ecm(b, out, [x], "clamp", low=float(-largest if low is None else low), high=float(largest if high is None else high))


@handles("pow")
def power(b: Builder, out: Layout, x: Activation, exponent: float) -> Activation:
    if not isinstance(x, Activation) or not isinstance(exponent, int | float):
        raise Refusal("raises to a power that is no number")
    return ecm(b, out, [x], "power", exponent=float(exponent))


@handles("square")
def square(b: Builder, out: Layout, x: Activation) -> Activation:
    return ecm(b, out, [x], "power", exponent=2.0)


@handles("linalg_vector_norm", "norm")
def vector_norm(
    b: Builder, out: Layout, x: Activation, order: float = 2, dim: Sequence[int] | int | None = None, keepdim: bool = False,
    *args: Any, **kwargs: Any,
) -> Activation:  # fmt: skip
    dims = [dim] if isinstance(dim, int) else list(dim or [])
    axes = sorted(x.axis(d) for d in dims)
    if order != 2 or not axes or axes != list(range(axes[0], axes[-1] + 1)):
        raise Refusal(f"is a norm of order {order} over axes {dims}; expected order 2 over axes that stand side by side")
    axis = axes[0]
    if len(axes) > 1:
        joined = int(np.prod(x.shape[axis : axes[-1] + 1]))
        x = b.reshaped(x, Layout((*x.shape[:axis], joined, *x.shape[axes[-1] + 1 :]), x.batch, x.tied))
    kept = Layout((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.batch, x.tied)
    y = ecm(b, kept, [x], "l2_norm", axis=axis)
    return b.reshaped(y, out)
