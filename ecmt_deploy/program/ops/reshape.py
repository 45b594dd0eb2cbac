"""Reshape: the same elements under another shape."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ecmt_deploy.program.ops.base import Shape, fits, register
from ecmt_deploy.program.ops.movement import Movement, sizes


@register
@dataclass(eq=False, repr=False)
class Reshape(Movement):
    """Row-major reshape of the operand to ``shape`` (int64 vector)."""

    shape: np.ndarray

    fields = {"shape": "ints"}

    def infer(self, x: Shape) -> Shape:
        shape = sizes(self.shape)
        fits(all(size >= 0 for size in shape) and prod(shape) == prod(x), f"reshape of {x} to {shape}: sizes differ")
        return shape

    def rewire(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(self.shape.tolist())
