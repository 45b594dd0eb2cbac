"""A convolution that lists its windows: transposed, of any number of axes, unevenly padded, or of many windows of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ecmt_deploy.program.ops.base import Require, Shape, Work, fits, register
from ecmt_deploy.program.ops.convolution import ConvKernel, Convolving, IntegerConvKernel
from ecmt_deploy.program.ops.movement import sizes


def listed_windows(
    operand: Shape, shape: Shape, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool = False,
) -> np.ndarray:  # fmt: skip
    """Which place of the operand stands under each tap of each place of the result, flat, -1 in the padding: (places, taps).

    A convolution sees ``o stride - padding + t dilation`` from place o with tap t; a transposed one sees i where
    ``i stride - padding + t dilation = o``.

    Parameters
    ----------
    operand, shape : spatial axes of the operand and of the result
    kernel, stride, padding, dilation : by spatial axis; padding is that before the first place
    """
    places, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    for size, out, k, s, p, d in zip(operand, shape, kernel, stride, padding, dilation, strict=True):
        place, tap = np.arange(out)[:, None], np.arange(k) * d
        at, valid = place * s - p + tap, np.ones((out, k), bool)
        if transposed:
            at, rest = np.divmod(place + p - tap, s)
            valid = rest == 0
        valid &= (at >= 0) & (at < size)
        places = (places[:, None, :, None] * size + at[None, :, None, :]).reshape(len(places) * out, -1)
        inside = (inside[:, None, :, None] & valid[None, :, None, :]).reshape(len(inside) * out, -1)
    return np.where(inside, places, -1)


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
@dataclass(eq=False)
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
