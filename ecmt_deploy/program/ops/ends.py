"""Where streams begin and end: the sample, constants, and the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.integers import limit, minus_infinity, within
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, fits, register
from ecmt_deploy.program.ops.format import NumberFormat

SCHEDULES = ("every", "first")


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


class ConstantKernel(Kernel):
    """Its value at every step, or at the first only."""

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.value = cast(node.value, self.dtype)
        self.nothing = self.zeros(site.shape)

    def advance(self, t: int, *operands: Stream) -> Stream:
        emits = t == 1 or self.node.schedule == "every"
        return Stream(self.value if emits else self.nothing, np.full(self.site.shape, emits))


class IntegerConstantKernel(Integer, ConstantKernel):
    """Integers; -2**(state_bits - 1) is minus infinity."""


@register
@dataclass(eq=False)
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


class OutputKernel(Kernel):
    """Hands the readout on to whoever runs the program."""

    def step(self, t: int, *operands: Stream) -> Stream:
        return self.advance(t, *operands)

    def advance(self, t: int, *operands: Stream) -> Stream:
        return operands[0]


@register
@dataclass(eq=False)
class Output(Op, nir.Output):
    """The readout; it follows a ``Readout``."""

    output_type: Any

    role = "output"
    fields = {"shape": "ints"}
    without_integer = "it hands on what it receives"
    kernel = OutputKernel

    def __post_init__(self) -> None:
        nir.Output.__post_init__(self)

    @property
    def shape(self) -> np.ndarray:
        """Shape of one readout (int64 vector)."""
        return np.atleast_1d(self.output_type["output"])

    def infer(self, x: Shape) -> Shape:
        declared = tuple(int(size) for size in self.shape)
        fits(declared == x, f"declares {declared} but receives {x}")
        return x

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work()
