"""Multi-threshold neurons, batched over samples and steps."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine.base import Op
from ecmt_deploy.engine.firing import Levels, fire
from ecmt_deploy.engine.signal import MEAN, SUM, Chunk, Signal
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n


class Neuron(Op):
    """v <- v + x; the largest level whose threshold v reaches fires; v <- v - s. So v = X_t - S_{t-1}, of sums so far."""

    node: n.MultiThreshold
    sends_analog = False
    takes_elements = False
    #: pass the membrane on as it is: the analog network
    identity = False
    #: keep what is not sent after the last step in ``v``
    keeps_membrane = False
    #: give spikes of single steps, for who counts elements
    shows_spikes = False
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
        self.hold("initial", self._by_row(node.initial_membrane))
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
        (x,) = signals
        if self.identity:
            return self._pass_on(chunk, x)
        shape = self.shape or (1,)
        u = x.value.reshape(len(x.value), chunk.batch, -1, shape[-1])
        levels = Levels(
            self.positive, None if self.symmetric else self.negative, self.least, self.top,
            self.initial if self.moved else None, float(self.node.fraction) if self.node.rule == "nearest" else None,
        )  # fmt: skip
        times = range(chunk.start, chunk.start + chunk.steps) if x.form == MEAN else None
        fired = fire(u, self.state.get("sent"), levels, times, chunk.steps, self.shows_spikes or chunk.watched)
        self.state = {} if chunk.final else {"sent": fired.sent.clone()}
        if self.keeps_membrane:
            total = x.to(SUM, chunk).value[-1].reshape(u.shape[1:])
            self.v = (total + self.initial - fired.sent).reshape(chunk.batch, *self.shape)
        lead = (chunk.steps, chunk.batch)
        events = fired.events.reshape(*lead, *shape[:-1], 1) if self.shape else fired.events.reshape(lead)
        spikes = None if fired.spikes is None else fired.spikes.reshape(*lead, *self.shape)
        return Signal(fired.value.reshape(*lead, *self.shape), x.form, events=events, spikes=spikes)

    def _pass_on(self, chunk: Chunk, x: Signal) -> Signal:
        if not self.moved:
            return x
        initial = self.initial.expand(prod(self.shape[:-1]), -1).reshape(self.shape)
        if x.form == SUM:
            return x._replace(value=x.value + initial)
        return Signal(x.each(chunk) + initial / chunk.times(x.value), x.form)

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
