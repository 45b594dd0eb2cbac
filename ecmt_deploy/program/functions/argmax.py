"""Where a row of an exact stream has its maximum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import to_integers
from ecmt_deploy.program.functions import integer
from ecmt_deploy.program.functions.base import AXIS, Array, Function, Parameters, along_axis, register


def _numpy(p: Parameters, x: Array) -> Array:
    return np.argmax(x, axis=int(p["axis"]), keepdims=True).astype(x.dtype)


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    return np.argmax(x, axis=int(p["axis"]), keepdims=True) * int(p["one"])


def _make(given: Parameters, formats: integer.Formats) -> dict[str, Any]:
    return {"axis": int(given["axis"]), "one": int(to_integers(1.0, formats.result, formats.bits))}


register(Function(
    "argmax", "index of the first maximum over axis, kept as size 1", _numpy,
    integer.IntegerForm(_integer, _make, {"axis": integer.SMALL, "one": 2**31}),
    parameters=(AXIS,), axes=along_axis, maxima=1, reduces="axis", finite=True, needs_exact=True, elementary=True,
    primitives={"compare": 1}, example={"axis": -1},
))  # fmt: skip
