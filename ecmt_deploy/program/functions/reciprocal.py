"""Reciprocal."""

from __future__ import annotations

from ecmt_deploy.program.functions.base import Function, register
from ecmt_deploy.program.functions.integer import POWER, power

register(
    Function(
        "reciprocal",
        "1 / x",
        lambda p, x: 1 / x,
        power(lambda p: -1.0),
        elementary=True,
        aten=("reciprocal",),
        primitives=POWER,
    )
)
