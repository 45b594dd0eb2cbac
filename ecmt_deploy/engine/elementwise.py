"""The analog arithmetic around the synapses: scales, sums and means."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from ecmt_deploy.engine.base import TorchOp, in_one_form, runs
from ecmt_deploy.engine.plan import Hints, Neighbour
from ecmt_deploy.engine.signal import Chunk, Signal, any_along
from ecmt_deploy.program import Program, ops


@runs(ops.BroadcastScale)
class Scale(TorchOp):
    fresh = True
    scale: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("scale", self.node.scale)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        return Signal(x.value * self.scale, x.form, x.steady)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        (changed,) = self.reached(chunk, signals)
        self.charge(chunk, changed, self.shape)
        return self.marked(chunk, signal, changed)


@runs(ops.Add)
class Add(TorchOp):
    fresh = True

    def prepare(self, hints: Hints, operands: Sequence[Neighbour]) -> None:
        own = (i for i, x in enumerate(operands) if x.alone and x.op.fresh and x.op.shape == self.shape)
        hints.overwrites = next(own, None)
        if len(operands) == 2 and operands[0].alone and operands[1].op.node.role == "constant":
            operands[0].op.take_bias(operands[0].hints, operands[1].op.node)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        if signals[0].completed:
            return signals[0]._replace(completed=False, changed=None)
        form, steady, same = in_one_form(chunk, signals)
        values = [s.value for s in same]
        overwrites = self.hints(chunk).overwrites
        if overwrites is not None and chunk.inplace and same[overwrites].steady == steady:
            total = values.pop(overwrites)
            for value in values:
                total.add_(value)
            return Signal(total, form, steady)
        # of one operand it is a copy: who takes the result may overwrite it
        return Signal(reduce(torch.add, values) if len(values) > 1 else values[0].clone(), form, steady)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        changed = reduce(torch.logical_or, self.reached(chunk, signals))
        self.charge(chunk, changed, self.shape, len(signals) - 1)
        return self.marked(chunk, signal, changed)


@runs(ops.Mean)
class Mean(TorchOp):
    fresh = True

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        ndim = len(self.operand_shapes[0])
        self.axes = tuple(sorted(int(axis) % ndim + 2 for axis in self.node.axes))

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        return Signal(x.value.mean(dim=self.axes, keepdim=bool(self.node.keepdims)), x.form, x.steady)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        self.charge(chunk, self.rows(chunk, signals)[0], self.operand_shapes[0])
        reached = any_along(self.reached(chunk, signals)[0], self.axes)
        return self.marked(chunk, signal, any_along(reached if self.node.keepdims else reached.squeeze(self.axes), (-1,)))
