"""Euclidean norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.program.functions.base import AXIS, Array, Function, Parameters, along_axis, register
from ecmt_deploy.program.functions.integer import (
    MANTISSA_BITS,
    SMALL,
    TWO_OCTAVES,
    Formats,
    IntegerForm,
    block,
    clear_shift,
    root,
    two_octaves,
)


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    axis = int(p["axis"])
    rows, right = block(x, (axis,), 1)
    squares = (rows * rows).sum(axis=axis, keepdims=True)
    mantissa, even = root(p["mantissa"], np.maximum(squares, 1))
    result = clear_shift(mantissa, int(p["result_shift"]) - even - right)
    return np.where(squares > 0, result, 0)


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    return {
        "axis": int(given["axis"]), "mantissa": two_octaves(0.5, MANTISSA_BITS),
        "result_shift": MANTISSA_BITS + formats.result - formats.operands[0],
    }  # fmt: skip


register(Function(
    "l2_norm", "sqrt(sum x^2) over axis, kept as size 1",
    lambda p, x: np.sqrt(np.sum(x * x, axis=int(p["axis"]), keepdims=True)),
    IntegerForm(_integer, _make, {"axis": SMALL, "mantissa": TWO_OCTAVES, "result_shift": 127}),
    parameters=(AXIS,), axes=along_axis, reduces="axis", elementary=True, example={"axis": -1},
))  # fmt: skip
