"""Square root."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Function, register
from ecmt_deploy.program.functions.integer import POWER, power

register(
    Function("sqrt", "sqrt x", lambda p, x: np.sqrt(x), power(lambda p: 0.5), elementary=True, aten=("sqrt",), primitives=POWER)
)
