"""Softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.integers import minus_infinity, shifted
from ecmt_deploy.program.functions import integer
from ecmt_deploy.program.functions.base import AXIS, Array, Function, along_axis, register

#: bits of a numerator, and of the product of a numerator and the reciprocal of the sum
NUMERATOR_BITS, RECIPROCAL_BITS = 20, 44
#: the largest magnitude of every integer parameter
BOUNDS = {
    "axis": integer.SMALL, "multiplier": integer.WORD, "shift": integer.SHIFT, "mantissa": (2**21, 257),
    "result_shift": integer.SHIFT,
}  # fmt: skip


def _numpy(p: integer.Parameters, x: Array) -> Array:
    axis = int(p["axis"])
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _integer(p: integer.Parameters, bits: int, x: Array) -> Array:
    axis = int(p["axis"])
    masked = x == minus_infinity(bits)
    mantissa, whole = integer.power_of_two(p, x - x.max(axis=axis, keepdims=True))
    numerator = np.where(masked, 0, shifted(mantissa, np.minimum(-whole, integer.MOST_RIGHT)))
    total = numerator.sum(axis=axis, keepdims=True)
    reciprocal = np.where(total > 0, (1 << RECIPROCAL_BITS) // np.maximum(total, 1), 0)
    return shifted(numerator * reciprocal, int(p["result_shift"]))


def make(given: integer.Parameters, formats: integer.Formats) -> dict[str, Any]:
    """The integer parameters of a softmax."""
    multiplier, shift = integer.logarithm(formats.operands[0])
    return {
        "axis": int(given["axis"]), "multiplier": multiplier, "shift": shift, "mantissa": integer.exponential(NUMERATOR_BITS),
        "result_shift": RECIPROCAL_BITS + formats.result,
    }  # fmt: skip


def rising(p: integer.Parameters) -> str | None:
    """Why the exponential of these parameters does not rise; ``None`` where it does."""
    sound = int(p["multiplier"]) >= 0 and int(p["result_shift"]) >= 0
    return None if sound else "multiplier or result_shift is negative, expected a rising exponential"


register(Function(
    "softmax", "exp(x) / sum exp(x) over axis", _numpy,
    integer.IntegerForm(_integer, make, BOUNDS, check=rising),
    parameters=(AXIS,), axes=along_axis, reductions=2, finite=True, sums_to_one=True,
    # maximum; difference to it, exponential, sum (each element read again, its numerator kept); numerator times reciprocal
    primitives={"compare": 1, "add": 3, "table": 1, "mul": 2, "load": 2, "store": 1},
    row_primitives=integer.POWER, example={"axis": -1},
))  # fmt: skip
