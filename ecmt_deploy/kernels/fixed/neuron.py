"""The multi-threshold neuron in integers."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.kernels.fixed.arithmetic import highest_bit
from ecmt_deploy.kernels.fixed.base import Integer
from ecmt_deploy.kernels.stateful import NeuronKernel
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program import fixed as f


class FixedNeuronKernel(Integer, NeuronKernel):
    """``FixedMultiThreshold``: v <- v + x; the largest level that v reaches fires; v <- v - level; its payload is sent.

    Level base << k fires at ceil(level * c) with c = ``fraction``, a multiple of 1/256 (``nearest``), or at level -
    floor(base / 2) (``paper``). Conservation: sum of payloads times unit + v = initial membrane + sum of inputs, as long as
    nothing saturates.
    """

    node: f.FixedMultiThreshold

    def prepare(self) -> None:
        """Bases, unit and fraction; levels are shifts of the bases."""
        as_integers = (np.asarray(a, np.int64) for a in (self.node.positive_base, self.node.negative_base, self.node.unit))
        self.positive_base, self.negative_base, self.unit = as_integers
        self.lowest = np.asarray(self.node.lowest_level, np.int64)
        self.numerator = round(self.node.fraction * f.FRACTION_STEPS)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        v = self.saturated(self.v + x.value)
        base = np.where(v < 0, self.negative_base, self.positive_base)
        # v >= ceil(base 2^k c)  <=>  floor(v / (base c)) >= 2^k;   v >= base 2^k - floor(base/2)  <=>  the same with halves
        if self.node.rule == "nearest":
            reached = np.abs(v) * f.FRACTION_STEPS // (base * self.numerator)
        else:
            reached = (np.abs(v) + (base >> 1)) // base
        level = np.minimum(highest_bit(reached), int(self.node.levels) - 1)
        fired = level >= self.lowest
        size = np.where(fired, base << np.maximum(level, 0), 0)
        self.v = np.where(v < 0, v + size, v - size)
        payload = size // self.unit
        return self.emit(x, np.where(v < 0, -payload, payload), fired)
