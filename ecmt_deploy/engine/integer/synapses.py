"""Weights of integer programs: products that are exact in floats, then one requantisation a step."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine import synapses
from ecmt_deploy.engine.base import FEW_ROWS, runs
from ecmt_deploy.engine.integer.base import Clips, stepped
from ecmt_deploy.engine.integer.exact import DOUBLE
from ecmt_deploy.engine.integer.gemm import Integers, Products, int8_is_fast_and_exact
from ecmt_deploy.engine.integer.rounding import Rounded
from ecmt_deploy.engine.signal import Chunk, Signal
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.ops.convolution import Convolution


class Weighted(Rounded):
    """Mixed before a float op with weights."""

    weight: Tensor

    def set_products(self, program: Program, weight: np.ndarray, grid: tuple[int, ...], channels: tuple[int, ...]) -> None:
        """Note how products are taken, of weights (out, in), and what their sums are multiplied by, of shape ``channels``."""
        self.products = Products.of(weight, Integers.of(program, program.operands[self.name][0]))
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
        self.hold_integers("weight", self.node.weight, torch.float32)
        self.register_buffer("small", None, persistent=False)  # for a CPU that computes in int8
        if self.products.digits and int8_is_fast_and_exact():
            self.hold_integers("small", self.node.weight.T, torch.int8)

    small: Tensor | None

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        clips, n = Clips(self, chunk, x.value), len(x.value)
        rows = x.value.reshape(n, chunk.batch, -1, x.value.shape[-1])
        if x.events is not None:
            busy = (x.events > 0).reshape(n, -1)
            if int(busy.count_nonzero()) <= FEW_ROWS * busy.numel():
                return self.few(chunk, rows.flatten(1, 2), busy, clips)
        return self.round_all(chunk, [self.sums(step) for step in rows], clips, self.saturates)

    def sums(self, x: Tensor) -> Tensor:
        """Exact sums (.., out) of operands (.., in)."""
        small = None if x.is_cuda else self.small
        return self.products.linear(x.reshape(-1, x.shape[-1]), self.weight, small).reshape(*x.shape[:-1], -1)

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
                a = clips.clip_(a.double(), t, samples)
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
        out = len(self.node.weight)
        matrix = self.node.weight.reshape(out, -1)
        self.set_products(program, matrix, (out, prod(self.shape[1:])), (out, 1))
        kind = torch.float32 if self.products.single else torch.float64
        self.hold_integers("matrix", matrix.reshape(self.groups, out // self.groups, -1), kind)

    matrix: Tensor

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        sums = []
        for step in x.value:
            by_group = self.laid_out(step.to(self.matrix.dtype)).unflatten(1, (self.groups, -1))
            sums.append(self.products.matmul(self.matrix, by_group).flatten(1, 2))  # (B, out, positions)
        return self.round_all(chunk, sums, Clips(self, chunk, x.value), self.saturates)

    def laid_out(self, x: Tensor) -> Tensor:
        """What lies under the windows of ``x`` (B, C, ...): (B, C * taps, positions)."""
        kernel, lines = tuple(self.node.weight.shape[2:]), self.node.spatial_axes == 1
        shapes = [tuple(np.atleast_1d(self.arguments[key]).tolist()) for key in ("dilation", "padding", "stride")]
        if lines:  # one dimension runs as two
            kernel, shapes = (1, *kernel), [(extra, *shape) for extra, shape in zip((1, 0, 1), shapes, strict=True)]
        dilation, padding, stride = shapes
        return F.unfold(x[:, :, None] if lines else x, kernel, dilation, padding, stride)
