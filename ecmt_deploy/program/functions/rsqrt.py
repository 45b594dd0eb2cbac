"""Reciprocal square root."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Function, register
from ecmt_deploy.program.functions.integer import POWER, power

register(
    Function(
        "rsqrt",
        "1 / sqrt x",
        lambda p, x: 1 / np.sqrt(x),
        power(lambda p: -0.5),
        elementary=True,
        aten=("rsqrt",),
        primitives=POWER,
    )
)
