"""Weights of integer programs: products that are exact in floats, then one requantisation a step."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine import synapses
from ecmt_deploy.engine.base import FEW_ROWS, runs
from ecmt_deploy.engine.integer.base import Clips, stepped
from ecmt_deploy.engine.integer.exact import DOUBLE, SINGLE
from ecmt_deploy.engine.integer.rounding import Rounded
from ecmt_deploy.engine.signal import Chunk, Signal
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.ops.convolution import Convolution

#: products in float32 are taken apart into at most so many sums: more take as long as one in float64
MOST_PARTS = 4


def largest_integer(program: Program, stream: str) -> int:
    """The largest magnitude in a stream: of spikes the largest payload, else what the width holds."""
    found = []
    for name in program.emitters[stream]:
        node: Any = program.nodes[name]
        if node.emits == "spikes":
            found += [int(np.max(np.asarray(size) / node.unit)) for size in node.largest_spike]
        else:
            found.append(2 ** (int(node.format.state_bits) - 1))
    return max(found)


class Products(NamedTuple):
    """How sums of weights times operands are computed without rounding.

    Attributes
    ----------
    parts : in float32, in so many parts of the fan-in, each of which stays within 2^24; 0: in float64
    sums : largest magnitude of the whole sum of each output, (out,)
    """

    parts: int
    sums: np.ndarray

    @classmethod
    def of(cls, weight: np.ndarray, largest: int) -> Products:
        """For integer weights (out, in) and operands of at most ``largest``."""
        reach = np.abs(weight.astype(np.float64)) * largest
        sums = reach.sum(axis=1)
        for parts in (1, 2, MOST_PARTS):
            if parts <= max(weight.shape[1], 1) and max(
                float(part.sum(axis=1).max(initial=0)) for part in np.array_split(reach, parts, axis=1)
            ) <= SINGLE:  # fmt: skip
                return cls(parts, sums)
        return cls(0, sums)

    def matmul(self, weight: Tensor, x: Tensor) -> Tensor:
        """``weight`` (.., out, in) times x (.., in, n); float32 where one part suffices, else float64."""
        if self.parts == 0:
            return weight.double() @ x.double()
        if self.parts == 1:
            return weight.float() @ x.float()
        pieces = zip(weight.float().tensor_split(self.parts, dim=-1), x.float().tensor_split(self.parts, dim=-2), strict=True)
        return torch.stack([(w @ part).double() for w, part in pieces]).sum(dim=0)


class Weighted(Rounded):
    """Mixed before a float op with weights."""

    weight: Tensor

    def set_products(self, program: Program, weight: np.ndarray, grid: tuple[int, ...], channels: tuple[int, ...]) -> None:
        """Note how products are taken, of weights (out, in), and what their sums are multiplied by, of shape ``channels``."""
        self.largest_operand = largest_integer(program, program.operands[self.name][0])
        self.products = Products.of(weight, self.largest_operand)
        form = self.node.format
        bound = self.products.sums.reshape(channels)
        #: sums of spikes saturate at the width of state before they are multiplied; where they cannot, nothing is looked for
        self.saturates = self.operand_spikes[0] and bool((bound > self.largest).any())
        if self.saturates:
            bound = np.minimum(bound, self.largest)
        multiplier, shift = (np.asarray(a).reshape(channels) for a in (form.multiplier, form.shift))
        self.set_rounding(multiplier, shift, bound, grid)
        assert self.products.sums.max(initial=0) < DOUBLE, "verified when the program was read"


@runs(ops.LastAxisLinear, integers=True)
class Linear(Weighted, synapses.Linear):
    """Weights (out, in): one product for all steps."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        out = len(self.node.weight)
        self.set_products(program, self.node.weight, (prod(self.shape[:-1]), out), (1, out))
        kind = torch.float32 if self.products.parts else torch.float64
        self.hold_integers("weight", self.node.weight, kind)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        clips, n = Clips(self, chunk, x.value), len(x.value)
        rows = x.value.reshape(n, chunk.batch, -1, x.value.shape[-1])
        if x.events is not None:
            busy = (x.events > 0).reshape(n, -1)
            if int(busy.count_nonzero()) <= FEW_ROWS * busy.numel():
                return self.few(chunk, rows.flatten(1, 2), busy, clips)
        return self.round_all(chunk, self.sums(rows), clips, self.saturates)

    def sums(self, x: Tensor) -> Tensor:
        """Exact sums (.., out) of operands (.., in)."""
        if self.products.parts == 1:
            return F.linear(x.float(), self.weight)
        flat = x.reshape(-1, x.shape[-1])
        return self.products.matmul(flat, self.weight.T).reshape(*x.shape[:-1], -1)

    def few(self, chunk: Chunk, rows: Tensor, busy: Tensor, clips: Clips) -> Signal:
        """The stream where few rows (n, B * R, in) have an event: of the others nothing comes, and what is kept stays."""
        result = torch.zeros(*rows.shape[:2], self.grid[1], dtype=self.dtype, device=rows.device)
        kept = self.own(chunk).state.get("remainder")
        if self.carries:
            kept = self.fresh_remainder(result[0]) if kept is None else kept.flatten(0, 1).clone()
        for t in range(len(rows)):
            (index,) = busy[t].nonzero(as_tuple=True)
            if not len(index):
                continue
            samples, a = index // self.grid[0], self.sums(rows[t, index])
            if self.saturates:
                a = clips.clip_(a, t, samples)
            value, left = self.rounded(a, None if kept is None else kept[index], slice(None))
            result[t, index] = (value if self.within else clips.clip_(value, t, samples)).to(self.dtype)
            if kept is not None and left is not None:
                kept[index] = left
        clips.count()
        if kept is not None:
            self.kept(chunk, remainder=kept.reshape(chunk.batch, *self.grid))
        return stepped(result.reshape(len(rows), chunk.batch, *self.shape))


@runs(Convolution, integers=True)
class Conv(Weighted, synapses.Conv):
    """Kernels (out, in / groups, ...): windows laid out side by side, then products of matrices, whose sums are exact.

    Not the library's own convolution: some of its algorithms transform their operands, and round.
    """

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        out, self.groups = len(self.node.weight), int(self.arguments["groups"])
        matrix = self.node.weight.reshape(out, -1)
        self.set_products(program, matrix, (out, prod(self.shape[1:])), (out, 1))
        kind = torch.float32 if self.products.parts else torch.float64
        self.hold_integers("matrix", matrix.reshape(self.groups, out // self.groups, -1), kind)

    matrix: Tensor

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        kernel, lines = tuple(self.node.weight.shape[2:]), self.node.spatial_axes == 1
        shapes = [tuple(np.atleast_1d(self.arguments[key]).tolist()) for key in ("dilation", "padding", "stride")]
        if lines:  # one dimension runs as two
            kernel, shapes = (1, *kernel), [(extra, *shape) for extra, shape in zip((1, 0, 1), shapes, strict=True)]
        dilation, padding, stride = shapes
        sums = []
        for step in x.value:
            planes = (step[:, :, None] if lines else step).to(self.matrix.dtype)
            windows = F.unfold(planes, kernel, dilation, padding, stride)  # (B, in * taps, positions)
            by_group = windows.unflatten(1, (self.groups, -1))
            sums.append(self.products.matmul(self.matrix, by_group).flatten(1, 2))
        return self.round_all(chunk, torch.stack(sums), Clips(self, chunk, x.value), self.saturates)
