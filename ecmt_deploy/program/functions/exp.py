"""Exponential."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.program.functions import integer
from ecmt_deploy.program.functions.base import Array, Function, Parameters, register


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    mantissa, whole = integer.power_of_two(p, x)
    return integer.clear_shift(mantissa, int(p["result_shift"]) - whole)


def _make(given: Parameters, formats: integer.Formats) -> dict[str, Any]:
    multiplier, shift = integer.logarithm(formats.operands[0])
    scale = integer.MANTISSA_BITS + 1
    return {
        "multiplier": multiplier, "shift": shift, "mantissa": integer.exponential(scale), "result_shift": scale + formats.result
    }  # fmt: skip


register(Function(
    "exp", "exp x", lambda p, x: np.exp(x),
    integer.IntegerForm(_integer, _make, {
        "multiplier": integer.WORD, "shift": integer.SHIFT, "mantissa": integer.MANTISSA, "result_shift": 127,
    }),
    aten=("exp",), elementary=True, primitives={"table": 1, "mul": 1, "add": 1},
))  # fmt: skip
