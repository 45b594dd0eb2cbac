"""Rows of integer weights by their numbers, requantised once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine import embedding
from ecmt_deploy.engine.base import runs
from ecmt_deploy.engine.integer.base import Clips, stepped
from ecmt_deploy.engine.integer.rounding import Rounded
from ecmt_deploy.engine.integer.sums import at_first
from ecmt_deploy.engine.signal import Chunk, Signal
from ecmt_deploy.program import Program, ops


@runs(ops.Embedding, integers=True)
class Embedding(Rounded, embedding.Embedding):
    """The rows of every id at the first step; nothing afterwards."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        width = self.node.weight.shape[1]
        form, largest = self.node.format, np.abs(self.node.weight.astype(np.float64)).max(axis=0)
        self.hold_integers("weight", self.node.weight, self.dtype)
        shape = (1, width)
        multiplier, shift = (np.asarray(array).reshape(shape) for array in (form.multiplier, form.shift))
        self.set_rounding(multiplier, shift, largest.reshape(shape), (int(np.prod(self.shape[:-1])), width))

    def numbers(self, x: Tensor) -> Tensor:
        return x.double() * 2.0 ** int(self.node.format.operand_exponents[0])

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        if not chunk.first:
            return stepped(torch.zeros(1, chunk.batch, *self.shape, dtype=self.dtype, device=x.value.device))
        rows = self.weight[self.ids(x)].reshape(1, chunk.batch, *self.grid)
        return self.round_all(chunk, list(rows), Clips(self, chunk, x.value))

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        return at_first(chunk, len(self.shape), signal.value.device)
