"""Neurons of integer programs: the level that fires follows from the bits of floats, of a graded one from a quotient.

Both are exact, for membranes are integers of fewer digits than the floats that hold them (:func:`threshold`,
:meth:`Graded.payloads`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine.base import runs
from ecmt_deploy.engine.firing import at_most_, exponent_of_quotient, of_sign, unit_of_exponent
from ecmt_deploy.engine.integer.base import Clips, IntegerOp, of_rows, on_grid, tiles
from ecmt_deploy.engine.neuron import Spiking
from ecmt_deploy.engine.signal import STEP, Chunk, Signal
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.ops.multi_threshold import FRACTION_STEPS


class Neuron(IntegerOp, Spiking):
    """v <- sat(v + x); a payload fires; v <- v - payload * unit."""

    sends_analog = False

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.grid = (1,) * (2 - len(self.shape)) + tuple(self.shape)
        self.hold_on_grid("initial", self.node.initial_membrane)

    def hold_on_grid(self, name: str, array: Any) -> None:
        """Register integers, or floats as they are, with as many axes as the grid."""
        self.hold_integers(name, on_grid(array, len(self.grid)), self.dtype)

    def payloads(self, v: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """What membranes (b, *rows) send: payloads, what of a membrane each takes, and events of every row."""
        raise NotImplementedError

    def fire(self, chunk: Chunk, x: Signal) -> Signal:
        u = x.value.reshape(*x.value.shape[:2], *self.grid)
        sent = torch.empty(chunk.steps, chunk.batch, *self.grid, dtype=self.dtype, device=u.device)
        events = torch.empty(*sent.shape[:-1], 1, dtype=torch.int32, device=u.device)
        before, after = self.own(chunk).state.get("v"), None if chunk.final else torch.empty_like(sent[0])
        clips = Clips(self, chunk, u)
        for tile in tiles(chunk.batch, self.grid):
            v = self.begun(before, u[0][tile], tile)
            for t in range(chunk.steps):
                if t < len(u):
                    v = clips.clip_(v.add_(u[t][tile]), t, tile[0])
                payload, unit, events[t][tile] = self.payloads(v, tile[1])
                sent[t][tile] = payload
                v.addcmul_(payload, unit, value=-1)
            if after is not None:
                after[tile] = v
        clips.count()
        if after is not None:
            self.kept(chunk, v=after)
        lead, rows = sent.shape[:2], (*self.shape[:-1], 1) if self.shape else ()
        value = sent.reshape(*lead, *self.shape)
        return Signal(value, STEP, events=events.reshape(*lead, *rows), spikes=value)

    def begun(self, before: Tensor | None, like: Tensor, tile: tuple[slice, slice]) -> Tensor:
        """The membranes of a tile before the chunk, in memory of their own."""
        return of_rows(self.initial, tile[1]).expand(like.shape).clone() if before is None else before[tile].clone()

    initial: Tensor


def threshold(base: np.ndarray, numerator: int) -> np.ndarray:
    """base * numerator / 256, the threshold of the lowest level, rounded up to a float32.

    A membrane of up to 23 digits that reaches the threshold, times any power of two, reaches this one too: where integers of so
    many digits lie, every integer is a float32, so none is between a real number and the float32 above it.
    """
    exact = base.astype(np.float64) * numerator / FRACTION_STEPS
    near = exact.astype(np.float32)
    return np.where(near < exact, np.nextafter(near, np.float32(np.inf)), near)


@runs(ops.MultiThreshold, integers=True)
class MultiThreshold(Neuron):
    """Level base * 2**k fires where |v| reaches ceil(c base 2**k), or base * 2**k - floor(base / 2)."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        node = self.node
        unit, numerator = np.asarray(node.format.unit, np.int64), round(node.fraction * FRACTION_STEPS)
        self.top, self.nearest = 2.0 ** (int(node.levels) - 1), node.rule == "nearest"
        least = np.exp2(np.asarray(node.lowest_level, np.float64))
        self.hold_on_grid("unit", unit)
        self.symmetric = bool(np.array_equal(node.positive_base, node.negative_base))
        exact = self.dtype == torch.float64
        for side in ("positive", "negative"):
            base = np.asarray(getattr(node, f"{side}_base"), np.int64)
            wide = base.astype(np.float64) * numerator / FRACTION_STEPS
            first = base if not self.nearest else wide if exact else threshold(base, numerator)
            self.hold_on_grid(f"{side}_first", np.asarray(first, np.float64))
            self.hold_on_grid(f"{side}_least", np.asarray(first, np.float64) * least)  # where the lowest level fires
            self.hold_on_grid(f"{side}_payload", base // unit * least)  # what it sends
            self.hold_on_grid(f"{side}_half", base // 2)

    unit: Tensor

    def parameter(self, name: str, v: Tensor, rows: slice) -> Tensor:
        """A parameter of both sides, for the sign of each membrane."""
        positive = of_rows(getattr(self, f"positive_{name}"), rows)
        return positive if self.symmetric else of_sign(v, positive, of_rows(getattr(self, f"negative_{name}"), rows))

    def payloads(self, v: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        size = v.abs()
        if not self.nearest:
            size += self.parameter("half", v, rows)
        first, least = self.parameter("first", v, rows), self.parameter("least", v, rows)
        exponent = exponent_of_quotient(at_most_(size, first * self.top), least)
        events = unit_of_exponent(exponent).sum(dim=-1, keepdim=True)
        scale = 1 / torch.finfo(v.dtype).tiny
        payload = exponent.view(v.dtype).mul_(scale).mul_(self.parameter("payload", v, rows)).copysign_(v)
        return payload, of_rows(self.unit, rows), events.mul_(scale).to(torch.int32)


@runs(ops.Graded, integers=True)
class Graded(Neuron):
    """The integer nearest to v / base fires, ties to the even one, clipped to the payload."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold_on_grid("base", np.asarray(self.node.base, np.int64))
        self.hold_on_grid("least", np.asarray(self.node.least, np.int64))
        self.most = float(limit(self.node.payload_bits))

    base: Tensor
    least: Tensor

    def payloads(self, v: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """As of any neuron.

        A quotient that is no tie is further from one than 1 / (2 base), which is more than what rounding it to a float moves
        it; a tie is a float itself.
        """
        base = of_rows(self.base, rows)
        nearest = (v / base).round_().clamp_(-self.most, self.most)
        fires = nearest.abs().ge_(of_rows(self.least, rows))  # as floats: masks take many times as long on a CPU
        return nearest.mul_(fires), base, fires.sum(dim=-1, keepdim=True).to(torch.int32)
