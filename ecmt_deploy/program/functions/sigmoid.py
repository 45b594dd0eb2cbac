"""Logistic sigmoid."""

from __future__ import annotations

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import table


def _numpy(p: Parameters, x: Array) -> Array:
    from scipy.special import expit  # only who computes waits for scipy

    return expit(x)


register(
    Function(
        "sigmoid",
        "1 / (1 + exp(-x))",
        _numpy,
        table(_numpy, 16.0, 0, 0),
        finite=True,
        aten=("sigmoid",),
        primitives={"table": 1, "mul": 1, "add": 1},
    )
)
