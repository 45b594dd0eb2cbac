"""Multi-threshold neurons, batched over samples and steps."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine.base import Op
from ecmt_deploy.engine.firing import fire
from ecmt_deploy.engine.signal import EACH, FIRST, Chunk, Signal
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n


class Neuron(Op):
    """v <- v + x; the largest level whose threshold v reaches fires; v <- v - s."""

    node: n.MultiThreshold
    sends_analog = False
    silent_without_input = False
    #: pass the membrane on as it is: the analog network
    identity = False
    #: keep what is not sent after the last step in ``v``
    keeps_membrane = False
    positive: Tensor
    negative: Tensor
    least: Tensor
    initial: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        node = self.node
        dtype = node.positive_base.dtype
        self.hold("positive", self._by_row(node.positive_base))
        self.hold("negative", self._by_row(node.negative_base))
        self.hold("least", self._by_row(np.ldexp(1.0, node.lowest_level.astype(np.int32)).astype(dtype)))
        self.hold("initial", node.initial_membrane)
        self.top = 2.0 ** (int(node.levels) - 1)
        self.symmetric = bool(np.array_equal(node.positive_base, node.negative_base))
        self.moved = bool(np.any(node.initial_membrane))

    def _by_row(self, array: np.ndarray) -> np.ndarray:
        """A parameter broadcast to the operand as (R or 1, D): rows by the last axis."""
        shape = self.shape or (1,)
        lead = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        if all(size == 1 for size in lead.shape[:-1]):
            return np.broadcast_to(lead.reshape(1, -1), (1, shape[-1])).copy()
        return np.broadcast_to(lead, shape).reshape(-1, shape[-1]).copy()

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        (signal,) = signals
        if self.identity:
            return self._pass_on(chunk, signal)
        shape = self.shape or (1,)
        x = signal.each(chunk).reshape(chunk.steps, chunk.batch, -1, shape[-1])
        v = self.state.get("v")
        if v is None:
            v = x.new_zeros(x.shape[1:]) + self.initial.to(x.dtype).expand(self.shape).reshape(x.shape[2:])
        dtype = x.dtype
        spikes, v, events = fire(
            x, v, self.positive.to(dtype), None if self.symmetric else self.negative.to(dtype), self.least.to(dtype), self.top,
            float(self.node.fraction) if self.node.rule == "nearest" else None,
        )  # fmt: skip
        self.keep(chunk, v=v)
        if self.keeps_membrane:
            self.v = v.reshape(chunk.batch, *self.shape)
        lead = (chunk.steps, chunk.batch)
        events = events.reshape(*lead, *shape[:-1], 1) if self.shape else events.reshape(lead)
        return Signal(spikes.reshape(*lead, *self.shape), EACH, events=events)

    def _pass_on(self, chunk: Chunk, signal: Signal) -> Signal:
        if not chunk.first or not self.moved:
            return signal
        initial = self.initial.to(signal.value.dtype)
        if signal.when == FIRST or chunk.steps == 1:
            return Signal(signal.value + initial, signal.when)
        x = signal.each(chunk)
        return Signal(torch.cat([x[:1] + initial, x[1:]]), EACH)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> None:
        (x,) = signals
        counts, events = self.tally.integers, signal.events[:, : chunk.samples]
        spikes = events.sum(dtype=torch.int64)
        rows = x.rows(chunk, self.operand_spikes[0])
        changed = rows.expand(chunk.steps, chunk.batch, *rows.shape[2:])[:, : chunk.samples]
        size = self.shape[-1] if self.shape else 1
        active = torch.where(changed, size, events).sum(dtype=torch.int64)
        counts["spikes"] += spikes
        counts["messages"] += spikes
        counts["neuron_updates_active"] += active
        counts["neuron_updates_idle"] += chunk.steps * prod(self.shape) * (chunk.samples or 0) - active
