"""Wiring, sources and the output: nodes that move values and compute nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine.base import TorchOp, in_one_form, runs
from ecmt_deploy.engine.signal import MEAN, STEP, SUM, Chunk, Signal, fold
from ecmt_deploy.program import Program, ops


class Wiring(TorchOp):
    """Base of all that moves values."""

    sends_analog = False
    #: whether what is new in the result is no event, as padding is none
    adds_values = False

    @property
    def keeps_rows(self) -> bool:  # type: ignore[override]
        """Whether rows (the last axis) stay whole."""
        whole = bool(self.shape) and len(self.operand_shapes) == 1 and bool(self.operand_shapes[0])
        return whole and self.moves_rows()

    def moves_rows(self) -> bool:
        """The same, of one operand that has rows."""
        return False

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        form, steady, same = in_one_form(chunk, signals)
        if form == MEAN and self.adds_values:
            steady = False
        events = spikes = None
        if self.spikes and self.keeps_rows and signals[0].events is not None:
            events = self.rows_moved(signals[0].events)
        if form == STEP:
            moved = self.apart(*([signals[0].value] if len(same) == 1 else [s.each(chunk) for s in same]))
            return Signal(moved, form, events=events, spikes=moved if self.spikes else None)
        values = [s.value if steady else s.each(chunk) for s in same]
        shown = [s.spikes for s in signals if s.spikes is not None]
        if self.spikes and len(shown) == len(signals):
            spikes = self.apart(*shown)
        return Signal(self.apart(*values), form, steady, events=events, spikes=spikes)

    def apart(self, *values: Tensor) -> Tensor:
        """Rewire, steps and batch (the same of all) left as they are."""
        return self.rewire(*(fold(value) for value in values)).unflatten(0, values[0].shape[:2])

    def rows_moved(self, events: Tensor) -> Tensor:
        """Events of each row, (steps, B, ..., 1), where the rows stand afterwards."""
        return self.apart(events)

    def rewire(self, *xs: Tensor) -> Tensor:
        """The stream from its operands, each (batch, ...)."""
        raise NotImplementedError

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        if self.spikes or (signal.steady and not chunk.run.streaming):
            return None
        if chunk.first and chunk.steps == 1:  # everything is news, so that no mask need be moved
            return torch.ones((1,) * signal.value.ndim, dtype=torch.bool, device=signal.value.device)
        masks = self.reached(chunk, signals)
        folded = self.small_mask(masks[0])
        if folded is not None:
            return folded
        steps = max(m.shape[0] for m in masks)
        batch = max(m.shape[1] for m in masks)
        return self.apart(*(m.expand(steps, batch, *s) for m, s in zip(masks, self.operand_shapes, strict=True)))

    def small_mask(self, mask: Tensor) -> Tensor | None:
        """The mask rewired with axes along which it is the same all along left at size 1, where that can be."""
        return None


@runs(ops.Reshape)
class Reshape(Wiring):
    def moves_rows(self) -> bool:
        return bool(self.shape[-1] == self.operand_shapes[0][-1])

    def rewire(self, *xs: Tensor) -> Tensor:
        return xs[0].reshape(xs[0].shape[0], *self.shape)

    def rows_moved(self, events: Tensor) -> Tensor:
        return events.reshape(*events.shape[:2], *self.shape[:-1], 1)

    def small_mask(self, mask: Tensor) -> Tensor | None:
        shape, lead, kept = self.operand_shapes[0], mask.shape[:2], mask.shape[2:]
        if not shape or kept[-1] != 1:
            return None
        rows = shape[:-1]
        if self.shape[: len(rows)] == rows:  # the row is split
            return mask.reshape(*lead, *kept[:-1], *[1] * (len(self.shape) - len(rows)))
        if self.shape and self.shape[-1] == shape[-1]:  # rows stay whole
            return mask.expand(*lead, *rows, 1).reshape(*lead, *self.shape[:-1], 1)
        return None


@runs(ops.Permute)
class Permute(Wiring):
    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.axes = tuple(int(axis) for axis in self.node.axes)

    def moves_rows(self) -> bool:
        return self.axes[-1] == len(self.axes) - 1

    def rewire(self, *xs: Tensor) -> Tensor:
        return xs[0].permute(0, *(axis + 1 for axis in self.axes))

    def small_mask(self, mask: Tensor) -> Tensor:
        return mask.permute(0, 1, *(axis + 2 for axis in self.axes))


class Picking(Wiring):
    """Base of what picks elements of one axis."""

    def moves_rows(self) -> bool:
        return bool(self.node.axis != len(self.operand_shapes[0]) - 1)

    def small_mask(self, mask: Tensor) -> Tensor | None:
        return mask if mask.shape[2:][self.node.axis] == 1 else None


@runs(ops.Slice)
class Slice(Picking):
    def rewire(self, *xs: Tensor) -> Tensor:
        node = self.node
        return xs[0][(slice(None),) * (node.axis + 1) + (slice(node.start, node.stop, node.step),)]


@runs(ops.Take)
class Take(Picking):
    indices: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("indices", self.node.indices)

    def rewire(self, *xs: Tensor) -> Tensor:
        return xs[0].index_select(self.node.axis + 1, self.indices)


@runs(ops.Expand)
class Expand(Wiring):
    def rewire(self, *xs: Tensor) -> Tensor:
        (x,) = xs
        lead = len(self.shape) - (x.ndim - 1)
        return x.reshape(x.shape[0], *[1] * lead, *x.shape[1:]).expand(-1, *self.shape)

    def small_mask(self, mask: Tensor) -> Tensor:
        missing = len(self.shape) - len(self.operand_shapes[0])
        return mask.reshape(*mask.shape[:2], *[1] * missing, *mask.shape[2:])


@runs(ops.Pad)
class Pad(Wiring):
    adds_values = True

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.widths = [int(width) for pair in reversed(self.node.widths.tolist()) for width in pair]

    def rewire(self, *xs: Tensor) -> Tensor:
        return F.pad(xs[0], self.widths)


@runs(ops.Concat)
class Concat(Wiring):
    def rewire(self, *xs: Tensor) -> Tensor:
        return torch.cat(xs, dim=self.node.axis + 1)


@runs(ops.Constant)
class Constant(TorchOp):
    constant: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("constant", self.node.value)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        form = MEAN if self.node.schedule == "every" else SUM
        return Signal(self.constant.expand(1, chunk.batch, *self.shape), form, steady=True)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> None:
        return None


@runs(ops.Input)
class Input(TorchOp):
    """Its part of the packed sample; ids and masks stay in the dtype they come in, which holds them exactly."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.inputs = program.inputs

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (image,) = signals
        part = self.inputs.part(image.value, self.name)
        return image._replace(
            value=part if self.node.enters_exact or self.node.format is not None else part.to(chunk.run.dtype)
        )

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        return signal.changed


@runs(ops.Output)
class Output(TorchOp):
    sends_analog = False

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        return signals[0]

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        return signals[0].changed
