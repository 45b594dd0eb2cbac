"""Larger of two operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.integers import minus_infinity
from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import MOST_LEFT, MOST_RIGHT, SHIFT, Formats, IntegerForm, clear_shift


def _integer(p: Parameters, bits: int, x: Array, y: Array) -> Array:
    masked = minus_infinity(bits)
    return np.maximum(*(
        np.where(operand == masked, masked, clear_shift(operand, np.asarray(int(p[key]))))
        for operand, key in ((x, "x_shift"), (y, "y_shift"))
    ))  # fmt: skip


def _make(given: Parameters, formats: Formats) -> dict[str, Any]:
    shifts = np.clip(formats.result - np.array(formats.operands), -MOST_LEFT, MOST_RIGHT)
    return dict(zip(("x_shift", "y_shift"), shifts.tolist(), strict=True))


register(Function(
    "maximum", "max(x, y)", lambda p, x, y: np.maximum(x, y),
    IntegerForm(_integer, _make, {"x_shift": SHIFT, "y_shift": SHIFT}),
    operands=2, finite=True, elementary=True, primitives={"compare": 1},
))  # fmt: skip
