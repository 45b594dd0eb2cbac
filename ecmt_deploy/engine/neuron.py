"""Neurons, batched over samples and steps."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine.base import TorchOp, as_tensor, runs
from ecmt_deploy.engine.firing import Levels, Payloads, Task, changed, fire_fused, fire_in_tiles
from ecmt_deploy.engine.plan import Hints
from ecmt_deploy.engine.signal import MEAN, SUM, Chunk, Signal, counted, number
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program import Program, ops

#: floats that thresholds are not compared in
NARROW = (torch.bfloat16, torch.float16)


class Spiking(TorchOp):
    """A neuron of any kind: counts, and the analog network in which it passes its membrane on."""

    sends_analog = False
    takes_elements = False

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        return self.pass_on(chunk, x) if chunk.run.passes_on(self.name) else self.fire(chunk, x)

    def pass_on(self, chunk: Chunk, x: Signal) -> Signal:
        """The stream of an analog network: what comes, and what the membrane began with."""
        initial = as_tensor(self.node.initial).to(x.value)
        if x.form == SUM:
            return x._replace(value=x.value + initial)
        return Signal(x.each(chunk) + initial / chunk.times(x.value), x.form)

    def fire(self, chunk: Chunk, x: Signal) -> Signal:
        """The spikes, as sums so far, with the events of every row."""
        raise NotImplementedError

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> None:
        (x,) = signals
        if chunk.run.watch_events is not None and signal.events is not None:
            chunk.run.watch_events(self.name, signal.events)
        fired, rows = signal.event_count(chunk), x.rows(chunk, self.operand_spikes[0])
        tally = self.own(chunk).tally
        tally.add(fired, spikes=1, messages=1)
        tally.add(prod(self.shape) * (chunk.samples or 0), neuron_updates_idle=1)
        reached, elements = number(chunk, rows, self.shape)
        tally.add(reached, neuron_updates_active=elements, neuron_updates_idle=-elements)
        # a row that nothing reached is active only where it fires
        tally.add(fired, counted(chunk, rows), neuron_updates_active=1, neuron_updates_idle=-1)


class Neuron(Spiking):
    """v <- v + x; a spike s fires; v <- v - s. So v = X_t - S_{t-1}, of sums so far."""

    initial: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.grid = (1,) * (2 - len(self.shape)) + tuple(self.shape)
        self.hold("initial", self._on_grid(self.node.initial_membrane))
        self.moved = bool(np.any(self.node.initial_membrane))

    def parameters_of(self, initial: Tensor | None, offset: Tensor | None) -> Levels | Payloads:
        """What says when it fires."""
        raise NotImplementedError

    def sent(self, v: Tensor) -> Tensor:
        """What membranes v (B, *shape) send."""
        return self.parameters_of(None, None).spikes(v.reshape(len(v), *self.grid), None)[0].reshape(v.shape)

    def take_offset(self, hints: Hints, initial: Tensor) -> None:
        hints.offset = self._on_grid(initial)

    def _on_grid(self, parameter: Any) -> Any:
        """An array or a tensor with as many axes as the operand."""
        return parameter.reshape((1,) * (len(self.grid) - parameter.ndim) + parameter.shape)

    def fire(self, chunk: Chunk, x: Signal) -> Signal:
        own, hints, watched_alone = self.own(chunk), self.hints(chunk), chunk.run.spiking == self.name
        offset = hints.offset if x.form == SUM and not chunk.run.watched else None
        levels = self.parameters_of(self.initial if self.moved else None, offset)
        u = x.value.reshape(*x.value.shape[:2], *self.grid)
        if u.dtype in NARROW:  # a sum of spikes has more digits than such floats hold
            u, levels = u.float(), changed(levels, Tensor.float)
        times = tuple(range(chunk.start, chunk.start + chunk.steps))
        keeps = watched_alone or not chunk.final
        task = Task(times, means=x.form == MEAN, keeps=keeps, apart=hints.shows_spikes or chunk.run.watched)
        sent = own.state.get("sent")
        run = fire_fused if chunk.run.compiled else fire_in_tiles
        if u.stride(-1) > u.stride(-2) and min(u.shape[-2:]) > 1:  # keys lie transposed: along memory is faster
            before = None if sent is None else sent.mT
            fired = run(u.mT, before, changed(levels, lambda p: p.mT.contiguous()), task._replace(axis=-2)).transposed()
        else:
            fired = run(u, sent, levels, task)
        own.state = {} if fired.sent is None else {"sent": fired.sent}
        if watched_alone and fired.sent is not None:
            total = x.to(SUM, chunk).value[-1].reshape(fired.sent.shape)
            chunk.run.membrane = (total + self.initial - fired.sent).reshape(chunk.batch, *self.shape)
            # all others are as in the analog network, and so what they give after the last step depends on this alone
            last = fired.values[-1:].reshape(1, chunk.batch, *self.shape).to(x.value.dtype)
            return Signal(last, x.form, steady=True, completed=offset is not None)
        lead = (chunk.steps, chunk.batch)
        return Signal(
            fired.values.reshape(*lead, *self.shape).to(x.value.dtype),
            x.form,
            events=fired.events.reshape(*lead, *self.shape[:-1], *self.shape[-1:] and (1,)),
            spikes=None if fired.spikes is None else fired.spikes.reshape(*lead, *self.shape),
            completed=offset is not None,
        )

    def pass_on(self, chunk: Chunk, x: Signal) -> Signal:
        if not self.moved:
            return x
        initial = self.initial.expand(self.grid).reshape(self.shape)
        if x.form == SUM:
            return x._replace(value=x.value + initial)
        return Signal(x.each(chunk) + initial / chunk.times(x.value), x.form)


@runs(ops.MultiThreshold)
class MultiThreshold(Neuron):
    """The largest level whose threshold v reaches fires."""

    node: ops.MultiThreshold
    positive: Tensor
    negative: Tensor
    least: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        node = self.node
        self.hold("positive", self._on_grid(node.positive_base))
        self.hold("negative", self._on_grid(node.negative_base))
        self.symmetric = bool(np.array_equal(node.positive_base, node.negative_base))
        self.hold("least", self._on_grid(np.ldexp(1.0, node.lowest_level.astype(np.int32)).astype(node.positive_base.dtype)))
        self.top = 2.0 ** (int(node.levels) - 1)

    def parameters_of(self, initial: Tensor | None, offset: Tensor | None) -> Levels:
        fraction = float(self.node.fraction) if self.node.rule == "nearest" else None
        negative = None if self.symmetric else self.negative
        return Levels(self.positive, negative, self.least, self.top, initial, offset, fraction)


@runs(ops.Graded)
class Graded(Neuron):
    """The nearest multiple of the base fires, where it is no less than the least."""

    node: ops.Graded
    base: Tensor
    least: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("base", self._on_grid(self.node.base))
        self.hold("least", self._on_grid(self.node.least.astype(self.node.base.dtype)))
        self.most = float(limit(self.node.payload_bits))

    def parameters_of(self, initial: Tensor | None, offset: Tensor | None) -> Payloads:
        base = self.base.float() if self.base.dtype in NARROW else self.base  # the reciprocal has digits of its own
        return Payloads(base, 1 / base, self.least, self.most, initial, offset)
