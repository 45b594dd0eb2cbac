"""What ops of integer programs share: their dtype, tiles, and saturation with its counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine.base import TorchOp
from ecmt_deploy.engine.integer.exact import stream_dtype
from ecmt_deploy.engine.plan import Hints, Neighbour
from ecmt_deploy.engine.signal import STEP, Chunk, Signal
from ecmt_deploy.kernels.integers import limit, minus_infinity
from ecmt_deploy.program import Program

#: elements of a step that are computed together: what is done to them in turn stays in a CPU's cache
TILE = 1 << 17
Tile = tuple[slice, slice]


class IntegerOp(TorchOp):
    """Mixed before the float op of a node, which counts; what it computes is integers, in floats that hold them exactly."""

    fresh = False

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        bits = int(self.node.format.state_bits)
        self.largest, self.minus_infinity = float(limit(bits)), float(minus_infinity(bits))
        self.dtype = stream_dtype(program)
        #: whether minus infinity may come in, operand by operand
        self.operand_masked = [source in program.masked for source in program.operands[name]]

    def prepare(self, hints: Hints, operands: Sequence[Neighbour]) -> None:
        """Nothing is done for others: every node computes what the program says."""

    def hold_integers(self, name: str, array: Any, dtype: torch.dtype = torch.float64) -> None:
        """Register integers as a buffer of floats that hold them exactly."""
        self.register_buffer(name, torch.from_numpy(np.array(array)).to(dtype), persistent=False)

    def kept(self, chunk: Chunk, **state: Tensor) -> None:
        """Keep state for the chunk that follows."""
        self.own(chunk).state = {} if chunk.final else dict(state)


class Clips:
    """What saturated in a chunk, by step and sample.

    Parameters
    ----------
    op, chunk : whose integers they are
    like : a tensor of the device
    """

    def __init__(self, op: IntegerOp, chunk: Chunk, like: Tensor) -> None:
        self.op, self.chunk = op, chunk
        self._device = like.device
        #: (steps, B) int64 elements that were clipped; ``None`` where none was
        self.numbers: Tensor | None = None
        #: how often something was
        self.times = 0

    def clip_(self, x: Tensor, step: int, samples: slice | Tensor, largest: float | None = None) -> Tensor:
        """``x`` within +-``largest``, by default what the node's state holds, in place.

        Parameters
        ----------
        x : (b, ...)
        step : of the chunk, from 0
        samples : which samples of the batch the first axis of ``x`` is: a range of them, or the sample of every entry (b,)
        """
        bound = self.op.largest if largest is None else largest
        if x.numel() == 0:
            return x
        lowest, highest = torch.aminmax(x)
        if lowest >= -bound and highest <= bound:
            return x
        self.times += 1
        clipped = (x.abs() > bound).reshape(len(x), -1).sum(dim=1)
        if self.numbers is None:
            self.numbers = torch.zeros(self.chunk.steps, self.chunk.batch, dtype=torch.int64, device=self._device)
        if isinstance(samples, slice):
            self.numbers[step, samples] += clipped
        else:
            self.numbers[step].index_add_(0, samples, clipped)
        return x.clamp_(-bound, bound)

    def count(self) -> None:
        """Count them, of the samples that count."""
        if self.numbers is not None and self.chunk.samples is not None:
            counted = self.numbers[:, : self.chunk.samples].sum(dim=1, keepdim=True)
            self.op.own(self.chunk).tally.add(counted, saturations=1)


def tiles(batch: int, grid: Sequence[int], rows: bool = True) -> Iterator[Tile]:
    """Samples and rows (first axis of the grid) that are computed together: several whole samples, or rows of one.

    Parameters
    ----------
    batch : samples
    grid : shape of one sample, of one axis at least
    rows : whether rows of a sample may be computed apart
    """
    size = max(int(np.prod(grid)), 1)
    if size > TILE and rows:
        height = max(TILE * grid[0] // size, 1)
        for m in range(batch):
            for r in range(0, grid[0], height):
                yield slice(m, m + 1), slice(r, r + height)
        return
    samples = max(TILE // size, 1)
    for m in range(0, batch, samples):
        yield slice(m, m + samples), slice(None)


def of_rows(parameter: Tensor, rows: slice) -> Tensor:
    """What of a parameter, which has the grid's axes, belongs to some rows."""
    return parameter[rows] if len(parameter) > 1 else parameter


def on_grid(array: Any, axes: int) -> np.ndarray:
    """An array with so many axes, ones in front."""
    found = np.asarray(array)
    return found.reshape((1,) * (axes - found.ndim) + found.shape)


def stepped(value: Tensor) -> Signal:
    """An analog stream by what each step brings."""
    return Signal(value, STEP)
