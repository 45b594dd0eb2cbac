"""Softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.integers import minus_infinity, shifted
from ecmt_deploy.program.functions.base import AXIS, Array, Function, along_axis, register
from ecmt_deploy.program.functions.integer import (
    MOST_RIGHT,
    SHIFT,
    SMALL,
    WORD,
    Formats,
    IntegerForm,
    Parameters,
    exponential,
    logarithm,
    power_of_two,
)

#: bits of a numerator, and of the product of a numerator and the reciprocal of the sum
NUMERATOR_BITS, RECIPROCAL_BITS = 20, 44


def _numpy(p: Parameters, x: Array) -> Array:
    axis = int(p["axis"])
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    axis = int(p["axis"])
    masked = x == minus_infinity(bits)
    mantissa, whole = power_of_two(p, x - x.max(axis=axis, keepdims=True))
    numerator = np.where(masked, 0, shifted(mantissa, np.minimum(-whole, MOST_RIGHT)))
    total = numerator.sum(axis=axis, keepdims=True)
    reciprocal = np.where(total > 0, (1 << RECIPROCAL_BITS) // np.maximum(total, 1), 0)
    return shifted(numerator * reciprocal, int(p["result_shift"]))


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    multiplier, shift = logarithm(formats.operands[0])
    return {
        "axis": int(given["axis"]), "multiplier": multiplier, "shift": shift, "mantissa": exponential(NUMERATOR_BITS),
        "result_shift": RECIPROCAL_BITS + formats.result,
    }  # fmt: skip


def _rising(p: Parameters) -> str | None:
    sound = int(p["multiplier"]) >= 0 and int(p["result_shift"]) >= 0
    return None if sound else "multiplier or result_shift is negative, expected a rising exponential"


register(Function(
    "softmax", "exp(x) / sum exp(x) over axis", _numpy,
    IntegerForm(_integer, _make, {
        "axis": SMALL, "multiplier": WORD, "shift": SHIFT, "mantissa": (2**21, 257), "result_shift": SHIFT,
    }, check=_rising),
    parameters=(AXIS,), axes=along_axis, finite=True, example={"axis": -1},
))  # fmt: skip
