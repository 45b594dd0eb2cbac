"""Hyperbolic tangent."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import table


def _numpy(p: Parameters, x: Array) -> Array:
    return np.tanh(x)


register(
    Function(
        "tanh",
        "tanh x",
        _numpy,
        table(_numpy, 8.0, 0, 0),
        finite=True,
        aten=("tanh",),
        primitives={"table": 1, "mul": 1, "add": 1},
    )
)
