"""Mean: synapses of one weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.integer import Rounding
from ecmt_deploy.kernels.streams import Stream, rows
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, fits, register
from ecmt_deploy.program.ops.format import Requantised
from ecmt_deploy.program.ops.movement import axis_of, from_front
from ecmt_deploy.program.ops.share import Share, moved
from ecmt_deploy.program.primitives import Recipe


class MeanKernel(Kernel):
    """The mean over axes."""

    ecm_kind = "mean"

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        axes, keepdims = tuple(int(axis) for axis in self.node.axes), bool(self.node.keepdims)
        self.count_elements(int(rows(x.changed).sum()))
        changed = x.changed.any(axis=axes, keepdims=keepdims)
        value = self.average(x.value, axes, keepdims) if changed.any() else self.zeros(self.site.shape)
        return Stream(value, rows(np.asarray(changed)))

    def average(self, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        """The mean itself."""
        return np.asarray(x.mean(axis=axes, keepdims=keepdims))


class IntegerMeanKernel(Rounding, MeanKernel):
    """An exact sum, requantised."""

    def average(self, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        total = x.sum(axis=axes, keepdims=keepdims)
        multiplier, shift = (np.asarray(a, np.int64) for a in (self.node.format.multiplier, self.node.format.shift))
        return self.saturated(np.asarray(self.shifted(total * multiplier, shift)))


@register
@dataclass(eq=False, repr=False)
class Mean(Op):
    """Mean over ``axes`` (int64 vector), which stay as size 1 where ``keepdims``."""

    axes: np.ndarray
    keepdims: bool

    role = "arithmetic"
    fields = {"axes": "ints", "keepdims": "bool"}
    layer = "mean"
    format_type = Requantised
    kernel, integer_kernel = MeanKernel, IntegerMeanKernel
    recipe = Recipe({"add": 1, "load": 1}, row={"mul": 1, "store": 1})

    def fit(self, shape: Shape) -> None:
        self.axes = np.array(sorted(from_front(axis, len(shape)) for axis in self.axes.ravel().tolist()), np.int64)

    def check_format(self, require: Require) -> None:
        axes = np.ndim(self.format.multiplier)
        require(axes == 0, "multiplier", f"of {axes} axes", "a single number")

    def infer(self, x: Shape) -> Shape:
        axes = [axis_of(int(axis), x) for axis in self.axes]
        fits(len(set(axes)) == len(axes) > 0, f"axes {axes} of {x}")
        return tuple(1 if i in axes else size for i, size in enumerate(x) if self.keepdims or i not in axes)

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work(kind="mean", elements=prod(x))

    def together(self, operand: int | None, ndim: int) -> tuple[int, ...]:
        return (-1,)

    def share(self, elements: np.ndarray, shape: Shape, *operands: Shape) -> Share:
        """All that is averaged into its results."""
        (operand,) = operands
        averaged = moved(operand, self.coupling(len(operand)))[elements]
        return Share(replace(self, axes=np.array([1]), keepdims=True), elements[:, None, None], (averaged[:, :, None],))

    def coupling(self, ndim: int) -> tuple[int, ...]:
        return tuple(sorted(int(axis) % ndim for axis in self.axes))
