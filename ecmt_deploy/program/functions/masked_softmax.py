"""Softmax of what a mask allows.

The mask is an operand of its own, of ones and zeros, and not minus infinity in a stream: what changes of a stream from step to
step, or from quantised range to range, is then a finite number everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import to_integers
from ecmt_deploy.kernels.integers import shifted
from ecmt_deploy.program.functions import integer, softmax
from ecmt_deploy.program.functions.base import AXIS, Array, Function, Parameter, Parameters, along_axis, is_finite, register

EMPTY = Parameter(
    "empty", "a number from 0 to 1", lambda value, shape, p: value.ndim == 0 and is_finite(value) and bool(0 <= value <= 1)
)


def _numpy(p: Parameters, x: Array, allowed: Array) -> Array:
    axis, kept = int(p["axis"]), allowed > 0.5
    kept, x = np.broadcast_arrays(kept, x)
    largest = np.max(x, axis=axis, keepdims=True, where=kept, initial=-np.inf)
    e = np.where(kept, np.exp(x - np.where(np.isfinite(largest), largest, 0)), 0).astype(x.dtype)
    total = e.sum(axis=axis, keepdims=True)
    return np.where(total > 0, e / np.where(total > 0, total, 1), x.dtype.type(p["empty"]))


def _integer(p: Parameters, bits: int, x: Array, allowed: Array) -> Array:
    axis = int(p["axis"])
    kept, x = np.broadcast_arrays(allowed > 0, x)
    largest = np.where(kept, x, -(2**31)).max(axis=axis, keepdims=True)
    mantissa, whole = integer.power_of_two(p, np.where(kept, x - largest, 0))
    numerator = np.where(kept, shifted(mantissa, np.minimum(-whole, integer.MOST_RIGHT)), 0)
    total = numerator.sum(axis=axis, keepdims=True)
    reciprocal = (1 << softmax.RECIPROCAL_BITS) // np.maximum(total, 1)
    return np.where(total > 0, shifted(numerator * reciprocal, int(p["result_shift"])), int(p["empty"]))


def _make(given: Parameters, formats: integer.Formats) -> dict[str, Any]:
    empty = int(to_integers(float(given["empty"]), formats.result, formats.bits))
    return {**softmax.make(given, formats), "empty": empty}


register(Function(
    "masked_softmax", "softmax over axis of what the second operand allows, 1 or 0; empty where that is nothing",
    _numpy,
    integer.IntegerForm(_integer, _make, {**softmax.BOUNDS, "empty": 2**31}, check=softmax.rising),
    operands=2, parameters=(AXIS, EMPTY), axes=along_axis, reductions=2, finite=True, sums_to_one=True, exact_operands=(1,),
    # as softmax, and whether an element is allowed
    primitives={"compare": 2, "add": 3, "table": 1, "mul": 2, "load": 3, "store": 1},
    row_primitives=integer.POWER, example={"axis": -1, "empty": 0.0},
))  # fmt: skip
