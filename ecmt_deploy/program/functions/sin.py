"""Sine."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import multiplier_and_shift, to_integers
from ecmt_deploy.kernels.integers import FRACTION_BITS, interpolated, requantised
from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import SHIFT, Formats, IntegerForm

#: segments of a whole turn: 2**10
TURN_BITS = 10
#: bits of the multiplier that counts turns: what it lacks grows with the angle, and the product with 32 bits is still exact in
#: double precision
MULTIPLIER_BITS = 20


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    turns = requantised(x, int(p["multiplier"]), int(p["shift"]))
    return interpolated(p["values"], turns & ((1 << FRACTION_BITS) - 1), FRACTION_BITS - TURN_BITS)


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    multiplier, shift = multiplier_and_shift(2.0 ** (formats.operands[0] + FRACTION_BITS) / (2 * pi), MULTIPLIER_BITS)
    turn = np.sin(2 * pi * np.arange(2**TURN_BITS + 1) / 2**TURN_BITS)
    return {"values": to_integers(turn, formats.result, formats.bits), "multiplier": multiplier, "shift": shift}


register(Function(
    "sin", "sine of x, in radians", lambda p, x: np.sin(x),
    IntegerForm(_integer, _make, {"values": (2**31, 2**TURN_BITS + 1), "multiplier": 2**MULTIPLIER_BITS, "shift": SHIFT}),
    finite=True, aten=("sin",), elementary=True, primitives={"table": 1, "mul": 2, "add": 1},
))  # fmt: skip
