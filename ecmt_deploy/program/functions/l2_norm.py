"""Euclidean norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.program.functions import integer
from ecmt_deploy.program.functions.base import AXIS, Array, Function, Parameters, along_axis, register


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    axis = int(p["axis"])
    rows, right = integer.block(x, (axis,), 1)
    squares = (rows * rows).sum(axis=axis, keepdims=True)
    mantissa, even = integer.root(p["mantissa"], np.maximum(squares, 1))
    result = integer.clear_shift(mantissa, int(p["result_shift"]) - even - right)
    return np.where(squares > 0, result, 0)


def _make(given: Parameters, formats: integer.Formats) -> dict[str, Any]:
    return {
        "axis": int(given["axis"]), "mantissa": integer.two_octaves(0.5, integer.MANTISSA_BITS),
        "result_shift": integer.MANTISSA_BITS + formats.result - formats.operands[0],
    }  # fmt: skip


register(Function(
    "l2_norm", "sqrt(sum x^2) over axis, kept as size 1",
    lambda p, x: np.sqrt(np.sum(x * x, axis=int(p["axis"]), keepdims=True)),
    integer.IntegerForm(_integer, _make, {"axis": integer.SMALL, "mantissa": integer.TWO_OCTAVES, "result_shift": 127}),
    parameters=(AXIS,), axes=along_axis, reductions=1, reduces="axis", elementary=True,
    primitives={"mul": 1, "add": 1}, row_primitives=integer.POWER, example={"axis": -1},
))  # fmt: skip
