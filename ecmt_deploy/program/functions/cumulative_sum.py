"""Cumulative sum: positions of tokens, from a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.program.functions import integer
from ecmt_deploy.program.functions.base import AXIS, Array, Function, Parameters, along_axis, register


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    return integer.clear_shift(np.cumsum(x, axis=int(p["axis"])), np.asarray(p["shift"]))


def _make(given: Parameters, formats: integer.Formats) -> dict[str, Any]:
    return {"axis": int(given["axis"]), "shift": formats.result - formats.operands[0]}


register(Function(
    "cumulative_sum", "x_1 + .. + x_i for every i along axis", lambda p, x: np.cumsum(x, axis=int(p["axis"])),
    integer.IntegerForm(_integer, _make, {"axis": integer.SMALL, "shift": integer.SHIFT}),
    parameters=(AXIS,), axes=along_axis, reductions=1, elementary=True, primitives={"add": 1},
    row_primitives={"store": 1}, example={"axis": -1},
))  # fmt: skip
