"""Power."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Function, number, register
from ecmt_deploy.program.functions.integer import POWER, power

register(Function(
    "power", "x^exponent", lambda p, x: np.power(x, x.dtype.type(p["exponent"])), power(lambda p: float(p["exponent"])),
    parameters=(number("exponent"),), elementary=True, primitives=POWER, example={"exponent": 3.0},
))  # fmt: skip
