"""Readout: the running sum, or its mean, as the answer."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.integers import divided
from ecmt_deploy.kernels.streams import Stream, rows
from ecmt_deploy.program.ops.base import CODINGS, Require, Shape, Work, register
from ecmt_deploy.program.ops.hold import RunningSum
from ecmt_deploy.program.primitives import Recipe


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


@register
@dataclass(eq=False, repr=False)
class Readout(RunningSum):
    """The answer after every step: the mean of what came (``rate``) or its sum (``differential``). In an integer program it is
    this integer times 2**exponent."""

    coding: str

    role = "readout"
    fields = {"coding": "string"}
    kernel, integer_kernel = ReadoutKernel, IntegerReadoutKernel
    recipe = Recipe({"add": 1, "load": 2, "store": 1}, rate={"mul": 1})

    @property
    def every_step(self) -> bool:
        return self.coding == "rate"

    def together(self, operand: int | None, ndim: int) -> tuple[int, ...]:
        return () if operand is None else (-1,)

    def check(self, require: Require) -> None:
        require(self.coding in CODINGS, "coding", repr(self.coding), f"one of {CODINGS}")

    check_format = check

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work(kind="readout", elements=prod(x))
