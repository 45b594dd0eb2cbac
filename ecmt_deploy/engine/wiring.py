"""Wiring, sources and the output: nodes that move values and compute nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine.base import Op, same_when
from ecmt_deploy.engine.signal import EACH, FIRST, SAME, Chunk, Signal, fold
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n


class Wiring(Op):
    sends_analog = False
    indices: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        if isinstance(self.node, n.Take):
            self.hold("indices", self.node.indices)

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        when = same_when(signals)
        if when == SAME and isinstance(self.node, n.Pad):
            when = EACH  # no event ever reaches the padding
        values = [s.each(chunk) if when == EACH else s.value for s in signals]
        folded = self._rewire(*(fold(value) for value in values))
        events = self._events(signals[0]) if self.spikes and len(signals) == 1 else None
        return Signal(folded.unflatten(0, (-1, chunk.batch)), when, events=events)

    def _rewire(self, *xs: Tensor) -> Tensor:
        node, x = self.node, xs[0]
        if isinstance(node, n.Reshape):
            return x.reshape(x.shape[0], *self.shape)
        if isinstance(node, n.Permute):
            return x.permute(0, *(int(axis) + 1 for axis in node.axes))
        if isinstance(node, n.Slice):
            return x[(slice(None),) * (node.axis + 1) + (slice(node.start, node.stop, node.step),)]
        if isinstance(node, n.Take):
            return x.index_select(node.axis + 1, self.indices)
        if isinstance(node, n.Expand):
            lead = len(self.shape) - (x.ndim - 1)
            return x.reshape(x.shape[0], *[1] * lead, *x.shape[1:]).expand(-1, *self.shape)
        if isinstance(node, n.Pad):
            return F.pad(x, [int(width) for pair in reversed(node.widths.tolist()) for width in pair])
        return torch.cat(xs, dim=node.axis + 1)

    def _events(self, signal: Signal) -> Tensor | None:
        """Events in each row where rows stay whole: rewired like everything else."""
        node, last = self.node, len(self.operand_shapes[0]) - 1
        if signal.events is None or not self.shape:
            return None
        whole = (
            (isinstance(node, n.Reshape) and self.shape[-1] == self.operand_shapes[0][-1])
            or (isinstance(node, n.Permute) and int(node.axes[-1]) == last)
            or (isinstance(node, n.Slice | n.Take) and node.axis != last)
        )
        if not whole:
            return None
        if isinstance(node, n.Reshape):
            return signal.events.reshape(*signal.events.shape[:2], *self.shape[:-1], 1)
        return self._rewire(fold(signal.events)).unflatten(0, signal.events.shape[:2])

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        if signal.when != EACH or self.spikes:
            return None
        return self._mask(self.reached(chunk, signals))

    def _mask(self, masks: list[Tensor]) -> Tensor:
        """The mask rewired; axes along which it is the same all along stay of size 1 where they can."""
        mask, node, shape = masks[0], self.node, self.operand_shapes[0]
        lead, kept = mask.shape[:2], mask.shape[2:]
        if isinstance(node, n.Permute):
            return mask.permute(0, 1, *(int(axis) + 2 for axis in node.axes))
        if isinstance(node, n.Slice | n.Take) and kept[node.axis] == 1:
            return mask
        if isinstance(node, n.Expand):
            return mask.reshape(*lead, *[1] * (len(self.shape) - len(shape)), *kept)
        if isinstance(node, n.Reshape) and shape and kept[-1] == 1:
            rows = shape[:-1]
            if self.shape[: len(rows)] == rows:  # the row is split
                return mask.reshape(*lead, *kept[:-1], *[1] * (len(self.shape) - len(rows)))
            if self.shape and self.shape[-1] == shape[-1]:  # rows stay whole
                return mask.expand(*lead, *rows, 1).reshape(*lead, *self.shape[:-1], 1)
        steps = max(m.shape[0] for m in masks)
        batch = max(m.shape[1] for m in masks)
        full = [m.expand(steps, batch, *s) for m, s in zip(masks, self.operand_shapes, strict=True)]
        return self._rewire(*(fold(m) for m in full)).unflatten(0, (steps, batch))


class Constant(Op):
    constant: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("constant", self.node.value)

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        repeated = self.node.schedule == "every"
        value = self.constant if chunk.first or repeated else torch.zeros_like(self.constant)
        return Signal(value.expand(1, chunk.batch, *self.shape), SAME if repeated else FIRST)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> None:
        return None


class Input(Op):
    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        (image,) = signals
        return image if chunk.first else image._replace(value=torch.zeros_like(image.value))

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> None:
        return None


class Output(Op):
    sends_analog = False

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        return signals[0]

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        return signals[0].changed
