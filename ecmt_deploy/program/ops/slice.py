"""Slice: a range of one axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecmt_deploy.program.ops.base import Shape, fits, register
from ecmt_deploy.program.ops.movement import Movement, axis_of, from_front


@register
@dataclass(eq=False, repr=False)
class Slice(Movement):
    """Elements ``start, start + step, ... < stop`` of one axis."""

    axis: int
    start: int
    stop: int
    step: int

    fields = {"axis": "int", "start": "int", "stop": "int", "step": "int"}

    def fit(self, shape: Shape) -> None:
        self.axis = from_front(self.axis, len(shape))

    def infer(self, x: Shape) -> Shape:
        axis = axis_of(self.axis, x)
        sound = 0 <= self.start < self.stop <= x[axis] and self.step > 0
        fits(sound, f"slice {self.start}:{self.stop}:{self.step} of axis {axis} of {x}")
        return (*x[:axis], len(range(self.start, self.stop, self.step)), *x[axis + 1 :])

    def rewire(self, x: np.ndarray) -> np.ndarray:
        index = [slice(None)] * x.ndim
        index[self.axis] = slice(self.start, self.stop, self.step)
        return x[tuple(index)]

    def copies(self, x: Shape, shape: Shape) -> tuple[int, int]:
        return int(x == shape), 1
