"""GELU by the hyperbolic tangent."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import table


def _numpy(p: Parameters, x: Array) -> Array:
    inner = x.dtype.type((2 / np.pi) ** 0.5) * (x + x.dtype.type(0.044715) * x * x * x)
    return x * (1 + np.tanh(inner)) / 2


register(
    Function(
        "gelu_tanh",
        "x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2",
        _numpy,
        table(_numpy, 6.0, 0, 1),
        finite=True,
        primitives={"table": 1, "mul": 2, "add": 1},
    )
)
