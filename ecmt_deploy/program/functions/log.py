"""Natural logarithm."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import multiplier_and_shift
from ecmt_deploy.kernels.integers import FRACTION_BITS, limit, requantised
from ecmt_deploy.program.functions import integer
from ecmt_deploy.program.functions.base import Array, Function, Parameters, register


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    fraction, highest = integer.in_octave(p, np.maximum(x, 1))
    z = (highest << FRACTION_BITS) + fraction + int(p["offset"])
    return np.where(x > 0, requantised(z, int(p["multiplier"]), int(p["shift"])), -limit(bits))


def _make(given: Parameters, formats: integer.Formats) -> dict[str, Any]:
    multiplier, shift = multiplier_and_shift(log(2) * 2.0 ** (-FRACTION_BITS - formats.result))
    x = 1 + np.arange(2**integer.OCTAVE_BITS + 1) / 2**integer.OCTAVE_BITS
    mantissa = np.rint(np.log2(x) * 2**FRACTION_BITS).astype(np.int32)
    offset = formats.operands[0] * 2**FRACTION_BITS
    return {"mantissa": mantissa, "offset": offset, "multiplier": multiplier, "shift": shift}


register(Function(
    "log", "natural logarithm of x", lambda p, x: np.log(x),
    integer.IntegerForm(_integer, _make, {
        "mantissa": integer.MANTISSA, "offset": 2**24, "multiplier": integer.WORD, "shift": integer.SHIFT,
    }),
    aten=("log",), elementary=True, primitives={"table": 1, "mul": 2, "add": 3},
))  # fmt: skip
