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
    """What is new of a sample enters at the step after it was presented, in both codings: all of the first, of a frame what
    differs from the frame before."""

    sample: np.ndarray | None = None
    reached: np.ndarray | None = None

    def reset(self) -> None:
        self.last = self.zeros(self.site.shape)

    def present(self, sample: np.ndarray, changed: np.ndarray | None = None) -> None:
        """Set the sample of the inference, or the frame of the stream, that begins; ``changed``: where it may differ from the
        frame before, everywhere unless said."""
        self.sample, self.reached = cast(sample, self.dtype), changed

    def advance(self, t: int, *operands: Stream) -> Stream:
        shape = self.site.shape
        if self.sample is None:
            return Stream(self.zeros(shape), np.zeros(shape, bool))
        sample, self.sample = self.sample, None
        new, self.last = sample - self.last, sample
        return Stream(new, np.ones(shape, bool) if self.reached is None else self.reached)


class IntegerInputKernel(Integer, InputKernel):
    """Integers, saturated to the width of the input."""

    def present(self, sample: np.ndarray, changed: np.ndarray | None = None) -> None:
        if np.asarray(sample).dtype.kind != "i":
            raise TypeError("an integer program takes samples as integers: quantise them with its input's exponent")
        super().present(self.saturated(np.asarray(sample, np.int64)), changed)

    def advance(self, t: int, *operands: Stream) -> Stream:
        before = self.last
        new, changed = super().advance(t, *operands)
        new = self.saturated(new)
        self.last = before + new  # what did not fit follows with the next frame
        return Stream(new, changed | (new != 0))


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
