"""Input: the sample, or one named part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel, cast
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.inputs import HOLDS, MOST_TOKENS
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, register
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
@dataclass(eq=False, repr=False)
class Input(Op, nir.Input):
    """What enters: the sample, or of a program with several inputs the part of it that has the node's name.

    In an integer program values are quantised by whoever presents them: the nearest multiples of 2**exponent (ties to even).

    Attributes
    ----------
    holds : ``values`` (floating point numbers), ``tokens`` (ids, 0 to ``limit`` - 1) or ``mask`` (0 or 1)
    limit : of tokens, how many ids there are; otherwise 0
    """

    input_type: Any
    holds: str = field(default="values", kw_only=True)
    limit: int = field(default=0, kw_only=True)

    role = "input"
    fields = {"shape": "ints", "holds": "string", "limit": "int"}
    defaults = {"holds": "values", "limit": 0}
    arity: ClassVar[int | None] = 0
    sends = "once"
    outside = True
    format_type = NumberFormat
    kernel, integer_kernel = InputKernel, IntegerInputKernel

    def __post_init__(self) -> None:
        nir.Input.__post_init__(self)

    @property
    def shape(self) -> np.ndarray:
        """Shape of one sample (int64 vector)."""
        return np.atleast_1d(self.input_type["input"])

    @property
    def standard(self) -> bool:
        """What holds tokens or a mask says so in fields that NIR's own node has not."""
        return super().standard and self.holds == "values"

    @property
    def enters_exact(self) -> bool:
        """Whether it holds integers, which need no neuron."""
        return self.holds != "values"

    def check(self, require: Require) -> None:
        require(self.holds in HOLDS, "holds", repr(self.holds), f"one of {HOLDS}")
        sound = 1 <= self.limit <= MOST_TOKENS if self.holds == "tokens" else self.limit == 0
        expected = f"1 to {MOST_TOKENS}, the number of ids" if self.holds == "tokens" else "0, as it holds no tokens"
        require(sound, "limit", self.limit, expected)

    def check_format(self, require: Require) -> None:
        self.check(require)
        if self.enters_exact:
            most = self.limit - 1 if self.holds == "tokens" else 1
            require(self.format.exponent == 0, "exponent", self.format.exponent, f"0, as it holds {self.holds}")
            bits = self.format.state_bits
            require(most <= limit(bits), "state_bits", bits, f"enough for {most}")

    def infer(self) -> Shape:
        return tuple(int(size) for size in self.shape)

    def work(self, shape: Shape) -> Work:
        return Work()
