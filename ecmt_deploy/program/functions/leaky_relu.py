"""Leaky ReLU."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import multiplier_and_shift
from ecmt_deploy.kernels.integers import requantised
from ecmt_deploy.program.functions.base import Function, Parameters, number, register
from ecmt_deploy.program.functions.integer import SHIFT, WORD, Formats, IntegerForm


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    multiplier, shift = multiplier_and_shift(float(given["slope"]))
    return {"multiplier": multiplier, "shift": shift}


register(Function(
    "leaky_relu", "x where x > 0, slope x elsewhere", lambda p, x: np.where(x > 0, x, x * x.dtype.type(p["slope"])),
    IntegerForm(
        lambda p, bits, x: np.where(x > 0, x, requantised(x, int(p["multiplier"]), int(p["shift"]))), _make,
        {"multiplier": WORD, "shift": SHIFT}, keeps_format=True,
    ),
    parameters=(number("slope"),), primitives={"compare": 1, "mul": 1}, example={"slope": 0.1},
))  # fmt: skip
