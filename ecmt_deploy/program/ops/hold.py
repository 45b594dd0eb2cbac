"""Hold: the running sum, sent again at every step."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Shape, Work, register
from ecmt_deploy.program.ops.format import NumberFormat
from ecmt_deploy.program.primitives import Recipe


class HoldKernel(Kernel):
    """y_t = x_1 + .. + x_t, an event in every step."""

    memory = ("total",)
    ecm_kind = "hold"

    def reset(self) -> None:
        self.total = self.zeros(self.site.shape)

    def advance(self, t: int, *operands: Stream) -> Stream:
        self.total = self.total + operands[0].value
        self.count_elements(self.total.size)
        return Stream(self.total, np.ones(self.site.shape, bool))


class IntegerHoldKernel(Integer, HoldKernel):
    """The sum saturates."""

    def advance(self, t: int, *operands: Stream) -> Stream:
        value, changed = super().advance(t, *operands)
        self.total = self.saturated(value)
        return Stream(self.total, changed)


@dataclass(eq=False, repr=False)
class RunningSum(Op):
    """Base of both."""

    format_type = NumberFormat

    @property
    def keeps_format(self) -> bool:
        return True

    def state(self, shape: Shape, *operands: Shape) -> dict[str, Shape]:
        return {"total": shape}

    def infer(self, x: Shape) -> Shape:
        return x


@register
@dataclass(eq=False, repr=False)
class Hold(RunningSum):
    """``y_t = x_1 + .. + x_t``: repeats at every step what entered at the first. Rate coding puts it behind the encoding."""

    role = "arithmetic"
    fields = {}
    sends = "always"
    every_step = True
    kernel, integer_kernel = HoldKernel, IntegerHoldKernel
    recipe = Recipe({"add": 1, "load": 2, "store": 1})

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work(kind="hold", elements=prod(x))
