"""Embedding: rows of a table by their numbers, the encoding layer of token ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ecmt_deploy.errors import DataError
from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.integer import Rounding
from ecmt_deploy.kernels.integers import limit, shifted, within
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, finite, fits, register
from ecmt_deploy.program.ops.format import Weighted


class EmbeddingKernel(Kernel):
    """Rows at t = 1, when the ids have entered; nothing afterwards."""

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.weight = cast(node.weight, self.dtype)

    def advance(self, t: int, *operands: Stream) -> Stream:
        if t > 1:
            return Stream(self.zeros(self.site.shape), np.zeros(self.site.shape, bool))
        ids = self.ids(operands[0].value)
        require_ids(self.site.name, ids.min(), ids.max(), len(self.weight))
        return Stream(self.sent(self.weight[ids.astype(np.int64)]), np.ones(self.site.shape, bool))

    def ids(self, x: np.ndarray) -> np.ndarray:
        """The ids, as numbers, that a stream holds."""
        return x

    def sent(self, rows: np.ndarray) -> np.ndarray:
        """What is sent of the rows (*ids, width)."""
        return rows


class IntegerEmbeddingKernel(Rounding, EmbeddingKernel):
    """Rows of integer weights, requantised; multiplier and shift (width,)."""

    def ids(self, x: np.ndarray) -> np.ndarray:
        return shifted(x, -int(self.node.format.operand_exponents[0]))

    def sent(self, rows: np.ndarray) -> np.ndarray:
        multiplier, shift = (np.asarray(a, np.int64) for a in (self.node.format.multiplier, self.node.format.shift))
        return self.saturated(self.shifted(rows * multiplier, shift))


def require_ids(name: str, low: float, high: float, rows: int) -> None:
    """Refuse ids that are no rows of a table.

    Parameters
    ----------
    name : of the node
    low, high : the smallest and the largest id
    rows : rows of the table

    Raises
    ------
    DataError
        naming node, id and range.
    """
    if not (low >= 0 and high < rows):
        found = high if not high < rows else low
        raise DataError(f"node {name}: an id is {float(found):.10g}; expected 0 to {rows - 1}, the rows of its table")


@dataclass(eq=False, kw_only=True, repr=False)
class LookedUp(Weighted):
    """Of rows of integer weights: ids are integers of an exponent of their own; multiplier and shift are one per column."""

    operand_exponents: np.ndarray

    fields: ClassVar[Mapping[str, str]] = {**Weighted.fields, "operand_exponents": "ints"}


@register
@dataclass(eq=False, repr=False)
class Embedding(Op):
    """``y_1 = weight[ids]``, ``y_t = 0`` after: rows of a table (vocabulary, width) by token ids.

    It is an encoding layer without multiply-accumulates. Who presents the sample holds the table and looks the rows up; they
    enter the chip as the pixels of an image do, so that no core holds the table.
    """

    weight: np.ndarray

    role = "synapse"
    fields = {"weight": "floats"}
    format_type = LookedUp
    kernel, integer_kernel = EmbeddingKernel, IntegerEmbeddingKernel
    takes_tokens = True
    outside = True
    sends: ClassVar[Any] = "once"

    @property
    def bound(self) -> float:
        return float(np.abs(self.weight).max(initial=0))

    def check(self, require: Require) -> None:
        finite(self, "weight", require)

    def check_format(self, require: Require) -> None:
        form, columns = self.format, self.weight.shape[1:]
        bits = form.weight_bits
        require(within(self.weight, -limit(bits), limit(bits)), "weight", "out of range", f"integers of {bits} bits")
        found = np.shape(form.multiplier)
        require(found == columns, "multiplier", f"of shape {found}", f"{columns}, one per column")
        require(not form.carries, "carries", True, "False, as it sends once")

    def infer(self, ids: Shape) -> Shape:
        fits(self.weight.ndim == 2, f"weight of shape {self.weight.shape}, expected (vocabulary, width)")
        return (*ids, self.weight.shape[1])

    def work(self, shape: Shape, ids: Shape) -> Work:
        return Work()
