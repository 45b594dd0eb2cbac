"""Constant: what does not depend on the sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.integers import limit, minus_infinity, within
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, register
from ecmt_deploy.program.ops.format import NumberFormat

SCHEDULES = ("every", "first")


class ConstantKernel(Kernel):
    """Its value at every step, or at the first only."""

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.something = Stream(cast(node.value, self.dtype), np.ones(site.shape, bool))
        self.nothing = Stream(self.zeros(site.shape), np.zeros(site.shape, bool))

    def advance(self, t: int, *operands: Stream) -> Stream:
        return self.something if t == 1 or self.node.schedule == "every" else self.nothing


class IntegerConstantKernel(Integer, ConstantKernel):
    """Integers; -2**(state_bits - 1) is minus infinity."""


@register
@dataclass(eq=False, repr=False)
class Constant(Op):
    """A value that does not depend on the input, emitted at every step or only at the first (``schedule``)."""

    arity: ClassVar[int | None] = 0
    value: np.ndarray
    schedule: str

    role = "constant"
    fields = {"value": "floats", "schedule": "string"}
    format_type = NumberFormat
    kernel, integer_kernel = ConstantKernel, IntegerConstantKernel

    @property
    def sends(self) -> str:
        """Once, or at every step."""
        return "once" if self.schedule == "first" else "always"

    @property
    def masks(self) -> bool:
        """Whether it holds infinities."""
        if self.format is None:
            return bool(np.isinf(self.value).any())
        return bool((self.value == minus_infinity(self.format.state_bits)).any())

    @property
    def bound(self) -> float:
        return float(np.abs(self.value[np.isfinite(self.value)]).max(initial=0))

    def check(self, require: Require) -> None:
        require(self.value.dtype.kind == "f", "value", f"of dtype {self.value.dtype}", "floating point")
        require(not np.isnan(self.value).any(), "value", "NaN somewhere", "numbers (infinities are masks)")
        require(self.schedule in SCHEDULES, "schedule", repr(self.schedule), f"one of {SCHEDULES}")

    def check_format(self, require: Require) -> None:
        bits = self.format.state_bits
        sound = within(self.value, minus_infinity(bits), limit(bits))
        require(sound, "value", "out of range", f"integers of {bits} bits")
        require(self.schedule in SCHEDULES, "schedule", repr(self.schedule), f"one of {SCHEDULES}")

    def infer(self) -> Shape:
        return self.value.shape

    def work(self, shape: Shape) -> Work:
        return Work()
