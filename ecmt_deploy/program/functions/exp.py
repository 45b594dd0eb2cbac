"""Exponential."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import (
    MANTISSA,
    MANTISSA_BITS,
    SHIFT,
    WORD,
    Formats,
    IntegerForm,
    clear_shift,
    exponential,
    logarithm,
    power_of_two,
)


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    mantissa, whole = power_of_two(p, x)
    return clear_shift(mantissa, int(p["result_shift"]) - whole)


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    multiplier, shift = logarithm(formats.operands[0])
    scale = MANTISSA_BITS + 1
    return {
        "multiplier": multiplier, "shift": shift, "mantissa": exponential(scale), "result_shift": scale + formats.result
    }  # fmt: skip


register(Function(
    "exp", "exp x", lambda p, x: np.exp(x),
    IntegerForm(_integer, _make, {"multiplier": WORD, "shift": SHIFT, "mantissa": MANTISSA, "result_shift": 127}),
    aten=("exp",), elementary=True,
))  # fmt: skip
