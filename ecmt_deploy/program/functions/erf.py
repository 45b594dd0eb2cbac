"""Error function."""

from __future__ import annotations

from ecmt_deploy.program.functions.base import Array, Function, Parameters, register
from ecmt_deploy.program.functions.integer import table


def _numpy(p: Parameters, x: Array) -> Array:
    from scipy.special import erf  # only who computes waits for scipy

    return erf(x)


register(Function(
    "erf", "2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x", _numpy, table(_numpy, 4.0, 0, 0),
    finite=True, aten=("erf",), primitives={"table": 1, "mul": 1, "add": 1},
))  # fmt: skip
