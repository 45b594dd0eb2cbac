"""Running sums: what came so far, sent again at every step or read out at the end."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.integers import divided
from ecmt_deploy.kernels.streams import Stream, rows
from ecmt_deploy.program.ops.base import CODINGS, Op, Require, Shape, Work, register
from ecmt_deploy.program.ops.format import NumberFormat


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


class ReadoutKernel(Kernel):
    """o_t = (x_1 + .. + x_t) / t in rate coding, x_1 + .. + x_t in differential coding."""

    memory = ("total",)
    ecm_kind = "readout"

    def reset(self) -> None:
        self.total = self.zeros(self.site.shape)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        self.total = self.total + x.value
        changed = np.ones(self.site.shape, bool) if self.node.every_step or t == 1 else rows(x.changed)
        self.count_elements(int(changed.sum()))
        return Stream(self.read(t), changed)

    def read(self, t: int) -> np.ndarray:
        """The readout after step ``t``."""
        return self.total / self.dtype.type(t) if self.node.coding == "rate" else self.total


class IntegerReadoutKernel(Integer, ReadoutKernel):
    """The running sum, in rate coding divided by t to the nearest integer."""

    def read(self, t: int) -> np.ndarray:
        self.total = self.saturated(self.total)
        return divided(self.total, t) if self.node.coding == "rate" else self.total


@dataclass(eq=False)
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
@dataclass(eq=False)
class Hold(RunningSum):
    """``y_t = x_1 + .. + x_t``: repeats at every step what entered at the first. Rate coding puts it behind the encoding."""

    role = "arithmetic"
    fields = {}
    sends = "always"
    every_step = True
    kernel, integer_kernel = HoldKernel, IntegerHoldKernel

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work(kind="hold", elements=prod(x))


@register
@dataclass(eq=False)
class Readout(RunningSum):
    """The answer after every step: the mean of what came (``rate``) or its sum (``differential``). In an integer program it is
    this integer times 2**exponent."""

    coding: str

    role = "readout"
    fields = {"coding": "string"}
    kernel, integer_kernel = ReadoutKernel, IntegerReadoutKernel

    @property
    def every_step(self) -> bool:
        return self.coding == "rate"

    def check(self, require: Require) -> None:
        require(self.coding in CODINGS, "coding", repr(self.coding), f"one of {CODINGS}")

    check_format = check

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work(kind="readout", elements=prod(x))
