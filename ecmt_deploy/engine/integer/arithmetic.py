"""Scales, sums and means of integer streams."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from ecmt_deploy.engine import elementwise
from ecmt_deploy.engine.base import runs
from ecmt_deploy.engine.integer.base import Clips, IntegerOp, Tile, stepped, tiles
from ecmt_deploy.engine.integer.exact import DOUBLE, shifted
from ecmt_deploy.engine.integer.rounding import Rounded
from ecmt_deploy.engine.signal import Chunk, Signal
from ecmt_deploy.program import Program, ops


@runs(ops.BroadcastScale, integers=True)
class Scale(Rounded, elementwise.Scale):
    """sat((x * scale) >> shift)."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        grid = (1,) * (2 - len(self.shape)) + tuple(self.shape)
        self.set_rounding(self.node.scale, self.node.format.shift, -self.minus_infinity, grid)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        x = signals[0].value
        return self.round_all(chunk, x.reshape(*x.shape[:2], *self.grid).unbind(), Clips(self, chunk, x))


@runs(ops.Mean, integers=True)
class Mean(Rounded, elementwise.Mean):
    """sat((sum of x * multiplier) >> shift), the sum exact."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        (shape,) = self.operand_shapes
        together = prod(shape[axis - 2] for axis in self.axes)
        grid = (1,) * (2 - len(self.shape)) + tuple(self.shape)
        self.set_rounding(self.node.format.multiplier, self.node.format.shift, -self.minus_infinity * together, grid)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        x = signals[0].value
        total = x.sum(dim=self.axes, dtype=torch.float64)
        return self.round_all(chunk, total.reshape(*x.shape[:2], *self.grid).unbind(), Clips(self, chunk, x))


@runs(ops.Add, integers=True)
class Add(IntegerOp, elementwise.Add):
    """Operands in the sum's exponent, saturated once; minus infinity plus anything is minus infinity.

    Where the format carries, what is finer than the sum is added too, and rounded once; else each operand by itself.
    """

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        form, size = self.node.format, float(2 ** (int(self.node.format.state_bits) - 1))
        self.rights = [int(form.exponent) - int(exponent) for exponent in form.operand_exponents]
        self.finest = int(form.remainder_bits)
        #: of the operands together, in units of the sum, and of the sum in units of what is finest
        reach = sum(size * 2.0 ** max(-right, 0) for right in self.rights) * 2.0**self.finest
        self.narrow = reach + 2.0**self.finest <= DOUBLE / 2
        plain = self.narrow and not self.finest
        #: sums that are exact in the dtype of streams: two operands, none of which is shifted to the left
        self.single = plain and len(self.rights) <= 2 and min(self.rights) >= 0
        self.grid = (1,) * (2 - len(self.shape)) + tuple(self.shape)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        steps = max(len(s.value) for s in signals)
        operands = [s.value.reshape(*s.value.shape[:2], *self.grid) for s in signals]
        if len(operands) == 1 and not (self.finest or self.rights[0]):
            return stepped(signals[0].value)
        add: Callable[[list[Tensor | None], Tensor | None], tuple[Tensor, Tensor | None]] = self._whole
        if self.narrow:
            add = self._carried if self.finest else self._apart
        clips, like = Clips(self, chunk, operands[0]), operands[0]
        result = torch.empty(steps, *like.shape[1:], dtype=self.dtype, device=like.device)
        before, after = self.own(chunk).state.get("remainder"), None
        if self.finest and not chunk.final:
            kind = torch.float64 if self.narrow else torch.int64
            after = torch.empty(like.shape[1:], dtype=kind, device=like.device)
        for tile in tiles(chunk.batch, self.grid):
            kept = None if before is None else before[tile]
            for t in range(steps):
                here = [x[t][tile] if t < len(x) else None for x in operands]
                result[t][tile], kept = self._step(here, kept, add, clips, t, tile)
            if after is not None and kept is not None:
                after[tile] = kept
        clips.count()
        if after is not None:
            self.kept(chunk, remainder=after)
        return stepped(result.reshape(*result.shape[:2], *self.shape))

    def _step(
        self, operands: list[Tensor | None], kept: Tensor | None,
        add: Callable[[list[Tensor | None], Tensor | None], tuple[Tensor, Tensor | None]], clips: Clips, step: int, tile: Tile,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """A tile of a step, and what is kept of it."""
        masks = [
            x == self.minus_infinity for x, may in zip(operands, self.operand_masked, strict=True) if may and x is not None
        ]
        masked = torch.stack(masks).any(dim=0) if masks else None
        if masked is None or not masked.any():
            total, left = add(operands, kept)
            return clips.clip_(total, step, tile[0]), left
        total, left = add([None if x is None else x.masked_fill(masked, 0) for x in operands], kept)  # what is kept stays
        return clips.clip_(total, step, tile[0]).masked_fill_(masked, self.minus_infinity), left

    def _apart(self, operands: list[Tensor | None], kept: Tensor | None) -> tuple[Tensor, None]:
        """Each operand rounded by itself."""
        total: Tensor | None = None
        for x, right in zip(operands, self.rights, strict=True):
            if x is None:
                continue
            own = x if self.single else x.double()
            own = shifted(own, right) if right else own
            total = own if total is None else total + own
        assert total is not None
        return (total.clone() if any(total is x for x in operands) else total), None

    def _carried(self, operands: list[Tensor | None], kept: Tensor | None) -> tuple[Tensor, Tensor]:
        """All operands and what was kept, rounded once; kept is a half more than what was left, from 0 to 1."""
        total: Tensor | float = 0.5 if kept is None else kept
        for x, right in zip(operands, self.rights, strict=True):
            if x is not None:
                total = (x.double() * 2.0**-right).add_(total)
        assert isinstance(total, Tensor)
        value = total.floor()
        return value, total - value

    def _whole(self, operands: list[Tensor | None], kept: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """In int64, whole parts and finer ones apart; kept is what was left, in units of what is finest."""
        integers = [None if x is None else x.long() for x in operands]
        like = next(m for m in integers if m is not None)
        total, finer = torch.zeros_like(like), torch.zeros_like(like) if kept is None else kept
        for m, right in zip(integers, self.rights, strict=True):
            if m is not None and self.finest and right > 0:
                whole = m >> right
                total, finer = total + whole, finer + ((m - (whole << right)) << (self.finest - right))
            elif m is not None:
                total = total + (((m + ((1 << right) >> 1)) >> right) if right > 0 else m << -right)
        if not self.finest:
            return total.double(), None
        rounded = (finer + ((1 << self.finest) >> 1)) >> self.finest
        return (total + rounded).double(), finer - (rounded << self.finest)
