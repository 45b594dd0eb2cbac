"""Pad: zeros around the operand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecmt_deploy.program.ops.base import Shape, fits, register
from ecmt_deploy.program.ops.movement import Movement


@register
@dataclass(eq=False, repr=False)
class Pad(Movement):
    """Zeros around the operand: ``widths`` is (axes, 2), before and after. A value other than zero is an added constant."""

    widths: np.ndarray

    fields = {"widths": "ints"}

    def infer(self, x: Shape) -> Shape:
        fits(self.widths.shape == (len(x), 2) and bool((self.widths >= 0).all()), f"widths do not fit {x}")
        return tuple(size + int(before + after) for size, (before, after) in zip(x, self.widths, strict=True))

    def rewire(self, x: np.ndarray) -> np.ndarray:
        return np.pad(x, self.widths) if x.ndim else x
