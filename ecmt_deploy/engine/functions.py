"""Torch arithmetic of the functions in :data:`ecmt_deploy.program.functions.FUNCTIONS`, batched over the first axis."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Parameters = dict[str, Any]


def _batched_axis(axis: int, x: Tensor) -> int:
    """A sample's axis as an axis of the batch."""
    return axis % (x.ndim - 1) + 1


def _softmax(p: Parameters, x: Tensor) -> Tensor:
    return torch.softmax(x, dim=_batched_axis(int(p["axis"]), x))


def _masked_softmax(p: Parameters, x: Tensor, allowed: Tensor) -> Tensor:
    axis, kept = _batched_axis(int(p["axis"]), x), allowed > 0.5
    weights = torch.softmax(x.masked_fill(~kept, -torch.inf), dim=axis)
    return torch.where(kept.any(dim=axis, keepdim=True), weights, float(p["empty"]))


def _inside(p: Parameters, x: Tensor) -> Tensor:
    return ((x >= float(p["low"])) & (x <= float(p["high"]))).to(x.dtype)


def _argmax(p: Parameters, x: Tensor) -> Tensor:
    axis = _batched_axis(int(p["axis"]), x)
    return (x == x.amax(dim=axis, keepdim=True)).to(torch.int8).argmax(dim=axis, keepdim=True).to(x.dtype)


def _layer_norm(p: Parameters, x: Tensor) -> Tensor:
    shape = x.shape[x.ndim - int(p["normalized_axes"]) :]
    return F.layer_norm(x, shape, p.get("weight"), p.get("bias"), float(p["eps"]))


def _rms_norm(p: Parameters, x: Tensor) -> Tensor:
    shape = list(x.shape[x.ndim - int(p["normalized_axes"]) :])
    return F.rms_norm(x, shape, p.get("weight"), float(p["eps"]))


def _group_norm(p: Parameters, x: Tensor) -> Tensor:
    # centred first: torch's own multiplies by one over the deviation before the mean is subtracted, and loses digits
    grouped = x.reshape(len(x), int(p["groups"]), -1)
    normal = F.layer_norm(grouped, grouped.shape[-1:], eps=float(p["eps"])).reshape(x.shape)
    weight, bias = (p[key].reshape(-1, *[1] * (x.ndim - 2)) if key in p else None for key in ("weight", "bias"))
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias


TORCH: dict[str, Callable[..., Tensor]] = {
    "softmax": _softmax,
    "masked_softmax": _masked_softmax,
    "inside": _inside,
    "argmax": _argmax,
    "cumulative_sum": lambda p, x: torch.cumsum(x, dim=_batched_axis(int(p["axis"]), x)),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "l2_norm": lambda p, x: torch.linalg.vector_norm(x, dim=_batched_axis(int(p["axis"]), x), keepdim=True),
    "max": lambda p, x: x.amax(dim=_batched_axis(int(p["axis"]), x), keepdim=True),
    "maximum": lambda p, x, y: torch.maximum(x, y),
    "gelu": lambda p, x: F.gelu(x),
    "gelu_tanh": lambda p, x: F.gelu(x, approximate="tanh"),
    "silu": lambda p, x: F.silu(x),
    "sigmoid": lambda p, x: torch.sigmoid(x),
    "tanh": lambda p, x: torch.tanh(x),
    "relu": lambda p, x: F.relu(x),
    "clamp": lambda p, x: torch.clamp(x, float(p["low"]), float(p["high"])),
    "hard_swish": lambda p, x: F.hardswish(x),
    "hard_sigmoid": lambda p, x: F.hardsigmoid(x),
    "leaky_relu": lambda p, x: F.leaky_relu(x, float(p["slope"])),
    "exp": lambda p, x: torch.exp(x),
    "log": lambda p, x: torch.log(x),
    "sin": lambda p, x: torch.sin(x),
    "erf": lambda p, x: torch.erf(x),
    "softplus": lambda p, x: F.softplus(x, threshold=float(p["threshold"])),
    "sqrt": lambda p, x: torch.sqrt(x),
    "rsqrt": lambda p, x: torch.rsqrt(x),
    "reciprocal": lambda p, x: torch.reciprocal(x),
    "power": lambda p, x: torch.pow(x, float(p["exponent"])),
    "abs": lambda p, x: torch.abs(x),
    "divide": lambda p, x, y: x / y,
}

#: those that may take the memory of their operand for the result, which is the same
IN_PLACE: dict[str, Callable[..., Tensor]] = {
    "gelu": lambda p, x: torch.ops.aten.gelu_(x),
    "gelu_tanh": lambda p, x: torch.ops.aten.gelu_(x, approximate="tanh"),
    "silu": lambda p, x: F.silu(x, inplace=True),
    "sigmoid": lambda p, x: x.sigmoid_(),
    "tanh": lambda p, x: x.tanh_(),
    "relu": lambda p, x: x.relu_(),
}
