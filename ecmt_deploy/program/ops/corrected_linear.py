"""Weights that make up for what the dead zones of the neurons in front of them keep back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ecmt_deploy.program.ops.base import Op, Require, Shape, finite, fits, register
from ecmt_deploy.program.ops.linear import LastAxisLinear


@register
@dataclass(eq=False, repr=False)
class CorrectedLinear(LastAxisLinear):
    """``LastAxisLinear`` whose ``weight`` is the network's own plus ``correction`` (out, in).

    Spikes meet ``weight``. The correction is what calibration added so that what is sent foretells, as well as a linear map
    can, what is not; the analog network, in which neurons send all, has ``weight - correction``.
    """

    correction: np.ndarray

    fields = {"weight": "floats", "correction": "floats"}
    format_type: ClassVar[Any] = None
    without_integer = "in integers nothing but the sum of both is left: LastAxisLinear"

    def check(self, require: Require) -> None:
        super().check(require)
        finite(self, "correction", require)

    def infer(self, x: Shape) -> Shape:
        fits(self.correction.shape == self.weight.shape, f"correction {self.correction.shape}, weight {self.weight.shape}")
        return super().infer(x)

    @property
    def analog(self) -> Op:
        return LastAxisLinear(self.weight.astype(np.float64) - self.correction)  # rounded once, to the dtype of the run
