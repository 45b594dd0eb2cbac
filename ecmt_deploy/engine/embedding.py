"""Rows of a table by their numbers: the encoding layer of token ids."""

from __future__ import annotations

import torch
from torch import Tensor

from ecmt_deploy.engine.base import TorchOp, runs
from ecmt_deploy.engine.signal import SUM, Chunk, Signal
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.ops.embedding import require_ids


@runs(ops.Embedding)
class Embedding(TorchOp):
    """The same rows at every step, as a sum so far: they enter at t = 1."""

    fresh = True
    weight: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("weight", self.node.weight)

    def ids(self, x: Signal) -> Tensor:
        """The ids (1, B, ...) as integers, after checking that the table has such rows."""
        numbers = self.numbers(x.value[:1].detach())
        low, high = torch.aminmax(numbers)
        require_ids(self.name, float(low), float(high), len(self.node.weight))
        return numbers.long()

    def numbers(self, x: Tensor) -> Tensor:
        """The ids, as numbers, that a stream (1, B, ...) holds."""
        return x

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        rows = self.weight[self.ids(signals[0])]
        if torch.is_grad_enabled():  # ids have no gradients: those of what follows end at the rows
            rows.requires_grad_()
        return Signal(rows, SUM, steady=True)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        return None
