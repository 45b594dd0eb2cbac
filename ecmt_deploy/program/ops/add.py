"""Add: the sum of several streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.integer import Rounding
from ecmt_deploy.kernels.integers import MOST_LEFT_SHIFT, shifted
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, fits, register
from ecmt_deploy.program.ops.format import Aligned
from ecmt_deploy.program.primitives import Recipe


class AddKernel(Kernel):
    """Operands from the left."""

    ecm_kind = "add"

    def advance(self, t: int, *operands: Stream) -> Stream:
        reached = [x for x in operands if x.changed.any()] or operands[:1]  # where nothing comes are zeros, as of constants
        value, changed = reached[0]
        for x in reached[1:]:
            value, changed = value + x.value, changed | x.changed
        self.count_elements(int(changed.sum()) * (len(operands) - 1))
        return Stream(value, changed)


class IntegerAddKernel(Rounding, AddKernel):
    """Operands in the sum's exponent, saturated once; minus infinity plus anything is minus infinity.

    Where the format carries, each is taken apart into what the sum's exponent holds and what is finer, in units of the finest;
    both are added exactly, and what is finer is rounded once. Otherwise each operand is rounded by itself.
    """

    def advance(self, t: int, *operands: Stream) -> Stream:
        if not any(x.changed.any() for x in operands):
            return super().advance(t, *operands)
        masked, finer = np.zeros(self.site.shape, bool), self.zeros(self.site.shape)
        aligned, form = [], self.node.format
        finest: int = form.remainder_bits
        for x, exponent in zip(operands, form.operand_exponents.tolist(), strict=True):
            masked |= x.value == self.masked
            right = int(form.exponent) - exponent
            if finest and right > 0:
                whole = x.value >> right
                finer = finer + ((x.value - (whole << right)) << (finest - right))
            else:
                whole = shifted(x.value, right)
            aligned.append(Stream(whole, x.changed))
        total, changed = super().advance(t, *aligned)
        if finest:
            total = total + self.shifted(np.where(masked, 0, finer), finest)
        if masked.any():
            return Stream(np.where(masked, self.masked, self.saturated(np.where(masked, 0, total))), changed)
        return Stream(self.saturated(total), changed)


@dataclass(eq=False, kw_only=True, repr=False)
class Summed(Aligned):
    """Of a sum, whose operands are shifted to its exponent, rounded.

    Attributes
    ----------
    carries : whether what is finer than the sum is added exactly and rounded once, and what that leaves is kept for the next
        step. Otherwise each operand is rounded at each step by itself
    """

    carries: bool = False

    fields: ClassVar[Mapping[str, str]] = {"carries": "bool", **Aligned.fields}

    @property
    def remainder_bits(self) -> int:
        finest = int(np.min(self.operand_exponents, initial=self.exponent))
        return int(self.exponent) - finest if self.carries else 0


def most_remainder_bits(operands: int) -> int:
    """What is finer than a sum of so many operands may have so many bits: it is added exactly."""
    return 62 - operands.bit_length()


@register
@dataclass(eq=False, repr=False)
class Add(Op):
    """Sum of the operands, from the left; all of one shape."""

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]

    role = "arithmetic"
    fields = {"operands": "names"}
    carries_masks = passes_image = True
    format_type = Summed
    kernel, integer_kernel = AddKernel, IntegerAddKernel
    recipe = Recipe({"add": 1, "load": 2, "store": 1})

    def check_format(self, require: Require) -> None:
        form = self.format
        found = np.asarray(form.operand_exponents)
        left = int((found - form.exponent).max()) if found.size else 0
        require(
            left <= MOST_LEFT_SHIFT - 8, "operand_exponents", found.tolist(), f"at most 24 above the sum's, {form.exponent}"
        )
        most = most_remainder_bits(len(self.operands))
        require(
            form.remainder_bits <= most,
            "operand_exponents",
            found.tolist(),
            f"at most {most} below the sum's, {form.exponent}, which carries",
        )

    def infer(self, *xs: Shape) -> Shape:
        fits(len(set(xs)) == 1, f"operands of shapes {list(xs)}; Add takes one shape (Expand the smaller)")
        return xs[0]

    def work(self, shape: Shape, *xs: Shape) -> Work:
        return Work(kind="add", elements=prod(shape) * (len(xs) - 1))
