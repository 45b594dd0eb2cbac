"""SiLU."""

from __future__ import annotations

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import table


def _numpy(p: Parameters, x: Array) -> Array:
    from scipy.special import expit  # only who computes waits for scipy

    return x * expit(x)


register(
    Function(
        "silu",
        "x / (1 + exp(-x))",
        _numpy,
        table(_numpy, 16.0, 0, 1),
        finite=True,
        aten=("silu",),
        primitives={"table": 1, "mul": 2, "add": 1},
    )
)
