"""Expectation compensation of a function in integers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ecmt_deploy.engine import compensation
from ecmt_deploy.engine.base import FEW_ROWS, runs
from ecmt_deploy.engine.integer.base import Clips, Tile, tiles
from ecmt_deploy.engine.integer.exact import Table, divided
from ecmt_deploy.engine.integer.following import Following
from ecmt_deploy.engine.integer.functions import INTEGER, TABLES
from ecmt_deploy.engine.signal import Chunk, Signal
from ecmt_deploy.program import Program, ops


@runs(ops.ECM, integers=True)
class ECM(Following, compensation.ECM):
    """The term is sat(f(X_t)), in rate coding sat(t sat(f(X_t / t)))."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.bits, self.rate = int(self.node.format.state_bits), self.node.coding == "rate"
        self.evaluate: Any = INTEGER[self.node.function]
        ndim = len(self.broadcast)
        if "axis" in self.constants:
            self.constants["axis"] = int(self.constants["axis"]) % ndim - ndim
        self.arrays = [key for key in self.node.parameters if key not in self.constants]
        for key in self.arrays:
            array = self.node.parameters[key].astype("f8")
            self.hold_integers(f"array_{key}", array)
            if key in TABLES:
                self.hold_integers(f"steps_{key}", array[1:] - array[:-1])
        self.grid, self.out = self.broadcast or (1,), self.shape or (1,)
        #: whether rows along the first axis may be computed apart
        self.apart = ndim > 1 and 0 not in self.node.definition.axes(self.node.parameters, ndim)

    def parameters_here(self) -> dict[str, Any]:
        """Constants, arrays and tables, where the model is."""
        found: dict[str, Any] = dict(self.constants)
        for key in self.arrays:
            array = getattr(self, f"array_{key}")
            found[key] = Table(array, getattr(self, f"steps_{key}")) if key in TABLES else array
        return found

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        device, state, axes = signals[0].value.device, self.own(chunk).state, len(self.grid)
        operands = []
        for signal in signals:
            value = signal.value
            operands.append(value.reshape(*value.shape[:2], *[1] * (axes + 2 - value.ndim), *value.shape[2:]))
        restless, clips = self.begin(chunk, device), Clips(self, chunk, signals[0].value)
        totals = [state.get(f"total_{i}", torch.zeros_like(x[0])).clone() for i, x in enumerate(operands)]
        before = state.get("previous")
        previous = torch.zeros(chunk.batch, *self.out, dtype=self.dtype, device=device) if before is None else before.clone()
        value = torch.empty(chunk.steps, *previous.shape, dtype=self.dtype, device=device)
        parameters, follows = self.parameters_here(), bool(restless.any())
        for tile in tiles(chunk.batch, self.grid, self.apart):
            again = follows  # whether something of this tile was clipped in the step before
            for t in range(chunk.steps):
                clipped, value[t][tile] = clips.times, 0
                here = [(tile[0], tile[1] if total.shape[1] > 1 else slice(None)) for total in totals]
                new = [x[t][part] if t < len(x) else None for x, part in zip(operands, here, strict=True)]
                for i, x in enumerate(new):
                    if x is not None:
                        totals[i][here[i]] = self.accumulated(totals[i][here[i]], x, clips, t, tile, self.operand_masked[i])
                held = [total[part] for total, part in zip(totals, here, strict=True)]
                self.send(chunk, t, new, held, again, (value, previous), clips, tile, parameters)
                again = clips.times > clipped
        kept = {f"total_{i}": total for i, total in enumerate(totals)}
        return self.stream(chunk, value, clips, restless, previous=previous, **kept)

    def send(
        self, chunk: Chunk, t: int, new: list[Tensor | None], held: list[Tensor], again: bool, sent: tuple[Tensor, Tensor],
        clips: Clips, tile: Tile, parameters: dict[str, Any],
    ) -> None:  # fmt: skip
        """What a tile of a step sends: of all of it, of the rows that something came to, or nothing."""
        value, previous = sent[0][t][tile], sent[1][tile]
        first, samples = chunk.start + t == 1, tile[0]
        if not (first or again or self.rate):
            if self.by_rows and new[0] is not None and len(held) == 1:
                rows = (new[0] != 0).any(dim=-1)
                (index,) = rows.flatten().nonzero(as_tuple=True)
                if len(index) <= FEW_ROWS * rows.numel():
                    if len(index):
                        owners = index // (rows.numel() // len(rows)) + (samples.start or 0)
                        flat, past = held[0].flatten(0, -2)[index], previous.flatten(0, -2)[index]
                        term = self.term(1, [flat], clips, t, owners, parameters)
                        change = clips.clip_(term.sub_(past), t, owners)
                        where = rows.nonzero(as_tuple=True)
                        value[where], previous[where] = change, past + change
                    return
            elif not any(x is not None and x.any() for x in new):
                return
        term = self.term(chunk.start + t if self.rate else 1, held, clips, t, samples, parameters)
        previous.add_(clips.clip_(torch.sub(term, previous, out=value), t, samples))

    def accumulated(self, total: Tensor, x: Tensor, clips: Clips, t: int, tile: Tile, may_be_masked: bool) -> Tensor:
        """``total + x``, saturated; minus infinity stays what it is."""
        if may_be_masked:
            masked = (total == self.minus_infinity) | (x == self.minus_infinity)
            if masked.any():
                both = clips.clip_((total + x).masked_fill_(masked, 0), t, tile[0])
                return both.masked_fill_(masked, self.minus_infinity)
        return clips.clip_(total + x, t, tile[0])

    def term(
        self, steps: int, totals: list[Tensor], clips: Clips, t: int, samples: slice | Tensor, parameters: dict[str, Any]
    ) -> Tensor:
        """What is to have been sent after a step, in the dtype of streams."""
        means = totals
        if steps > 1:
            means = [torch.where(m == self.minus_infinity, m.double(), divided(m.double(), steps)) for m in totals]
        # what is beyond the range stays beyond it, whatever float it becomes
        value = clips.clip_(self.evaluate(parameters, self.bits, *means).to(self.dtype), t, samples)
        return clips.clip_(value * steps, t, samples) if steps > 1 else value
