"""Take: elements of one axis by constant index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecmt_deploy.program.ops.base import Shape, fits, register
from ecmt_deploy.program.ops.movement import Movement, axis_of, from_front


@register
@dataclass(eq=False, repr=False)
class Take(Movement):
    """Elements ``indices`` (int64 vector) of one axis, in that order: rolls, flips and table look-ups by constant index."""

    axis: int
    indices: np.ndarray

    fields = {"axis": "int", "indices": "ints"}

    def fit(self, shape: Shape) -> None:
        self.axis = from_front(self.axis, len(shape))

    def infer(self, x: Shape) -> Shape:
        axis, indices = axis_of(self.axis, x), self.indices
        sound = indices.ndim == 1 and indices.size > 0 and indices.min() >= 0 and indices.max() < x[axis]
        fits(bool(sound), f"indices outside axis {axis} of {x}")
        return (*x[:axis], indices.size, *x[axis + 1 :])

    def rewire(self, x: np.ndarray) -> np.ndarray:
        return np.take(x, self.indices, axis=self.axis)

    def copies(self, x: Shape, shape: Shape) -> tuple[int, int]:
        taken, copies = np.unique(self.indices, return_counts=True)
        return int(copies.min()) if len(taken) == x[self.axis] else 0, int(copies.max())
