"""Functions in integers: what is common to their forms. Tables and constants are computed once, when a program is quantised,
and stand in the program: whoever runs it needs no exponential function. ``docs/fixed_point.md`` specifies every form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, e, log2
from typing import Any, NamedTuple

import numpy as np

from ecmt_deploy.kernels.formats import multiplier_and_shift, multipliers_and_shifts, to_integers
from ecmt_deploy.kernels.integers import (
    FRACTION_BITS,
    highest_bit,
    interpolated,
    limit,
    normalised_mantissa,
    requantised,
    shifted,
)

Array = np.ndarray
Parameters = Mapping[str, Any]
#: segments of a table over one octave: 2**8; over two octaves, from 1 to 4, 3 * 2**7
OCTAVE_BITS, TWO_OCTAVES_BITS = 8, 7
#: entries of an elementwise table, less one
SEGMENTS = 1024
MANTISSA_BITS = 15
#: the largest magnitude of a parameter: a multiplier, a shift, a small count, a wide constant
WORD, SHIFT, SMALL, WIDE = 2**15, 62, 2**10, 2**48
#: a table of one octave: magnitude and number of entries
MANTISSA = (2**17, 257)
#: a power by its table: read and interpolated, then requantised by the multiplier of its octave, read from a second one
POWER = {"table": 2, "mul": 2, "add": 1}
#: results are clipped by the caller; shifts beyond these would only leave zero, or overflow
MOST_RIGHT, MOST_LEFT = 62, 18


class Formats(NamedTuple):
    """For what an integer function is made.

    Attributes
    ----------
    operands, result : exponents of operands and result
    magnitude : range of the operand
    bits : width of state
    shape : of the operand
    """

    operands: list[int]
    result: int
    magnitude: float
    bits: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class IntegerForm:
    """How integer programs compute a function.

    Attributes
    ----------
    evaluate : the value, not yet saturated, from parameters, width of the operands, and operands
    make : the parameters, from those of the float function and the formats
    parameters : every parameter and the largest magnitude of it; a pair is an array of that many entries (``None``: at least
        two)
    keeps_format : whether the result has the format of the operand
    check : a rule of all parameters together, in words where it is broken
    """

    evaluate: Callable[..., Array]
    make: Callable[[Parameters, Formats], dict[str, Any]] = lambda given, formats: {}
    parameters: Mapping[str, Any] = field(default_factory=dict)
    keeps_format: bool = False
    check: Callable[[Parameters], str | None] = lambda p: None

    def parameters_for(self, given: Parameters, formats: Formats) -> dict[str, np.ndarray]:
        """The parameters as arrays."""
        made = self.make(given, formats)
        return {key: value if isinstance(value, np.ndarray) else np.asarray(value, np.int64) for key, value in made.items()}


def clear_shift(x: Array, right: Array) -> Array:
    """A right shift, limited to what leaves anything."""
    return shifted(x, np.clip(right, -MOST_LEFT, MOST_RIGHT))


# --- elementwise functions as tables --------------------------------------------------------------------------------------

_TABLE = {
    "values": (2**31, None), "start": 2**31, "segment_bits": 31, "left_multiplier": WORD, "left_shift": SHIFT,
    "right_multiplier": WORD, "right_shift": SHIFT,
}  # fmt: skip


def table(function: Callable[..., Array], reach: float, left: float, right: float) -> IntegerForm:
    """A table of an elementwise function, piecewise linear, and straight lines outside.

    Parameters
    ----------
    function : its arithmetic in NumPy
    reach : magnitude beyond which it is close to straight lines
    left, right : slopes of these
    """

    def make(given: Parameters, formats: Formats) -> dict[str, Any]:
        operand, result = formats.operands[0], formats.result
        core = min(reach, 4 * formats.magnitude) or reach
        segment = max(0, ceil(log2(2 * core / SEGMENTS) - operand))
        start = -(SEGMENTS // 2) << segment
        knots = np.ldexp(start + (np.arange(SEGMENTS + 1) << segment), operand).astype(np.float64)
        with np.errstate(all="ignore"):
            exact = function(given, knots)
        slopes: Any = (left, right)
        if core < reach:  # operands are not expected out there: go on as the table ends
            slopes = tuple(np.diff(exact)[[0, -1]] / np.diff(knots)[[0, -1]])
        (lm, ls), (rm, rs) = (multiplier_and_shift(float(s) * 2.0 ** (operand - result)) for s in slopes)
        return {
            "values": to_integers(exact, result, formats.bits), "start": start, "segment_bits": segment,
            "left_multiplier": lm, "left_shift": ls, "right_multiplier": rm, "right_shift": rs,
        }  # fmt: skip

    return IntegerForm(_interpolate, make, _TABLE, check=_table_end)


def _interpolate(p: Parameters, bits: int, x: Array) -> Array:
    values, start, segment = p["values"], int(p["start"]), int(p["segment_bits"])
    end = start + ((len(values) - 1) << segment)
    inside = np.clip(x, start, end - 1)
    y = interpolated(values, inside - start, segment)
    left = values[0] + requantised(x - start, int(p["left_multiplier"]), int(p["left_shift"]))
    right = values[-1] + requantised(x - end, int(p["right_multiplier"]), int(p["right_shift"]))
    return np.where(x < start, left, np.where(x >= end, right, y))


def _table_end(p: Parameters) -> str | None:
    end = int(p["start"]) + ((len(p["values"]) - 1) << int(p["segment_bits"]))
    return None if end < 2**40 else f"values reach up to {end}, expected a table within the operand"


# --- powers, by octaves ---------------------------------------------------------------------------------------------------


def octave(power: float) -> np.ndarray:
    """x**power over [1, 2], largest entry between 2**15 and 2**16; its scale is :func:`octave_scale`."""
    x = 1 + np.arange(2**OCTAVE_BITS + 1) / 2**OCTAVE_BITS
    return np.rint(x**power * 2 ** octave_scale(power)).astype(np.int32)


def octave_scale(power: float) -> int:
    """Binary logarithm of the scale of :func:`octave`."""
    return MANTISSA_BITS + 1 - ceil(max(power, 0.0))


def in_octave(p: Parameters, x: Array) -> tuple[Array, Array]:
    """Table value of the mantissa of positive ``x``, and its whole exponent."""
    highest = highest_bit(x)
    return interpolated(p["mantissa"], normalised_mantissa(x, highest, OCTAVE_BITS), FRACTION_BITS), highest


def power(exponent: Callable[[Parameters], float]) -> IntegerForm:
    """A power of x: the mantissa's by table, the exponent's by a multiplier of its own; ``sign`` of negative x: 0, 1 (even
    powers), -1 (odd ones)."""

    def make(given: Parameters, formats: Formats) -> dict[str, Any]:
        to, operand, result = exponent(given), formats.operands[0], formats.result
        whole = to == int(to)
        sign = 0 if not whole else (1 if int(to) % 2 == 0 else -1)
        scale = octave_scale(to)
        ratios = np.exp2(np.clip(to * (np.arange(32) + operand) - scale - result, -62, 31 - MANTISSA_BITS))
        multiplier, shift = multipliers_and_shifts(ratios)
        at_zero = limit(formats.bits) if to < 0 else int(to_integers(0.0 if to > 0 else 1.0, result, formats.bits))
        return {"mantissa": octave(to), "multiplier": multiplier, "shift": shift, "at_zero": at_zero, "sign": sign}

    return IntegerForm(_power, make, {
        "mantissa": MANTISSA, "multiplier": (WORD, 32), "shift": (SHIFT, 32), "at_zero": 2**31, "sign": 1,
    })  # fmt: skip


def _power(p: Parameters, bits: int, x: Array) -> Array:
    mantissa, highest = in_octave(p, np.maximum(np.abs(x), 1))
    y = requantised(mantissa, p["multiplier"][highest], p["shift"][highest])
    return np.where(x == 0, int(p["at_zero"]), np.where(x < 0, int(p["sign"]) * y, y))


# --- exponentials ---------------------------------------------------------------------------------------------------------


def exponential(scale: int) -> np.ndarray:
    """2**x over [0, 1], times 2**scale."""
    return np.rint(np.exp2(np.arange(2**OCTAVE_BITS + 1) / 2**OCTAVE_BITS) * 2**scale).astype(np.int32)


def logarithm(exponent: int) -> tuple[int, int]:
    """Multiplier and shift from integers of ``exponent`` to the binary logarithm of their exponential, 16 bits behind
    the point."""
    return multiplier_and_shift(log2(e) * 2.0 ** (exponent + 16))


def power_of_two(p: Parameters, x: Array) -> tuple[Array, Array]:
    """2**(x * multiplier / 2**shift) as table value and whole exponent."""
    z = requantised(x, int(p["multiplier"]), int(p["shift"]))
    position = z & ((1 << FRACTION_BITS) - 1)
    return interpolated(p["mantissa"], position, FRACTION_BITS - OCTAVE_BITS), z >> FRACTION_BITS


# --- roots of sums of squares ---------------------------------------------------------------------------------------------

#: bits that the largest element of a row is brought to before squares are summed
BLOCK_BITS = 15
#: a table of two octaves
TWO_OCTAVES = (2**17, 385)


def two_octaves(to: float, scale: int) -> np.ndarray:
    """x**to over [1, 4], times 2**scale."""
    x = 1 + np.arange(3 * 2**TWO_OCTAVES_BITS + 1) / 2**TWO_OCTAVES_BITS
    return np.rint(x**to * 2**scale).astype(np.int32)


def root(values: Array, v: Array) -> tuple[Array, Array]:
    """Table value at v / 4**j, between 1 and 4, and j; ``v`` positive."""
    even = highest_bit(v) >> 1
    return interpolated(values, normalised_mantissa(v, 2 * even, TWO_OCTAVES_BITS), FRACTION_BITS), even


def block(x: Array, axes: tuple[int, ...], at_least: int) -> tuple[Array, Array]:
    """Rows shifted so that their largest element (or ``at_least``) has BLOCK_BITS bits, and the shift of each row."""
    largest = np.maximum(np.abs(x).max(axis=axes, keepdims=True), at_least)
    right = highest_bit(largest) + 1 - BLOCK_BITS
    return shifted(x, right), right
