"""Input: the sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel, cast
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Shape, Work, register
from ecmt_deploy.program.ops.format import NumberFormat


class InputKernel(Kernel):
    """The sample enters at t = 1, and nothing after it, in both codings."""

    def present(self, sample: np.ndarray) -> None:
        """Set the sample of the inference that begins."""
        self.sample = cast(sample, self.dtype)

    def advance(self, t: int, *operands: Stream) -> Stream:
        first = t == 1
        return Stream(self.sample if first else self.zeros(self.site.shape), np.full(self.site.shape, first))


class IntegerInputKernel(Integer, InputKernel):
    """Integers, saturated to the width of the input."""

    def present(self, sample: np.ndarray) -> None:
        if np.asarray(sample).dtype.kind != "i":
            raise TypeError("an integer program takes samples as integers: quantise them with its input's exponent")
        super().present(sample)

    def advance(self, t: int, *operands: Stream) -> Stream:
        value, changed = super().advance(t, *operands)
        return Stream(self.saturated(value), changed)


@register
@dataclass(eq=False)
class Input(Op, nir.Input):
    """The sample. In an integer program it is quantised by whoever presents it: the nearest multiples of 2**exponent (ties to
    even)."""

    input_type: Any

    role = "input"
    fields = {"shape": "ints"}
    arity: ClassVar[int | None] = 0
    sends = "once"
    format_type = NumberFormat
    kernel, integer_kernel = InputKernel, IntegerInputKernel

    def __post_init__(self) -> None:
        nir.Input.__post_init__(self)

    @property
    def shape(self) -> np.ndarray:
        """Shape of one sample (int64 vector)."""
        return np.atleast_1d(self.input_type["input"])

    def infer(self) -> Shape:
        return tuple(int(size) for size in self.shape)

    def work(self, shape: Shape) -> Work:
        return Work()
