"""What enters a program, running sums, and the readout, in integers."""

from __future__ import annotations

import torch
from torch import Tensor

from ecmt_deploy.engine import compensation, wiring
from ecmt_deploy.engine.base import runs
from ecmt_deploy.engine.integer.base import Clips, IntegerOp, stepped
from ecmt_deploy.engine.integer.exact import divided
from ecmt_deploy.engine.signal import ITSELF, STEP, Chunk, Signal
from ecmt_deploy.program import Program, ops


def at_first(chunk: Chunk, ndim: int, device: torch.device) -> Tensor:
    """The mask of what enters at t = 1 alone, (steps, 1, ...)."""
    mask = torch.zeros((chunk.steps, 1) + (1,) * ndim, dtype=torch.bool, device=device)
    mask[0] = chunk.first
    return mask


@runs(ops.Input, integers=True)
class Input(IntegerOp, wiring.Input):
    """The sample, saturated to the width of the input; of a frame, what differs from the one before."""

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        image = super().forward(chunk, *signals)
        shown, clips, state = image.value.to(self.dtype), Clips(self, chunk, image.value), self.own(chunk).state
        mask = image.changed if image.changed is not None else at_first(chunk, len(self.shape), shown.device)
        if not (chunk.first or chunk.run.streaming):
            return Signal(torch.zeros_like(shown[:1]), STEP, changed=mask)
        last, new = state.get("last", torch.zeros_like(shown[0])), []
        for t, sample in enumerate(shown):
            held = clips.clip_(sample.clone(), t, slice(None))
            new.append(clips.clip_(held - last, t, slice(None)))
            last = last + new[-1]  # what did not fit follows with the next frame
        clips.count()
        self.kept(chunk, last=last)
        return Signal(torch.stack(new), STEP, changed=mask)


@runs(ops.Constant, integers=True)
class Constant(IntegerOp, wiring.Constant):
    """Its value at every step, or at the first alone."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold_integers("constant", self.node.value, self.dtype)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        always = self.node.schedule == "every"
        mask = at_first(chunk, len(self.shape), self.constant.device)
        if always:
            mask = torch.ones_like(mask)
        value = self.constant if always or chunk.first else torch.zeros_like(self.constant)
        return Signal(value.expand(chunk.steps if always else 1, chunk.batch, *self.shape), STEP, changed=mask)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:  # type: ignore[override]
        return signal.changed


class RunningSum(IntegerOp):
    """X_t = sat(X_{t-1} + x_t)."""

    def sums(self, chunk: Chunk, x: Signal) -> list[Tensor]:
        """X_t after every step, (B, ...) each."""
        clips, found = Clips(self, chunk, x.value), []
        total = self.own(chunk).state.get("total")
        if total is None:
            total = torch.zeros_like(x.value[0])
        for t, new in enumerate(x.each(chunk)):
            total = clips.clip_(total + new, t, slice(None))
            found.append(total)
        clips.count()
        self.kept(chunk, total=total)
        return found


@runs(ops.Hold, integers=True)
class Hold(RunningSum, compensation.Hold):
    """y_t = X_t."""

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        return stepped(torch.stack(self.sums(chunk, signals[0])))


@runs(ops.Readout, integers=True)
class Readout(RunningSum, compensation.Readout):
    """o_t = X_t, in rate coding X_t / t to the nearest integer."""

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        sums = [total.double() for total in self.sums(chunk, signals[0])]
        if self.node.coding == "rate":
            sums = [divided(total, t) for t, total in enumerate(sums, chunk.start)]
        return Signal(torch.stack(sums), ITSELF)
