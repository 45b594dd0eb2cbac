"""Whether a number lies in an interval: equality and order of exact streams."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import to_integers
from ecmt_deploy.program.functions.base import Array, Function, Parameters, number, register
from ecmt_deploy.program.functions.integer import Formats, IntegerForm

#: bounds of integers: no stream reaches beyond
_MOST = 2**31


def _numpy(p: Parameters, x: Array) -> Array:
    return ((x >= p["low"]) & (x <= p["high"])).astype(x.dtype)


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    return np.where((x >= int(p["low"])) & (x <= int(p["high"])), int(p["one"]), 0)


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    low, high = (np.ldexp(float(given[name]), -formats.operands[0]) for name in ("low", "high"))
    return {
        "low": int(np.clip(np.ceil(low), -_MOST, _MOST)), "high": int(np.clip(np.floor(high), -_MOST, _MOST)),
        "one": int(to_integers(1.0, formats.result, formats.bits)),
    }  # fmt: skip


register(Function(
    "inside", "1 where low <= x <= high, otherwise 0", _numpy,
    IntegerForm(_integer, _make, {"low": _MOST, "high": _MOST, "one": _MOST}),
    parameters=(number("low"), number("high")), finite=True, needs_exact=True, elementary=True,
    primitives={"compare": 2}, example={"low": 0.0, "high": 0.0},
))  # fmt: skip
