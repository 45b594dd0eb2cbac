"""The integer operations that every fixed-point kernel is made of, on int64 arrays; ``docs/fixed_point.md`` names them alike.

All are exact: no result depends on the machine, or on the order of a sum. A stream of an integer program is an array of
integers with one power-of-two exponent: value = integer * 2**exponent. What a node keeps or sends is ``state_bits`` wide, two's
complement, and saturates at +-(2**(state_bits - 1) - 1); the one number below that is minus infinity (attention masks).
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
#: no constant of a requantisation is wider: |multiplier| < 2**15
MULTIPLIER_BITS = 16
#: a left shift may be at most this
MOST_LEFT_SHIFT = 32
#: sums that stay exact in double precision, in which they may be computed
EXACT_BITS = 53
#: fraction bits of a position between two entries of a table
FRACTION_BITS = 16


def limit(bits: int) -> int:
    """Largest magnitude that ``bits`` hold: saturation is symmetric."""
    return int(2 ** (bits - 1) - 1)


def minus_infinity(bits: int) -> int:
    """The number that stands for minus infinity."""
    return int(-(2 ** (bits - 1)))


def within(array: object, lowest: int, highest: int) -> bool:
    """Whether these are signed integers from ``lowest`` to ``highest``."""
    values = np.asarray(array)
    return values.dtype.kind == "i" and (values.size == 0 or (lowest <= int(values.min()) and int(values.max()) <= highest))


def shifted(x: Array, right: Array | int) -> Array:
    """``x / 2**right`` to the nearest integer, halves up: floor(x / 2**right + 1/2); a negative ``right`` shifts to the
    left."""
    if isinstance(right, int):
        return (x + ((1 << right) >> 1)) >> right if right > 0 else x << -right
    right = np.asarray(right, np.int64)  # NumPy 1 would shift a one in as few bits as the array has
    amount = np.maximum(right, 0)
    return ((x << np.maximum(-right, 0)) + ((np.int64(1) << amount) >> 1)) >> amount


def carried(x: Array, right: Array | int, remainder: Array) -> tuple[Array, Array]:
    """``shifted(x + remainder, right)``, and what this rounding leaves: -2**(right - 1) to 2**(right - 1) - 1, in units of
    2**-right of the result; nothing where nothing is shifted to the right."""
    total = x + remainder
    result = shifted(total, right)
    return result, np.where(np.asarray(right) > 0, total - (result << np.maximum(right, 0)), 0)


def requantised(x: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """``x * multiplier / 2**shift`` to the nearest integer, halves up."""
    return shifted(x * multiplier, shift)


def divided(x: Array, divisor: int) -> Array:
    """``x / divisor`` to the nearest integer, halves up: floor((2 x + divisor) / (2 divisor))."""
    return x if divisor == 1 else (2 * x + divisor) // (2 * divisor)


def highest_bit(x: Array) -> Array:
    """Position of the highest one of positive integers below 2**53, floor(log2 x); -1 for zero."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64) - 1


def interpolated(table: Array, position: Array, bits: int) -> Array:
    """Linear interpolation: ``position`` counts entries in units of 2**-bits; ``table`` has one entry more than segments.

    a + ((b - a) * fraction, shifted right by ``bits``), with a and b the entries around the position.
    """
    index = position >> bits
    low = table[index]
    return low + shifted((table[index + 1] - low) * (position & ((1 << bits) - 1)), bits)


def normalised_mantissa(x: Array, highest: Array, segments_bits: int) -> Array:
    """Positive ``x`` as mantissa minus one, in segments of 2**-segments_bits of an octave with ``FRACTION_BITS`` behind.

    ``highest`` is the bit that counts as one: floor(log2 x), or an even number at or one below it.
    """
    bits = segments_bits + FRACTION_BITS
    drop = highest - bits
    aligned = np.where(drop > 0, x >> np.maximum(drop, 0), x << np.maximum(-drop, 0))
    return aligned - (np.int64(1) << bits)
