"""The number format of a product of running sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecmt_deploy.kernels.integers import limit, within
from ecmt_deploy.program.ops.format import MOST_SHIFT, NumberFormat
from ecmt_deploy.program.ops.rules import Require


@dataclass(eq=False, kw_only=True, repr=False)
class Multiplied(NumberFormat):
    """Of a product of running sums. A payload of the left operand adds ``left_unit`` times itself to the left sum; for the
    product, the sums are shifted right by ``left_shift`` and ``right_shift`` to ``operand_bits``, and the result right by
    ``shift`` (left, where it is negative)."""

    left_unit: np.ndarray
    right_unit: np.ndarray
    left_shift: int
    right_shift: int
    operand_bits: int
    shift: int

    fields = {
        "left_unit": "integers", "right_unit": "integers", "left_shift": "int", "right_shift": "int", "operand_bits": "int",
        "shift": "int", **NumberFormat.fields,
    }  # fmt: skip

    def check(self, require: Require) -> None:
        super().check(require)
        require(2 <= self.operand_bits <= 24, "operand_bits", self.operand_bits, "2 to 24")
        require(-16 <= self.shift <= MOST_SHIFT, "shift", self.shift, f"-16 to {MOST_SHIFT}")
        for side in ("left", "right"):
            sound = within(getattr(self, f"{side}_unit"), 1, limit(self.state_bits))
            require(sound, f"{side}_unit", "out of range", f"positive integers of {self.state_bits} bits")
            shift = getattr(self, f"{side}_shift")
            require(0 <= shift <= self.state_bits, f"{side}_shift", shift, f"0 to {self.state_bits}")
