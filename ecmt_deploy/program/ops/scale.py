"""Scales: elementwise products with a constant."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.integer import Rounding
from ecmt_deploy.kernels.streams import Part, Stream, row_by_row, width
from ecmt_deploy.program.ops.base import Op, Require, Shape, Work, broadcasts, finite, fits, register
from ecmt_deploy.program.ops.format import Shifted, require_requantisation
from ecmt_deploy.program.primitives import Recipe


class ScaleKernel(Kernel):
    """``y = scale * x``."""

    ecm_kind = "scale"

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.scale = cast(node.scale, self.dtype)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        self.count_elements(int(x.changed.sum()))
        part = Part(row_by_row(x.changed), width(self.site.shape))
        if part.empty:
            return Stream(self.zeros(self.site.shape), x.changed)
        value = self.scaled(part.of(x.value), part.of(self.scale, self.site.shape), part)
        return Stream(part.spread(value, self.site.shape), x.changed)

    def scaled(self, x: np.ndarray, scale: np.ndarray, part: Part) -> np.ndarray:
        """The product itself, in a part of the stream."""
        return x * scale


class IntegerScaleKernel(Rounding, ScaleKernel):
    """One multiplier and shift per element, broadcast."""

    def scaled(self, x: np.ndarray, scale: np.ndarray, part: Part) -> np.ndarray:
        shift = part.of(np.asarray(self.node.format.shift, np.int64), self.site.shape)
        return self.saturated(self.shifted(x * scale, shift, part))


@register
@dataclass(eq=False, repr=False)
class BroadcastScale(Op):
    """``y = scale * x``, ``scale`` broadcast to the operand's shape."""

    scale: np.ndarray

    role = "arithmetic"
    fields = {"scale": "floats"}
    per_element = ("scale",)
    passes_image = True
    format_type = Shifted
    kernel, integer_kernel = ScaleKernel, IntegerScaleKernel
    recipe = Recipe({"mul": 1, "load": 2, "store": 1})

    def check(self, require: Require) -> None:
        finite(self, "scale", require)

    def check_format(self, require: Require) -> None:
        require_requantisation(self.scale, self.format.shift, "scale", require)

    def infer(self, x: Shape) -> Shape:
        broadcasts("scale", self.scale, x)
        return x

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work(kind="scale", elements=prod(x))


@register
@dataclass(eq=False, repr=False)
class Scale(BroadcastScale, nir.Scale):
    """NIR's own node, where it is exact: the scale has the operand's shape."""

    format_type: ClassVar[Any] = None
    without_integer = "it is a BroadcastScale"

    def infer(self, x: Shape) -> Shape:
        fits(self.scale.shape == x, f"scale of shape {self.scale.shape} on {x}; use BroadcastScale")
        return x
