"""The nonlinear functions an ECM may hold: their names, operands, parameters and the axes they couple.

This table is all a reader needs to check a program; the arithmetic is in :mod:`ecmt_deploy.kernels.functions` (NumPy) and
in :mod:`ecmt_deploy.engine` (torch), each written from the formula given here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Function:
    """One entry of the table.

    Attributes
    ----------
    formula : the definition, in words of the field
    operands : how many operands (they broadcast)
    scalars, arrays : names of required scalar and optional array parameters
    axes : axes that one output element depends on, beyond elementwise, from parameters and number of axes
    """

    formula: str
    operands: int = 1
    scalars: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    axes: Callable[[Parameters, int], tuple[int, ...]] = lambda parameters, ndim: ()


def _axis(parameters: Parameters, ndim: int) -> tuple[int, ...]:
    return (int(parameters["axis"]) % ndim,)


def _trailing(parameters: Parameters, ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim - int(parameters["normalized_axes"]), ndim))


FUNCTIONS: dict[str, Function] = {
    "softmax": Function("exp(x) / sum exp(x) over axis", scalars=("axis",), axes=_axis),
    "layer_norm": Function(
        "weight (x - mean) / sqrt(var + eps) + bias over the last normalized_axes axes, biased variance",
        scalars=("eps", "normalized_axes"),
        arrays=("weight", "bias"),
        axes=_trailing,
    ),
    "rms_norm": Function(
        "weight x / sqrt(mean(x^2) + eps) over the last normalized_axes axes",
        scalars=("eps", "normalized_axes"),
        arrays=("weight",),
        axes=_trailing,
    ),
    "group_norm": Function(
        "x (C, ...) in groups of C / groups channels: (x - mean) / sqrt(var + eps) each, then weight, bias per channel",
        scalars=("eps", "groups"),
        arrays=("weight", "bias"),
        axes=lambda parameters, ndim: tuple(range(ndim)),
    ),
    "l2_norm": Function("sqrt(sum x^2) over axis, kept as size 1", scalars=("axis",), axes=_axis),
    "gelu": Function("x (1 + erf(x / sqrt 2)) / 2"),
    "gelu_tanh": Function("x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2"),
    "silu": Function("x / (1 + exp(-x))"),
    "sigmoid": Function("1 / (1 + exp(-x))"),
    "tanh": Function("tanh x"),
    "relu": Function("max(x, 0)"),
    "clamp": Function("min(max(x, low), high)", scalars=("low", "high")),
    "hard_swish": Function("x min(max(x + 3, 0), 6) / 6"),
    "hard_sigmoid": Function("min(max(x + 3, 0), 6) / 6"),
    "leaky_relu": Function("x where x > 0, slope x elsewhere", scalars=("slope",)),
    "exp": Function("exp x"),
    "sqrt": Function("sqrt x"),
    "rsqrt": Function("1 / sqrt x"),
    "reciprocal": Function("1 / x"),
    "power": Function("x^exponent", scalars=("exponent",)),
    "abs": Function("|x|"),
    "divide": Function("x / y", operands=2),
}


def coupled_axes(function: str, parameters: Parameters, ndim: int) -> tuple[int, ...]:
    """Axes that a changed element spreads over when ``function`` is evaluated, the last axis (the row) always among them."""
    axes = set(FUNCTIONS[function].axes(parameters, ndim))
    return tuple(sorted(axes | {ndim - 1})) if ndim else ()


def result_shape(function: str, parameters: Parameters, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of the function's value for operands of ``shapes``; raises ``ValueError`` where they do not broadcast."""
    shape = list(np.broadcast_shapes(*shapes))
    if function == "l2_norm":
        shape[int(parameters["axis"])] = 1
    return tuple(shape)
