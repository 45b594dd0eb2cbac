"""Magnitude."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Function, register
from ecmt_deploy.program.functions.integer import IntegerForm

register(Function(
    "abs", "|x|", lambda p, x: np.abs(x), IntegerForm(lambda p, bits, x: np.abs(x), keeps_format=True), finite=True,
    aten=("abs",), elementary=True, primitives={"compare": 1},
))  # fmt: skip
