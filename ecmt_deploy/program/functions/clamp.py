"""Clamp."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import to_integers
from ecmt_deploy.program.functions.base import Function, Parameter, Parameters, is_finite, number, register
from ecmt_deploy.program.functions.integer import Formats, IntegerForm

_HIGH = Parameter(
    "high", "a finite number of at least low",
    lambda value, shape, p: value.ndim == 0 and is_finite(value) and bool(value >= p["low"]),
)  # fmt: skip


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    return {key: int(to_integers(float(given[key]), formats.result, formats.bits)) for key in ("low", "high")}


register(Function(
    "clamp", "min(max(x, low), high)", lambda p, x: np.clip(x, x.dtype.type(p["low"]), x.dtype.type(p["high"])),
    IntegerForm(
        lambda p, bits, x: np.clip(x, int(p["low"]), int(p["high"])), _make, {"low": 2**31, "high": 2**31}, keeps_format=True
    ),
    parameters=(number("low"), _HIGH), finite=True, primitives={"compare": 2},
    example={"low": -0.5, "high": 1.0},
))  # fmt: skip
