"""NumPy arithmetic of the functions in :data:`ecmt_deploy.program.functions.FUNCTIONS`, written from their formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf, expit

Array = np.ndarray
Parameters = dict[str, Any]


def evaluate(function: str, parameters: Parameters, *operands: Array) -> Array:
    """Value of ``function`` at ``operands``, in their dtype; infinities are legal in masks, so no warnings."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        result: Array = _NUMPY[function](parameters, *operands)
        return result


def _softmax(p: Parameters, x: Array) -> Array:
    axis = int(p["axis"])
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _affine(p: Parameters, x: Array) -> Array:
    if "weight" in p:
        x = x * p["weight"].astype(x.dtype)
    if "bias" in p:
        x = x + p["bias"].astype(x.dtype)
    return x


def _standardise(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = np.mean(centred * centred, axis=axes, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(eps))


def _layer_norm(p: Parameters, x: Array) -> Array:
    axes = tuple(range(x.ndim - int(p["normalized_axes"]), x.ndim))
    return _affine(p, _standardise(x, axes, float(p["eps"])))


def _rms_norm(p: Parameters, x: Array) -> Array:
    axes = tuple(range(x.ndim - int(p["normalized_axes"]), x.ndim))
    mean_square = np.mean(x * x, axis=axes, keepdims=True)
    return _affine(p, x / np.sqrt(mean_square + x.dtype.type(float(p["eps"]))))


def _group_norm(p: Parameters, x: Array) -> Array:
    grouped = x.reshape(int(p["groups"]), -1)
    y = _standardise(grouped, (1,), float(p["eps"])).reshape(x.shape)
    per_channel = (-1, *([1] * (x.ndim - 1)))
    arrays: Parameters = {key: p[key].reshape(per_channel) for key in ("weight", "bias") if key in p}
    return _affine(arrays, y)


def _gelu(p: Parameters, x: Array) -> Array:
    return x * (1 + erf(x * x.dtype.type(0.5**0.5))) / 2


def _gelu_tanh(p: Parameters, x: Array) -> Array:
    inner = x.dtype.type((2 / np.pi) ** 0.5) * (x + x.dtype.type(0.044715) * x * x * x)
    return x * (1 + np.tanh(inner)) / 2


def _hard_gate(x: Array) -> Array:
    return np.minimum(np.maximum(x + 3, 0), 6) / 6


_NUMPY: dict[str, Callable[..., Array]] = {
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "l2_norm": lambda p, x: np.sqrt(np.sum(x * x, axis=int(p["axis"]), keepdims=True)),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda p, x: x * expit(x),
    "sigmoid": lambda p, x: expit(x),
    "tanh": lambda p, x: np.tanh(x),
    "relu": lambda p, x: np.maximum(x, 0),
    "clamp": lambda p, x: np.clip(x, x.dtype.type(p["low"]), x.dtype.type(p["high"])),
    "hard_swish": lambda p, x: x * _hard_gate(x),
    "hard_sigmoid": lambda p, x: _hard_gate(x),
    "leaky_relu": lambda p, x: np.where(x > 0, x, x * x.dtype.type(p["slope"])),
    "exp": lambda p, x: np.exp(x),
    "sqrt": lambda p, x: np.sqrt(x),
    "rsqrt": lambda p, x: 1 / np.sqrt(x),
    "reciprocal": lambda p, x: 1 / x,
    "power": lambda p, x: np.power(x, x.dtype.type(p["exponent"])),
    "abs": lambda p, x: np.abs(x),
    "divide": lambda p, x, y: x / y,
}
