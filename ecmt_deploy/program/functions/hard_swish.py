"""Hard swish."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import table


def _numpy(p: Parameters, x: Array) -> Array:
    return x * (np.minimum(np.maximum(x + 3, 0), 6) / 6)


register(
    Function(
        "hard_swish",
        "x min(max(x + 3, 0), 6) / 6",
        _numpy,
        table(_numpy, 3.0, 0, 1),
        aten=("hardswish",),
        primitives={"add": 1, "compare": 2, "mul": 2},
    )
)
