"""GELU."""

from __future__ import annotations

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import table


def _numpy(p: Parameters, x: Array) -> Array:
    from scipy.special import erf  # only who computes waits for scipy

    return x * (1 + erf(x * x.dtype.type(0.5**0.5))) / 2


register(
    Function(
        "gelu",
        "x (1 + erf(x / sqrt 2)) / 2",
        _numpy,
        table(_numpy, 6.0, 0, 1),
        finite=True,
        primitives={"table": 1, "mul": 2, "add": 1},
    )
)
