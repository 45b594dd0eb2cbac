"""A convolution that lists its windows: transposed, of any number of axes, unevenly padded, or of many windows of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ecmt_deploy.program.ops.base import Require, Shape, Work, fits, register
from ecmt_deploy.program.ops.convolution import ConvKernel, Convolving, IntegerConvKernel
from ecmt_deploy.program.ops.movement import sizes


class ListedKernel(ConvKernel):
    """A convolution along one axis whose windows are looked up."""

    def _windows(self, x: np.ndarray) -> np.ndarray:
        """Windows (C, 1, places, 1, taps)."""
        flat = x.reshape(len(x), -1)
        padded = np.concatenate([flat, np.zeros((len(flat), 1), flat.dtype)], axis=1)
        taken: np.ndarray = padded[:, self.node.windows][:, None, :, None]
        return taken


class IntegerListedKernel(IntegerConvKernel, ListedKernel):
    """Integer kernels; multiplier and shift (out channels,)."""


@register
@dataclass(eq=False, repr=False)
class ListedConvolution(Convolving):
    """``y[o, p] = sum_{c, t} weight[o, c, t] x[c, windows[p, t]]`` over the channels c of the group of o, places flat.

    Attributes
    ----------
    weight : (out, in / groups, taps)
    windows : (places, taps), which place of the operand stands under each tap of each place of the result; -1 is none
    shape : spatial axes of the result, as large as its places
    groups : groups of channels
    """

    weight: np.ndarray
    windows: np.ndarray
    shape: np.ndarray
    groups: int

    fields = {"weight": "floats", "windows": "ints", "shape": "ints", "groups": "int"}
    kernel, integer_kernel = ListedKernel, IntegerListedKernel
    stride = dilation = 1
    padding = 0

    def check(self, require: Require) -> None:
        super().check(require)
        self._check_windows(require)

    def check_format(self, require: Require) -> None:
        self._check_windows(require)
        super().check_format(require)

    def _check_windows(self, require: Require) -> None:
        weight, groups, shape = self.weight, self.groups, self.shape
        sound = weight.ndim == 3 and weight.size > 0 and 1 <= groups <= len(weight) and len(weight) % groups == 0
        require(sound, "weight", f"of shape {weight.shape} in {groups} groups", "(out, in / groups, taps)")
        places = prod(sizes(shape)) if shape.ndim == 1 and shape.size and (shape > 0).all() else 0
        require(places > 0, "shape", shape.tolist(), "a vector of sizes of at least 1")
        expected = (places, weight.shape[2])
        require(self.windows.shape == expected, "windows", f"of shape {self.windows.shape}", f"{expected}: (places, taps)")

    def infer(self, x: Shape) -> Shape:
        least, most = int(self.windows.min()), int(self.windows.max())
        fits(len(x) >= 2, f"operand {x}, expected (channels, places)")
        fits(x[0] == self.weight.shape[1] * self.groups, f"operand {x}: channels")
        fits(least >= -1 and most < prod(x[1:]), f"windows name places {least} to {most} of an operand of {prod(x[1:])}")
        return (len(self.weight), *sizes(self.shape))

    def under(self, operand: Shape, shape: Shape) -> np.ndarray:
        return self.windows

    def work(self, shape: Shape, x: Shape) -> Work:
        per_group = len(self.weight) // self.groups
        met = np.bincount(self.windows[self.windows >= 0], minlength=prod(x[1:]))
        macs: Any = int(met.sum()) * self.weight[0].size // self.weight.shape[2] * len(self.weight)
        return Work(macs, ((int(met.min()) * per_group, int(met.max()) * per_group),))
