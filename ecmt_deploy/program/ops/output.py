"""Output: the end of a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Shape, Work, fits, register


class OutputKernel(Kernel):
    """Hands the readout on to whoever runs the program."""

    def step(self, t: int, *operands: Stream) -> Stream:
        return self.advance(t, *operands)

    def advance(self, t: int, *operands: Stream) -> Stream:
        return operands[0]


@register
@dataclass(eq=False, repr=False)
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
