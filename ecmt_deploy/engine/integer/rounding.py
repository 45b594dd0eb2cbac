"""Rounding of increments to a stream's exponent, with the remainder that is kept where the format carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine.integer.base import Clips, IntegerOp, of_rows, on_grid, stepped, tiles
from ecmt_deploy.engine.integer.exact import DOUBLE
from ecmt_deploy.engine.signal import Chunk, Signal


class Rounded(IntegerOp):
    """A node that ends with ``(a * multiplier) >> shift``, rounded halves up, and a saturation.

    With k the remainder and h = k / 2^shift + 1/2, from 0 to 1, the rounded value is floor(a * multiplier / 2^shift + h), and
    what that leaves is the next h. In float64 all of it is exact where |a * multiplier| + 2^shift is at most 2^52; elsewhere it
    is computed in int64, as the kernels do.
    """

    factor: Tensor
    multiplier: Tensor
    shift: Tensor

    def set_rounding(self, multiplier: Any, shift: Any, largest: np.ndarray | float, grid: tuple[int, ...]) -> None:
        """Note the constants.

        Parameters
        ----------
        multiplier, shift : arrays that broadcast to the grid
        largest : of each of them, magnitude of what is multiplied
        grid : shape of one sample as it is computed, of two axes at least
        """
        self.grid = grid
        wide, right = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
        reach = np.abs(wide).astype(np.float64) * largest
        self.narrow = bool((reach + np.exp2(np.maximum(right, 0)) <= DOUBLE / 2).all())
        #: whether no result can be beyond the node's range
        self.within = bool((np.ldexp(reach, -right) + 1 <= self.largest).all())
        self.carries = bool(self.node.format.remainder_bits)
        axes = len(grid)
        if self.narrow:
            self.hold_integers("factor", on_grid(np.ldexp(wide.astype(np.float64), -right), axes))
        else:
            self.hold_integers("multiplier", on_grid(wide, axes), torch.int64)
            self.hold_integers("shift", on_grid(right, axes), torch.int64)

    def fresh_remainder(self, tile: Tensor) -> Tensor:
        """What is kept before t = 1 for a tile: nothing, as h, or of int64 as k."""
        if self.narrow:
            return torch.full_like(tile, 0.5, dtype=torch.float64)
        return torch.zeros_like(tile, dtype=torch.int64)

    def rounded(self, a: Tensor, remainder: Tensor | None, rows: slice) -> tuple[Tensor, Tensor | None]:
        """The rounded values of integers (b, ...), and what is left of them; ``None`` where nothing is kept."""
        if self.narrow:
            factor = of_rows(self.factor, rows)
            if remainder is None:
                return a.double().mul_(factor).add_(0.5).floor_(), None
            total = torch.addcmul(remainder, a.double(), factor)
            value = total.floor()
            return value, torch.sub(total, value, out=total)
        multiplier, right = of_rows(self.multiplier, rows), of_rows(self.shift, rows)
        amount = right.clamp(min=0)
        whole = a.long() * multiplier
        if remainder is not None:
            whole += remainder
        value = ((whole << (-right).clamp(min=0)) + ((torch.ones_like(amount) << amount) >> 1)) >> amount
        left = None if remainder is None else torch.where(right > 0, whole - (value << amount), 0)
        return value.double(), left

    def round_all(self, chunk: Chunk, sums: Sequence[Tensor], clips: Clips, saturates: bool = False) -> Signal:
        """The stream of the sums (B, *grid) of every step, one after another, tile after tile.

        ``saturates``: whether sums themselves are clipped before they are rounded.
        """
        result = torch.empty(len(sums), chunk.batch, *self.grid, dtype=self.dtype, device=sums[0].device)
        before, after = self.own(chunk).state.get("remainder"), None
        if self.carries and not chunk.final:
            kind = torch.float64 if self.narrow else torch.int64
            after = torch.empty(result.shape[1:], dtype=kind, device=sums[0].device)
        for tile in tiles(chunk.batch, self.grid):
            remainder = None
            if self.carries:
                remainder = self.fresh_remainder(sums[0][tile]) if before is None else before[tile]
            for t, a in enumerate(sums):
                own = clips.clip_(a[tile].double(), t, tile[0]) if saturates else a[tile]
                value, remainder = self.rounded(own, remainder, tile[1])
                here = result[t][tile].copy_(value)  # what is beyond the range stays beyond it, whatever float it becomes
                if not self.within:
                    clips.clip_(here, t, tile[0])
            if after is not None and remainder is not None:
                after[tile] = remainder
        clips.count()
        if after is not None:
            self.kept(chunk, remainder=after)
        return stepped(result.reshape(*result.shape[:2], *self.shape))
