"""Integer synapses: exact sums of 8-bit weights and payloads, one requantisation, one saturation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.base import Site
from ecmt_deploy.kernels.fixed.arithmetic import requantised
from ecmt_deploy.kernels.fixed.base import Integer
from ecmt_deploy.kernels.linear import ConvKernel, LinearKernel
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program import fixed as f


class FixedSynapses(Integer):
    """Mixed before a float kernel of synapses, which does the sums: in double precision, exact below 2**53."""

    weight: np.ndarray

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.weight = self.weight.astype(np.float64)
        channels = (-1, *([1] * (len(site.shape) - 1))) if isinstance(node, f.FixedConv) else (-1,)
        self.multiplier, self.shift = (np.asarray(a, np.int64).reshape(channels) for a in (node.multiplier, node.shift))

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        total, changed = super().advance(t, Stream(x.value.astype(np.float64), x.changed))  # type: ignore[safe-super]
        exact = total.astype(np.int64)
        if self.site.spiking[0]:
            exact = self.saturated(exact)
        return Stream(self.saturated(requantised(exact, self.multiplier, self.shift)), changed)


class FixedLinearKernel(FixedSynapses, LinearKernel):
    """``FixedLinear``."""


class FixedConvKernel(FixedSynapses, ConvKernel):
    """``FixedConv``."""
