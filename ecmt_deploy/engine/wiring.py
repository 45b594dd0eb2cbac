"""Wiring, sources and the output: nodes that move values and compute nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine.base import Op, in_one_form
from ecmt_deploy.engine.signal import MEAN, SUM, Chunk, Signal, fold
from ecmt_deploy.program import Program
from ecmt_deploy.program import nodes as n


class Wiring(Op):
    sends_analog = False
    indices: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        node = self.node
        if isinstance(node, n.Take):
            self.hold("indices", node.indices)
        if isinstance(node, n.Permute):
            self.axes = tuple(int(axis) for axis in node.axes)
        if isinstance(node, n.Pad):
            self.widths = [int(width) for pair in reversed(node.widths.tolist()) for width in pair]

    @property
    def keeps_rows(self) -> bool:
        """Whether rows (the last axis) stay whole."""
        node = self.node
        if not self.shape or not self.operand_shapes[0] or len(self.operand_shapes) > 1:
            return False
        if isinstance(node, n.Reshape):
            return bool(self.shape[-1] == self.operand_shapes[0][-1])
        last = len(self.operand_shapes[0]) - 1
        return (isinstance(node, n.Permute) and self.axes[-1] == last) or (
            isinstance(node, n.Slice | n.Take) and node.axis != last
        )

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        form, steady, same = in_one_form(chunk, signals)
        if form == MEAN and isinstance(self.node, n.Pad):
            steady = False  # no event ever reaches the padding
        values = [s.value if steady else s.each(chunk) for s in same]
        events = spikes = None
        if self.spikes and self.keeps_rows and signals[0].events is not None:
            events = self._with_rows(signals[0].events)
        shown = [s.spikes for s in signals if s.spikes is not None]
        if self.spikes and len(shown) == len(signals):
            spikes = self._apart(*shown)
        return Signal(self._apart(*values), form, steady, events=events, spikes=spikes)

    def _apart(self, *values: Tensor) -> Tensor:
        """Rewire, steps and batch (the same of all) left as they are."""
        return self._rewire(*(fold(value) for value in values)).unflatten(0, values[0].shape[:2])

    def _with_rows(self, events: Tensor) -> Tensor:
        if isinstance(self.node, n.Reshape):
            return events.reshape(*events.shape[:2], *self.shape[:-1], 1)
        return self._apart(events)

    def _rewire(self, *xs: Tensor) -> Tensor:
        node, x = self.node, xs[0]
        if isinstance(node, n.Reshape):
            return x.reshape(x.shape[0], *self.shape)
        if isinstance(node, n.Permute):
            return x.permute(0, *(axis + 1 for axis in self.axes))
        if isinstance(node, n.Slice):
            return x[(slice(None),) * (node.axis + 1) + (slice(node.start, node.stop, node.step),)]
        if isinstance(node, n.Take):
            return x.index_select(node.axis + 1, self.indices)
        if isinstance(node, n.Expand):
            lead = len(self.shape) - (x.ndim - 1)
            return x.reshape(x.shape[0], *[1] * lead, *x.shape[1:]).expand(-1, *self.shape)
        if isinstance(node, n.Pad):
            return F.pad(x, self.widths)
        return torch.cat(xs, dim=node.axis + 1)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        if signal.steady or self.spikes:
            return None
        return self._mask(self.reached(chunk, signals))

    def _mask(self, masks: list[Tensor]) -> Tensor:
        """The mask rewired; axes along which it is the same all along stay of size 1 where they can."""
        mask, node, shape = masks[0], self.node, self.operand_shapes[0]
        lead, kept = mask.shape[:2], mask.shape[2:]
        if isinstance(node, n.Permute):
            return mask.permute(0, 1, *(axis + 2 for axis in self.axes))
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
        return self._apart(*(m.expand(steps, batch, *s) for m, s in zip(masks, self.operand_shapes, strict=True)))


class Constant(Op):
    constant: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("constant", self.node.value)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        form = MEAN if self.node.schedule == "every" else SUM
        return Signal(self.constant.expand(1, chunk.batch, *self.shape), form, steady=True)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> None:
        return None


class Input(Op):
    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        return signals[0]

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> None:
        return None


class Output(Op):
    sends_analog = False

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        return signals[0]

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        return signals[0].changed
