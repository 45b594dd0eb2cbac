"""Softplus."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import Array, Function, Parameters, number, register
from ecmt_deploy.program.functions.integer import table


def _numpy(p: Parameters, x: Array) -> Array:
    smooth = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))  # no exponential leaves the range of floats
    return np.where(x > x.dtype.type(p["threshold"]), x, smooth)


register(Function(
    "softplus", "log(1 + exp x), x where x > threshold", _numpy, table(_numpy, 12.0, 0, 1),
    parameters=(number("threshold"),), finite=True, primitives={"table": 1, "mul": 1, "add": 1}, example={"threshold": 20.0},
))  # fmt: skip
