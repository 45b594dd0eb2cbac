"""The functions of an ECM in integers: tables, multiplications, shifts, and one division per row where a reciprocal is needed.

Every function takes integers m (int64, ``state_bits`` wide) and the parameters that
:mod:`ecmt_deploy.quantization.functions` made for the
exponents of operand and result, and returns integers that the caller saturates. ``docs/fixed_point.md`` describes each step.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np

from ecmt_deploy.kernels.fixed.arithmetic import (
    FRACTION_BITS,
    divided,
    highest_bit,
    interpolated,
    normalised_mantissa,
    requantised,
    shifted,
)
from ecmt_deploy.program.fixed import minus_infinity
from ecmt_deploy.program.fixed_rules import TABLES

Array = np.ndarray
Parameters = dict[str, Any]
#: segments of a table over one octave: 2**8; over two octaves, from 1 to 4, 3 * 2**7
OCTAVE_BITS, TWO_OCTAVES_BITS = 8, 7
#: bits of a softmax numerator, and of the product of a numerator and the reciprocal of the sum
NUMERATOR_BITS, RECIPROCAL_BITS = 20, 44
#: bits that the largest element of a row is brought to before squares are summed
BLOCK_BITS = 15
#: results are clipped by the caller; shifts beyond these would only leave zero, or overflow
MOST_RIGHT, MOST_LEFT = 62, 18


def evaluate(function: str, parameters: Parameters, bits: int, *operands: Array) -> Array:
    """The value of ``function``, not yet saturated; ``bits`` is the width of the operands."""
    result: Array = _INTEGER[function](parameters, bits, *operands)
    return result


def _clear_shift(x: Array, right: Array) -> Array:
    return shifted(x, np.clip(right, -MOST_LEFT, MOST_RIGHT))


def _table(p: Parameters, bits: int, x: Array) -> Array:
    """Piecewise linear between equidistant entries; straight lines outside."""
    values, start, segment = p["values"], int(p["start"]), int(p["segment_bits"])
    end = start + ((len(values) - 1) << segment)
    inside = np.clip(x, start, end - 1)
    y = interpolated(values, inside - start, segment)
    left = values[0] + requantised(x - start, int(p["left_multiplier"]), int(p["left_shift"]))
    right = values[-1] + requantised(x - end, int(p["right_multiplier"]), int(p["right_shift"]))
    return np.where(x < start, left, np.where(x >= end, right, y))


def _power_of_two(p: Parameters, x: Array) -> tuple[Array, Array]:
    """2**(x * multiplier / 2**shift) as table value and whole exponent."""
    z = requantised(x, int(p["multiplier"]), int(p["shift"]))
    position = z & ((1 << FRACTION_BITS) - 1)
    return interpolated(p["mantissa"], position, FRACTION_BITS - OCTAVE_BITS), z >> FRACTION_BITS


def _exp(p: Parameters, bits: int, x: Array) -> Array:
    mantissa, whole = _power_of_two(p, x)
    return _clear_shift(mantissa, int(p["result_shift"]) - whole)


def _softmax(p: Parameters, bits: int, x: Array) -> Array:
    axis = int(p["axis"])
    masked = x == minus_infinity(bits)
    mantissa, whole = _power_of_two(p, x - x.max(axis=axis, keepdims=True))
    numerator = np.where(masked, 0, shifted(mantissa, np.minimum(-whole, MOST_RIGHT)))
    total = numerator.sum(axis=axis, keepdims=True)
    reciprocal = np.where(total > 0, (1 << RECIPROCAL_BITS) // np.maximum(total, 1), 0)
    return shifted(numerator * reciprocal, int(p["result_shift"]))


def _root(table: Array, v: Array) -> tuple[Array, Array]:
    """Table value at v / 4**j, between 1 and 4, and j; ``v`` positive."""
    even = highest_bit(v) >> 1
    return interpolated(table, normalised_mantissa(v, 2 * even, TWO_OCTAVES_BITS), FRACTION_BITS), even


def _block(x: Array, axes: tuple[int, ...], at_least: int) -> tuple[Array, Array]:
    """Rows shifted so that their largest element (or ``at_least``) has BLOCK_BITS bits, and the shift of each row."""
    largest = np.maximum(np.abs(x).max(axis=axes, keepdims=True), at_least)
    right = highest_bit(largest) + 1 - BLOCK_BITS
    return shifted(x, right), right


def _normalised(p: Parameters, c: Array, axes: tuple[int, ...], mean_of: int) -> Array:
    """c / sqrt(mean(c^2) + eps) with ``fraction_bits`` behind the point."""
    epsilon = int(p["epsilon"])
    block, right = _block(c, axes, isqrt(epsilon))
    variance = divided((block * block).sum(axis=axes, keepdims=True), mean_of) + shifted(
        np.full_like(right, epsilon), 2 * right
    )
    mantissa, even = _root(p["mantissa"], np.maximum(variance, 1))
    result = _clear_shift(c * mantissa, FRACTION_BITS + even + right - int(p["fraction_bits"]))
    return np.where(variance > 0, result, 0)


def _affine(p: Parameters, y: Array, shape: tuple[int, ...]) -> Array:
    multiplier, shift, bias = (np.asarray(p[key], np.int64) for key in ("weight", "weight_shift", "bias"))
    if shape:
        multiplier, shift, bias = (a.reshape(shape) if a.ndim else a for a in (multiplier, shift, bias))
    return requantised(y, multiplier, shift) + bias


def _trailing(p: Parameters, x: Array) -> tuple[tuple[int, ...], int]:
    axes = tuple(range(x.ndim - int(p["normalized_axes"]), x.ndim))
    return axes, int(np.prod([x.shape[axis] for axis in axes]))


def _layer_norm(p: Parameters, bits: int, x: Array) -> Array:
    axes, size = _trailing(p, x)
    centred = x - divided(x.sum(axis=axes, keepdims=True), size)
    return _affine(p, _normalised(p, centred, axes, size), ())


def _rms_norm(p: Parameters, bits: int, x: Array) -> Array:
    axes, size = _trailing(p, x)
    return _affine(p, _normalised(p, x, axes, size), ())


def _group_norm(p: Parameters, bits: int, x: Array) -> Array:
    grouped = x.reshape(int(p["groups"]), -1)
    centred = grouped - divided(grouped.sum(axis=1, keepdims=True), grouped.shape[1])
    y = _normalised(p, centred, (1,), grouped.shape[1]).reshape(x.shape)
    return _affine(p, y, (-1, *([1] * (x.ndim - 1))))


def _l2_norm(p: Parameters, bits: int, x: Array) -> Array:
    axis = int(p["axis"])
    block, right = _block(x, (axis,), 1)
    squares = (block * block).sum(axis=axis, keepdims=True)
    mantissa, even = _root(p["mantissa"], np.maximum(squares, 1))
    result = _clear_shift(mantissa, int(p["result_shift"]) - even - right)
    return np.where(squares > 0, result, 0)


def _octave(p: Parameters, x: Array) -> tuple[Array, Array]:
    """Table value of the mantissa of positive ``x``, and its whole exponent."""
    highest = highest_bit(x)
    return interpolated(p["mantissa"], normalised_mantissa(x, highest, OCTAVE_BITS), FRACTION_BITS), highest


def _power(p: Parameters, bits: int, x: Array) -> Array:
    """The mantissa's power by table, the exponent's by a multiplier of its own; ``sign`` of negative x: 0, 1 (even), -1
    (odd)."""
    magnitude = np.maximum(np.abs(x), 1)
    mantissa, highest = _octave(p, magnitude)
    y = requantised(mantissa, p["multiplier"][highest], p["shift"][highest])
    return np.where(x == 0, int(p["at_zero"]), np.where(x < 0, int(p["sign"]) * y, y))


def _divide(p: Parameters, bits: int, x: Array, y: Array) -> Array:
    mantissa, highest = _octave(p, np.maximum(np.abs(y), 1))
    quotient = _clear_shift(x * mantissa, int(p["result_shift"]) + highest)
    return np.where(y == 0, np.sign(x) << (bits - 1), np.where(y < 0, -quotient, quotient))


def _leaky_relu(p: Parameters, bits: int, x: Array) -> Array:
    return np.where(x > 0, x, requantised(x, int(p["multiplier"]), int(p["shift"])))


_INTEGER: dict[str, Callable[..., Array]] = {
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "l2_norm": _l2_norm,
    **dict.fromkeys(TABLES, _table),
    **dict.fromkeys(("sqrt", "rsqrt", "reciprocal", "power"), _power),
    "exp": _exp,
    "divide": _divide,
    "relu": lambda p, bits, x: np.maximum(x, 0),
    "abs": lambda p, bits, x: np.abs(x),
    "clamp": lambda p, bits, x: np.clip(x, int(p["low"]), int(p["high"])),
    "leaky_relu": _leaky_relu,
}
