"""ReLU."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Function, register
from ecmt_deploy.program.functions.integer import IntegerForm

register(Function(
    "relu", "max(x, 0)", lambda p, x: np.maximum(x, 0), IntegerForm(lambda p, bits, x: np.maximum(x, 0), keeps_format=True),
    finite=True, aten=("relu",), primitives={"compare": 1},
))  # fmt: skip
