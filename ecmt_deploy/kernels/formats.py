"""From real numbers to integers: exponents, multipliers with shifts, saturated integers."""

from __future__ import annotations

from math import frexp, log2

import numpy as np

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.kernels.integers import highest_bit, limit, minus_infinity

LOWEST_EXPONENT, HIGHEST_EXPONENT = -48, 48


def exponent_for(magnitude: float, bits: int) -> int:
    """The smallest exponent with which ``bits`` hold ``magnitude``."""
    if magnitude <= 0:
        return LOWEST_EXPONENT
    exponent = int(np.ceil(log2(magnitude / limit(bits))))
    return int(np.clip(exponent, LOWEST_EXPONENT, HIGHEST_EXPONENT))


def multiplier_and_shift(ratio: float, bits: int = 15) -> tuple[int, int]:
    """``ratio`` as multiplier / 2**shift, the multiplier of ``bits`` bits besides its sign; (0, 0) where nothing would be left.

    Raises
    ------
    ConfigError
        if the ratio is too large for a shift.
    """
    mantissa, exponent = frexp(ratio)
    multiplier, shift = round(mantissa * 2**bits), bits - exponent
    if abs(multiplier) == 2**bits:
        multiplier, shift = multiplier // 2, shift - 1
    if multiplier == 0 or shift > 62:
        return 0, 0
    if shift < -16:
        raise ConfigError(f"a requantisation by {ratio:g} is out of range: the streams' ranges are too far apart")
    return multiplier, shift


def multipliers_and_shifts(ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`multiplier_and_shift` of every element."""
    pairs = [multiplier_and_shift(float(ratio)) for ratio in np.ravel(ratios)]
    made = np.array(pairs, np.int64).reshape(*np.shape(ratios), 2)
    return made[..., 0].astype(np.int16), made[..., 1].astype(np.int8)


def requantisations(ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`multipliers_and_shifts` in lowest terms, which computes the same and leaves the shortest remainder.

    That of a power of two is as long as its shift, and of a whole number there is none.
    """
    multiplier, shift = (array.astype(np.int64) for array in multipliers_and_shifts(ratios))
    even = np.maximum(highest_bit(multiplier & -multiplier), 0)
    drop = np.minimum(even, np.maximum(shift, 0))
    return (multiplier >> drop).astype(np.int16), (shift - drop).astype(np.int8)


def to_integers(x: np.ndarray | float, exponent: int, bits: int) -> np.ndarray:
    """The nearest integers of an exponent, saturated; minus infinity is the number below."""
    x = np.asarray(x, np.float64)
    clipped = np.clip(np.rint(np.ldexp(x, -exponent)), -limit(bits), limit(bits))
    return np.where(np.isneginf(x), minus_infinity(bits), clipped).astype(np.int32)
