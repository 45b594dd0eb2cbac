"""Expand: broadcasting."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ecmt_deploy.program.ops.base import Shape, fits, register
from ecmt_deploy.program.ops.movement import Movement, sizes


@register
@dataclass(eq=False, repr=False)
class Expand(Movement):
    """Broadcast the operand to ``shape`` (int64 vector), NumPy's rules."""

    shape: np.ndarray

    fields = {"shape": "ints"}

    def infer(self, x: Shape) -> Shape:
        shape = sizes(self.shape)
        fits(np.broadcast_shapes(x, shape) == shape, f"expand of {x} to {shape}")
        return shape

    def rewire(self, x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(x, self.shape.tolist())

    def copies(self, x: Shape, shape: Shape) -> tuple[int, int]:
        return (prod(shape) // max(prod(x), 1),) * 2
