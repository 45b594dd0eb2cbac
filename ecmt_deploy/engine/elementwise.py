"""The analog arithmetic around the synapses: scales, sums and means."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from ecmt_deploy.engine.base import Op, same_when
from ecmt_deploy.engine.signal import EACH, FIRST, Chunk, Signal, any_along, number
from ecmt_deploy.graph import Program


class Scale(Op):
    scale: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("scale", self.node.scale)

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        return Signal(x.value * self.scale, x.when)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        (changed,) = self.rows(chunk, signals)
        self.charge(chunk, "scale", changed, self.shape)
        return changed if signal.when == EACH else None


class Add(Op):
    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        when = same_when(signals)
        if when != EACH:
            return Signal(reduce(torch.add, (s.value for s in signals)), when)
        total = signals[0].each(chunk)
        for i, s in enumerate(signals[1:]):
            if s.when == FIRST and chunk.first and chunk.steps > 1:
                total = total.clone() if i == 0 else total
                total[:1] += s.value
            elif s.when != FIRST or chunk.first:
                total = total + s.value  # a stream that is the same at every step broadcasts
        return Signal(total)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        changed = reduce(torch.logical_or, self.rows(chunk, signals))
        self.charge(chunk, "add", changed, self.shape, len(signals) - 1)
        return changed if signal.when == EACH else None


class Mean(Op):
    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        ndim = len(self.operand_shapes[0])
        self.axes = tuple(sorted(int(axis) % ndim + 2 for axis in self.node.axes))

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        return Signal(x.value.mean(dim=self.axes, keepdim=bool(self.node.keepdims)), x.when)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        self.tally.ecm_ops["mean"] += number(chunk, self.rows(chunk, signals)[0], self.operand_shapes[0])
        if signal.when != EACH:
            return None
        reached = any_along(self.reached(chunk, signals)[0], self.axes)
        return any_along(reached if self.node.keepdims else reached.squeeze(self.axes), (-1,))
