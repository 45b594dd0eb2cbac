"""The nonlinear functions an ECM may hold: their names, operands, parameters and the axes they couple.

This table is all a reader needs to check a program; the arithmetic is in :mod:`ecmt_deploy.kernels.functions` (NumPy) and
in :mod:`ecmt_deploy.engine` (torch), each written from the formula given here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Parameters = dict[str, Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function, and the rule it keeps.

    Attributes
    ----------
    name : its key among the node's parameters
    expected : the rule in words, for errors
    holds : whether an array keeps the rule, given the operand's shape and the parameters before it in the function's list
    required : whether a node must have it
    """

    name: str
    expected: str
    holds: Callable[[np.ndarray, Shape, Parameters], bool]
    required: bool = True


@dataclass(frozen=True)
class Function:
    """One entry of the table.

    Attributes
    ----------
    formula : the definition, in words of the field
    operands : how many operands (they broadcast)
    parameters : what it takes besides; a rule may look at those before it
    axes : axes that one output element depends on, beyond elementwise, from parameters and number of axes
    finite : whether it is finite wherever its operands are, up to the largest number there is
    """

    formula: str
    operands: int = 1
    parameters: tuple[Parameter, ...] = ()
    axes: Callable[[Parameters, int], tuple[int, ...]] = lambda parameters, ndim: ()
    finite: bool = False


def _finite(value: np.ndarray) -> bool:
    return value.dtype.kind in "fi" and bool(np.isfinite(value).all())


def _integer(value: np.ndarray, low: int, high: int) -> bool:
    return value.ndim == 0 and value.dtype.kind == "i" and bool(low <= value <= high)


def number(name: str) -> Parameter:
    """A required parameter that may be any finite number."""
    return Parameter(name, "a finite number", lambda value, shape, p: value.ndim == 0 and _finite(value))


def _array(name: str, of: str, shape_of: Callable[[Shape, Parameters], Shape]) -> Parameter:
    def holds(value: np.ndarray, shape: Shape, p: Parameters) -> bool:
        return value.dtype.kind == "f" and value.shape == shape_of(shape, p) and _finite(value)

    return Parameter(name, f"finite numbers, one per {of}", holds, required=False)


def _normalized(shape: Shape, p: Parameters) -> Shape:
    return shape[len(shape) - int(p["normalized_axes"]) :]


_AXIS = Parameter("axis", "an axis of the operand", lambda value, shape, p: _integer(value, -len(shape), len(shape) - 1))
_NORMALIZED_AXES = Parameter(
    "normalized_axes", "1 to the number of the operand's axes", lambda value, shape, p: _integer(value, 1, len(shape))
)
_GROUPS = Parameter(
    "groups", "a divisor of the number of channels (the operand's first axis)",
    lambda value, shape, p: bool(shape) and _integer(value, 1, shape[0]) and shape[0] % int(value) == 0,
)  # fmt: skip
_EPS = Parameter(
    "eps",
    "a finite number that is not negative",
    lambda value, shape, p: value.ndim == 0 and _finite(value) and bool(value >= 0),
)
_HIGH = Parameter(
    "high", "a finite number of at least low",
    lambda value, shape, p: value.ndim == 0 and _finite(value) and bool(value >= p["low"]),
)  # fmt: skip
_PER_ELEMENT = tuple(_array(name, "element of the normalized axes", _normalized) for name in ("weight", "bias"))
_PER_CHANNEL = tuple(_array(name, "channel", lambda shape, p: shape[:1]) for name in ("weight", "bias"))


def _axis(parameters: Parameters, ndim: int) -> tuple[int, ...]:
    return (int(parameters["axis"]) % ndim,)


def _trailing(parameters: Parameters, ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim - int(parameters["normalized_axes"]), ndim))


FUNCTIONS: dict[str, Function] = {
    "softmax": Function("exp(x) / sum exp(x) over axis", parameters=(_AXIS,), axes=_axis, finite=True),
    "layer_norm": Function(
        "weight (x - mean) / sqrt(var + eps) + bias over the last normalized_axes axes, biased variance",
        parameters=(_NORMALIZED_AXES, _EPS, *_PER_ELEMENT),
        axes=_trailing,
    ),
    "rms_norm": Function(
        "weight x / sqrt(mean(x^2) + eps) over the last normalized_axes axes",
        parameters=(_NORMALIZED_AXES, _EPS, _PER_ELEMENT[0]),
        axes=_trailing,
    ),
    "group_norm": Function(
        "x (C, ...) in groups of C / groups channels: (x - mean) / sqrt(var + eps) each, then weight, bias per channel",
        parameters=(_GROUPS, _EPS, *_PER_CHANNEL),
        axes=lambda parameters, ndim: tuple(range(ndim)),
    ),
    "l2_norm": Function("sqrt(sum x^2) over axis, kept as size 1", parameters=(_AXIS,), axes=_axis),
    "gelu": Function("x (1 + erf(x / sqrt 2)) / 2", finite=True),
    "gelu_tanh": Function("x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2", finite=True),
    "silu": Function("x / (1 + exp(-x))", finite=True),
    "sigmoid": Function("1 / (1 + exp(-x))", finite=True),
    "tanh": Function("tanh x", finite=True),
    "relu": Function("max(x, 0)", finite=True),
    "clamp": Function("min(max(x, low), high)", parameters=(number("low"), _HIGH), finite=True),
    "hard_swish": Function("x min(max(x + 3, 0), 6) / 6"),
    "hard_sigmoid": Function("min(max(x + 3, 0), 6) / 6", finite=True),
    "leaky_relu": Function("x where x > 0, slope x elsewhere", parameters=(number("slope"),)),
    "exp": Function("exp x"),
    "sqrt": Function("sqrt x"),
    "rsqrt": Function("1 / sqrt x"),
    "reciprocal": Function("1 / x"),
    "power": Function("x^exponent", parameters=(number("exponent"),)),
    "abs": Function("|x|", finite=True),
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
