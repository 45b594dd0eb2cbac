"""Linear maps: one weight matrix, for a vector or for every row of the operand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2, prod
from typing import Any, ClassVar

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.integer import Rounding
from ecmt_deploy.kernels.integers import EXACT_BITS, MULTIPLIER_BITS, limit, minus_infinity, within
from ecmt_deploy.kernels.streams import MACS_PER_ELEMENT, Part, Stream, row_by_row
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, finite, fits, register
from ecmt_deploy.program.ops.format import Weighted
from ecmt_deploy.program.ops.share import Share, box


class SynapseKernel(Kernel):
    """Counts shared by all synapses: synops where the operand spikes, MACs where it is analog."""

    weight: np.ndarray

    def accesses(self, mask: np.ndarray) -> int:
        """Weights that so many elements of the operand meet."""
        raise NotImplementedError

    def sent(self, total: np.ndarray, part: Part) -> np.ndarray:
        """What is sent of the sums of a part of the stream."""
        return total

    def count(self, x: Stream) -> None:
        """Count one step: weight accesses of spikes, multiply-accumulates of what changed of an image, or of all else."""
        if self.site.spiking[0]:
            self.tally["synops"] += self.accesses(x.value != 0)
        else:
            self.tally["macs"] += self.accesses(x.changed) if self.site.encoding else self.dense_macs


class LinearKernel(SynapseKernel):
    """``y[..., o] = sum_i weight[o, i] x[..., i]``."""

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.weight = cast(node.weight, dtype)
        self.dense_macs = prod(site.operand_shapes[0][:-1]) * self.weight.size

    def accesses(self, mask: np.ndarray) -> int:
        return int(np.count_nonzero(mask)) * len(self.weight)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        self.count(x)
        reached = row_by_row(x.changed)
        part, changed = (
            Part(reached, self.weight.size // MACS_PER_ELEMENT),
            np.broadcast_to(reached[..., None], self.site.shape),
        )
        if part.empty:
            return Stream(self.zeros(self.site.shape), changed)
        total = part.of(x.value).astype(self.weight.dtype, copy=False) @ self.weight.T
        return Stream(part.spread(self.sent(total, part), self.site.shape), changed)


class IntegerSynapses(Rounding):
    """Mixed before a float kernel of synapses, which does the sums: in double precision, exact below 2**53; then one
    requantisation and one saturation."""

    weight: np.ndarray

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.weight = self.weight.astype(np.float64)
        channels = (-1, *([1] * (len(site.shape) - 1))) if node.layer == "convolution" else (-1,)
        constants = (node.format.multiplier, node.format.shift)
        self.multiplier, self.shift = (np.asarray(a, np.int64).reshape(channels) for a in constants)

    def sent(self, total: np.ndarray, part: Part) -> np.ndarray:
        exact = total.astype(np.int64)
        if self.site.spiking[0]:
            exact = self.saturated(exact)
        return self.saturated(self.shifted(exact * self.multiplier, self.shift, part))


class IntegerLinearKernel(IntegerSynapses, LinearKernel):
    """Integer weights; multiplier and shift (out,)."""


@dataclass(eq=False, repr=False)
class Synapses(Op):
    """Base of nodes with weights."""

    role = "synapse"
    format_type = Weighted
    takes_spikes = True

    def check(self, require: Require) -> None:
        finite(self, "weight", require)

    def check_format(self, require: Require) -> None:
        weight, form = self.weight, self.format
        bits, out = form.weight_bits, weight.shape[:1]
        sound = within(weight, minus_infinity(bits), limit(bits))
        require(sound, "weight", f"of dtype {weight.dtype} or out of range", f"integers of {bits} bits")
        found = np.shape(form.multiplier)
        require(found == out, "multiplier", f"of shape {found}", f"{out}, one per output")

    def check_integer(self, operands: list[Shape], spiking: bool, bits: int, require: Any) -> None:
        form = self.format
        width = exact_sum_bits(self, 24 if spiking else bits)
        left = max(0, -int(form.shift.min())) if form.shift.size else 0
        kept = bits if spiking else width
        require(
            width <= EXACT_BITS and kept + MULTIPLIER_BITS + left <= 63,
            f"its sums take {width} bits, more than the {EXACT_BITS} that are exact",
        )


def exact_sum_bits(node: Any, operand_bits: int) -> int:
    """Bits that hold every sum of ``operand_bits`` wide operands times the node's integer weights."""
    fan_in = max(int(np.prod(node.weight.shape[1:])), 1)
    return int(operand_bits) + int(node.format.weight_bits) + ceil(log2(fan_in))


@register
@dataclass(eq=False, repr=False)
class LastAxisLinear(Synapses):
    """``y[..., o] = sum_i weight[o, i] x[..., i]``: one weight matrix (out, in), shared by every row of the operand."""

    weight: np.ndarray

    fields = {"weight": "floats"}
    layer = "linear"
    kernel, integer_kernel = LinearKernel, IntegerLinearKernel

    def check_format(self, require: Require) -> None:
        require(np.ndim(self.weight) == 2, "weight", f"of {np.ndim(self.weight)} axes", "a matrix")
        super().check_format(require)

    def infer(self, x: Shape) -> Shape:
        fits(self.weight.ndim == 2, f"weight of shape {self.weight.shape}, expected (out, in)")
        fits(len(x) > 0 and x[-1] == self.weight.shape[1], f"operand {x}, weight {self.weight.shape}: last axis differs")
        return (*x[:-1], self.weight.shape[0])

    def share(self, elements: np.ndarray, shape: Shape, *operands: Shape) -> Share:
        """Whole rows of the operand, and the weights of its columns."""
        out, taken = self.weight.shape
        rows, columns = box(elements, prod(shape[:-1]), out)
        node = replace(self, weight=self.weight[columns], format=self.format.of(columns))
        return Share(node, rows[:, None] * out + columns, (rows[:, None] * taken + np.arange(taken),))

    def work(self, shape: Shape, x: Shape) -> Work:
        out = self.weight.shape[0]
        return Work(prod(x[:-1]) * self.weight.size, ((out, out),))


@register
@dataclass(eq=False, repr=False)
class Linear(LastAxisLinear, nir.Linear):
    """NIR's own node, where it is exact: the operand is a vector."""

    format_type: ClassVar[Any] = None
    without_integer = "a vector is a row like any other: LastAxisLinear"

    def infer(self, x: Shape) -> Shape:
        fits(len(x) == 1, f"Linear takes a vector, not {x}; use LastAxisLinear")
        return super().infer(x)
