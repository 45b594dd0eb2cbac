"""Add: the sum of several streams."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.integers import MOST_LEFT_SHIFT, shifted
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, fits, register
from ecmt_deploy.program.ops.format import Aligned


class AddKernel(Kernel):
    """Operands from the left."""

    ecm_kind = "add"

    def advance(self, t: int, *operands: Stream) -> Stream:
        value, changed = operands[0]
        for x in operands[1:]:
            value, changed = value + x.value, changed | x.changed
        self.count_elements(int(changed.sum()) * (len(operands) - 1))
        return Stream(value, changed)


class IntegerAddKernel(Integer, AddKernel):
    """Operands in the sum's exponent, added exactly, saturated once; minus infinity plus anything is minus infinity."""

    def advance(self, t: int, *operands: Stream) -> Stream:
        masked = np.zeros(self.site.shape, bool)
        aligned, form = [], self.node.format
        for x, exponent in zip(operands, form.operand_exponents.tolist(), strict=True):
            masked |= x.value == self.masked
            aligned.append(Stream(shifted(x.value, int(form.exponent) - exponent), x.changed))
        total, changed = super().advance(t, *aligned)
        if masked.any():
            return Stream(np.where(masked, self.masked, self.saturated(np.where(masked, 0, total))), changed)
        return Stream(self.saturated(total), changed)


@register
@dataclass(eq=False)
class Add(Op):
    """Sum of the operands, from the left; all of one shape."""

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]

    role = "arithmetic"
    fields = {"operands": "names"}
    carries_masks = passes_image = True
    format_type = Aligned
    kernel, integer_kernel = AddKernel, IntegerAddKernel

    def check_format(self, require: Require) -> None:
        form = self.format
        found = np.asarray(form.operand_exponents)
        left = int((found - form.exponent).max()) if found.size else 0
        require(
            left <= MOST_LEFT_SHIFT - 8, "operand_exponents", found.tolist(), f"at most 24 above the sum's, {form.exponent}"
        )

    def infer(self, *xs: Shape) -> Shape:
        fits(len(set(xs)) == 1, f"operands of shapes {list(xs)}; Add takes one shape (Expand the smaller)")
        return xs[0]

    def work(self, shape: Shape, *xs: Shape) -> Work:
        return Work(kind="add", elements=prod(shape) * (len(xs) - 1))
