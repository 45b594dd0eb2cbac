"""Permute: axes in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecmt_deploy.program.ops.base import Shape, fits, register
from ecmt_deploy.program.ops.movement import Movement, from_front


@register
@dataclass(eq=False, repr=False)
class Permute(Movement):
    """Reorder the axes: output axis ``i`` is operand axis ``axes[i]`` (int64 vector)."""

    axes: np.ndarray

    fields = {"axes": "ints"}

    def fit(self, shape: Shape) -> None:
        self.axes = np.array([from_front(axis, len(shape)) for axis in self.axes.ravel().tolist()], np.int64)

    def infer(self, x: Shape) -> Shape:
        axes = self.axes.tolist()
        fits(sorted(axes) == list(range(len(x))), f"axes {axes} are no permutation of the {len(x)} axes of {x}")
        return tuple(x[axis] for axis in axes)

    def rewire(self, x: np.ndarray) -> np.ndarray:
        return x.transpose(self.axes.tolist())
