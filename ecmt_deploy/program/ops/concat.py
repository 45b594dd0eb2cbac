"""Concat: operands side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ecmt_deploy.program.ops.base import Shape, fits, register
from ecmt_deploy.program.ops.movement import Movement, axis_of, from_front


@register
@dataclass(eq=False, repr=False)
class Concat(Movement):
    """Join the operands, in order, along ``axis``."""

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]
    axis: int

    fields = {"operands": "names", "axis": "int"}

    def fit(self, shape: Shape) -> None:
        self.axis = from_front(self.axis, len(shape))

    def infer(self, *xs: Shape) -> Shape:
        axis = axis_of(self.axis, xs[0])
        rest = {(*x[:axis], *x[axis + 1 :]) for x in xs}
        fits(len(rest) == 1 and len({len(x) for x in xs}) == 1, f"concatenation of {list(xs)} along axis {axis}")
        return (*xs[0][:axis], sum(x[axis] for x in xs), *xs[0][axis + 1 :])

    def rewire(self, *xs: np.ndarray) -> np.ndarray:
        return np.concatenate(xs, axis=self.axis)
