"""What layer, RMS and group norm share: standardising, the affine map behind it, and their form in integers."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, isqrt, log2
from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import multipliers_and_shifts, to_integers
from ecmt_deploy.kernels.integers import FRACTION_BITS, divided, requantised, shifted
from ecmt_deploy.program.functions import integer
from ecmt_deploy.program.functions.base import Parameter, Shape, is_integer, one_per
from ecmt_deploy.program.primitives import together

NORMALIZED_AXES = Parameter(
    "normalized_axes", "1 to the number of the operand's axes", lambda value, shape, p: is_integer(value, 1, len(shape))
)
WEIGHT, BIAS = (
    one_per(name, "element of the normalized axes", lambda shape, p: shape[len(shape) - int(p["normalized_axes"]) :])
    for name in ("weight", "bias")
)

#: once per row: the mean of squares (and of elements), epsilon, and the reciprocal root
ROOT = together(integer.POWER, {"mul": 2, "add": 1})


def trailing(p: integer.Parameters, ndim: int) -> tuple[int, ...]:
    """The last ``normalized_axes`` axes."""
    return tuple(range(ndim - int(p["normalized_axes"]), ndim))


def affine(p: integer.Parameters, x: integer.Array) -> integer.Array:
    """weight x + bias, where they are given."""
    if "weight" in p:
        x = x * p["weight"].astype(x.dtype)
    if "bias" in p:
        x = x + p["bias"].astype(x.dtype)
    return x


def standardise(x: integer.Array, axes: tuple[int, ...], eps: float) -> integer.Array:
    """(x - mean) / sqrt(var + eps), biased variance."""
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = np.mean(centred * centred, axis=axes, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(eps))


# --- in integers ----------------------------------------------------------------------------------------------------------


def normalised(p: integer.Parameters, c: integer.Array, axes: tuple[int, ...], mean_of: int) -> integer.Array:
    """c / sqrt(mean(c^2) + eps) with ``fraction_bits`` behind the point."""
    epsilon = int(p["epsilon"])
    squares, right = integer.block(c, axes, isqrt(epsilon))
    variance = divided((squares * squares).sum(axis=axes, keepdims=True), mean_of) + shifted(
        np.full_like(right, epsilon), 2 * right
    )
    mantissa, even = integer.root(p["mantissa"], np.maximum(variance, 1))
    result = integer.clear_shift(c * mantissa, FRACTION_BITS + even + right - int(p["fraction_bits"]))
    return np.where(variance > 0, result, 0)


def integer_affine(p: integer.Parameters, y: integer.Array, shape: Shape = ()) -> integer.Array:
    """weight y + bias in integers; both are brought to ``shape`` where one is given."""
    multiplier, shift, bias = (np.asarray(p[key], np.int64) for key in ("weight", "weight_shift", "bias"))
    if shape:
        multiplier, shift, bias = (a.reshape(shape) if a.ndim else a for a in (multiplier, shift, bias))
    return requantised(y, multiplier, shift) + bias


def integer_norm(
    evaluate: Callable[..., integer.Array], extent: str, most: int, size_of: Callable[[integer.Parameters, Shape], int]
) -> integer.IntegerForm:
    """The form of a norm.

    integer.Parameters
    ----------
    evaluate : from parameters, width and operand
    extent, most : the parameter that says what is normalised, and its largest value
    size_of : elements that are normalised together, from parameters and the operand's shape
    """

    def make(given: integer.Parameters, formats: integer.Formats) -> dict[str, Any]:
        size, result = size_of(given, formats.shape), formats.result
        fraction = max(formats.bits - 2 - ceil(log2(max(size, 2)) / 2), 0)  # no element exceeds sqrt(size)
        weight = np.asarray(given.get("weight", np.ones(())), np.float64)
        multiplier, shift = multipliers_and_shifts(weight * 2.0 ** (-fraction - result))
        bias = np.asarray(given.get("bias", np.zeros(())), np.float64)
        return {
            extent: int(given[extent]),
            "epsilon": min(round(float(given["eps"]) * 2.0 ** (-2 * formats.operands[0])), integer.WIDE),
            "mantissa": integer.two_octaves(-0.5, integer.MANTISSA_BITS + 1), "fraction_bits": fraction, "weight": multiplier,
            "weight_shift": shift, "bias": to_integers(bias, result, formats.bits),
        }  # fmt: skip

    return integer.IntegerForm(evaluate, make, {
        extent: most, "epsilon": integer.WIDE, "mantissa": integer.TWO_OCTAVES, "fraction_bits": 30,
        "weight": integer.WORD, "weight_shift": integer.SHIFT,
        "bias": 2**31,
    })  # fmt: skip
