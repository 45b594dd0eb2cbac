"""Quotient of two operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import MANTISSA, Formats, IntegerForm, clear_shift, in_octave, octave, octave_scale


def _integer(p: Parameters, bits: int, x: Array, y: Array) -> Array:
    mantissa, highest = in_octave(p, np.maximum(np.abs(y), 1))
    quotient = clear_shift(x * mantissa, int(p["result_shift"]) + highest)
    return np.where(y == 0, np.sign(x) << (bits - 1), np.where(y < 0, -quotient, quotient))


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    x, y = formats.operands
    return {"mantissa": octave(-1.0), "result_shift": octave_scale(-1.0) + formats.result - x + y}


register(Function(
    "divide", "x / y", lambda p, x, y: x / y, IntegerForm(_integer, _make, {"mantissa": MANTISSA, "result_shift": 127}),
    operands=2, elementary=True, primitives={"table": 1, "mul": 2, "add": 1, "compare": 1},
))  # fmt: skip
