"""Integer sources and the arithmetic between synapses: input, constants, sums, scales, means, hold, readout."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site
from ecmt_deploy.kernels.fixed.arithmetic import divided, requantised, shifted
from ecmt_deploy.kernels.fixed.base import Integer
from ecmt_deploy.kernels.linear import AddKernel, MeanKernel
from ecmt_deploy.kernels.sources import ConstantKernel, InputKernel
from ecmt_deploy.kernels.stateful import HoldKernel, ReadoutKernel
from ecmt_deploy.kernels.streams import Stream, rows
from ecmt_deploy.program import fixed as f


class FixedInputKernel(Integer, InputKernel):
    """``FixedInput``: integers enter at t = 1, saturated to the width of the input."""

    def present(self, sample: np.ndarray) -> None:
        if np.asarray(sample).dtype.kind != "i":
            raise TypeError("an integer program takes samples as integers: quantise them with its input's exponent")
        super().present(sample)

    def advance(self, t: int, *operands: Stream) -> Stream:
        value, changed = super().advance(t, *operands)
        return Stream(self.saturated(value), changed)


class FixedConstantKernel(Integer, ConstantKernel):
    """``FixedConstant``."""


class FixedScaleKernel(Integer, Kernel):
    """``FixedScale``: one multiplier and shift per element, broadcast."""

    ecm_kind = "scale"

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.multiplier, self.shift = np.asarray(node.multiplier, np.int64), np.asarray(node.shift, np.int64)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        changed = rows(x.changed)
        self.count_elements(int(changed.sum()))
        return Stream(self.saturated(requantised(x.value, self.multiplier, self.shift)), changed)


class FixedAddKernel(Integer, AddKernel):
    """``FixedAdd``: operands in the sum's exponent, added exactly, saturated once; minus infinity plus anything is minus
    infinity."""

    node: f.FixedAdd

    def advance(self, t: int, *operands: Stream) -> Stream:
        masked = np.zeros(self.site.shape, bool)
        aligned = []
        for x, exponent in zip(operands, self.node.operand_exponents.tolist(), strict=True):
            masked |= x.value == self.masked
            aligned.append(Stream(shifted(x.value, int(self.node.exponent) - exponent), x.changed))
        total, changed = super().advance(t, *aligned)
        if masked.any():
            return Stream(np.where(masked, self.masked, self.saturated(np.where(masked, 0, total))), changed)
        return Stream(self.saturated(total), changed)


class FixedMeanKernel(Integer, MeanKernel):
    """``FixedMean``: an exact sum, requantised."""

    node: f.FixedMean

    def average(self, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        total = x.sum(axis=axes, keepdims=keepdims)
        multiplier, shift = (np.asarray(a, np.int64) for a in (self.node.multiplier, self.node.shift))
        return self.saturated(np.asarray(requantised(total, multiplier, shift)))


class FixedHoldKernel(Integer, HoldKernel):
    """``FixedHold``."""

    def advance(self, t: int, *operands: Stream) -> Stream:
        value, changed = super().advance(t, *operands)
        self.total = self.saturated(value)
        return Stream(self.total, changed)


class FixedReadoutKernel(Integer, ReadoutKernel):
    """``FixedReadout``: the running sum, in rate coding divided by t to the nearest integer."""

    def read(self, t: int) -> np.ndarray:
        self.total = self.saturated(self.total)
        return divided(self.total, t) if self.node.coding == "rate" else self.total
