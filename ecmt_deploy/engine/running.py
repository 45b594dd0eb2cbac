"""Running a program: node after node, all steps of a chunk of time at once, in pieces that memory has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from ecmt_deploy.engine.base import TorchOp
from ecmt_deploy.engine.context import Observer, RunContext
from ecmt_deploy.engine.signal import Chunk, Signal
from ecmt_deploy.program import Program

#: arrays of the size of its largest stream that a node works with besides its operands and its result
WORKING_COPIES = 4


class Runner:
    """What follows from a program for every run of it: the order of nodes, and when a stream is needed no more.

    Parameters
    ----------
    program : the program
    ops : the op of every node, in topological order
    """

    def __init__(self, program: Program, ops: Mapping[str, TorchOp]) -> None:
        self.program, self.ops = program, ops
        last = {source: name for name, sources in program.operands.items() for source in sources}
        self.finished: dict[str, list[str]] = {name: [] for name in program.nodes}
        for source, name in last.items():
            self.finished[name].append(source)
        self.must_be_finite = {name: program.must_be_finite(name) for name in program.nodes}
        #: operands that are exact, of nodes that are not: they come in the dtype that holds ids, and go on in the model's
        self.crossing = {name: self._crossing(name) for name in program.nodes}
        #: most elements of one sample and step that are alive at once: streams still needed, and what a node works with
        self.most_alive = self._most_alive()

    def _crossing(self, name: str) -> list[int]:
        program = self.program
        if program.integer or name in program.exact or program.nodes[name].takes_tokens:
            return []
        return [i for i, source in enumerate(program.operands[name]) if source in program.exact]

    def _most_alive(self) -> int:
        alive, most = 0, 1
        shapes = self.program.shapes
        for name, sources in self.program.operands.items():
            own = prod(shapes[name])
            work = WORKING_COPIES * max([own, *(prod(shapes[source]) for source in sources)])
            most = max(most, alive + own + work)
            alive += own - sum(prod(shapes[finished]) for finished in self.finished[name])
        return most

    def pieces(self, batch: int, timesteps: int, room: int) -> tuple[int, int]:
        """Samples and time steps that are computed at once, of which there is room for ``room`` (samples x steps).

        Samples first: a divisor of the batch, for floats can differ with the batch they are computed in; then steps.
        """
        room = max(room, 1)
        if room >= batch * timesteps:
            return batch, timesteps
        fitting = [size for size in range(1, batch + 1) if batch % size == 0 and size * timesteps <= room]
        return (max(fitting), timesteps) if fitting else (1, min(room, timesteps))

    def run(self, x: Tensor, timesteps: int, run: RunContext, pieces: tuple[int, int], counted: int | None = None) -> Tensor:
        """The readouts (T, B, classes) of a batch (B, *input_shape).

        Parameters
        ----------
        pieces : samples and steps computed at once
        counted : how many samples of the batch are counted; ``None`` for no counts
        """
        (samples, steps), parts = pieces, []
        for begin in range(0, len(x), max(samples, 1)):
            part = x[begin : begin + samples]
            run.begin()
            counting = None if counted is None else min(max(counted - begin, 0), len(part))
            readouts = []
            for start in range(1, timesteps + 1, steps):
                length = min(steps, timesteps + 1 - start)
                chunk = Chunk(run, start, length, len(part), start + length > timesteps, counting, int(start == 1))
                readouts.append(self._chunk(chunk, Signal(part[None], steady=True)))
            parts.append(torch.cat(readouts))
        return torch.cat(parts, dim=1) if parts else x.new_zeros(timesteps, 0, *self.program.output_shape)

    def frames(self, x: Tensor, sent: Tensor, start: int, timesteps: int, run: RunContext) -> Tensor:
        """The readouts (F * S, B, classes) of frames of streams side by side, whose state is in ``run``.

        The analog network has no events, and nothing is counted of it.

        Parameters
        ----------
        x : (F, B, *input_shape), what the receiver holds: one frame, or of one step each several behind the first
        sent : bool, the same shape: what of it is sent with each frame
        start, timesteps : the first step, and steps S of a frame
        """
        number, batch = x.shape[:2]
        changed = torch.cat([sent, sent.new_zeros(timesteps - 1, *sent.shape[1:])]) if start > 1 else None
        chunk = Chunk(run, start, number * timesteps, batch, False, None if run.identity else batch, number)
        image = Signal(x, steady=number == 1, changed=changed)
        return self._chunk(chunk, image).clone()  # rows of it may be renewed in place

    def alone(self, name: str, operands: Sequence[Tensor], run: RunContext) -> Tensor:
        """What one node gives at t = 1, (B, ...), where these operands (B, ...) come to it."""
        chunk = Chunk(run, 1, 1, len(operands[0]), True, None, 1)
        value: Signal = self.ops[name](chunk, *(Signal(x[None]) for x in operands))
        return value.each(chunk)[0]

    def _chunk(self, chunk: Chunk, image: Signal) -> Tensor:
        """The readouts (steps, B, classes) of a chunk; node after node, all its steps at once."""
        run, signals, events = chunk.run, dict[str, Signal](), dict[str, Signal]()
        uncounted: list[str] = []
        for name, op in self.ops.items():
            operands = [signals[source] for source in self.program.operands[name]] if op.node.role != "input" else [image]
            for i in self.crossing[name]:
                operands[i] = operands[i]._replace(value=operands[i].value.to(run.dtype))
            for source in self.must_be_finite[name]:
                run.watch_range(name, signals[source].value)
            if run.watch_neurons and op.node.role == "neuron":
                operands[0] = _show(chunk, name, operands[0], run.watch_neurons)
            if run.passing and op.node.role == "neuron":
                (operand,) = operands[0].increments(chunk)
                operands[0] = operands[0]._replace(value=run.passing(name, operand)[None], spikes=None)
            signals[name] = op(chunk, *operands)
            if chunk.samples is not None:
                events[name] = signals[name].without_value()
                uncounted.append(name)
                large = any(signal.spikes is not None for signal in (signals[name], *operands))  # too large to be kept for long
                if large or run.streaming:
                    self.count(chunk, uncounted, events)
                if large:
                    run.sum_counts(chunk.span)
                if run.streaming:  # who takes it computes what an event reached
                    signals[name] = signals[name]._replace(changed=events[name].changed)
            if run.watch_streams and not (run.streaming and op.node.role != "neuron"):
                signals[name] = _show(chunk, name, signals[name], run.watch_streams)
            for finished in self.finished[name]:
                del signals[finished]
        self.count(chunk, uncounted, events)
        run.sum_counts(chunk.span)
        run.require_finite()
        return signals[self.program.output_name].each(chunk)

    def count(self, chunk: Chunk, uncounted: list[str], events: dict[str, Signal]) -> None:
        """Count what nodes did: of many in a row, for between matrix products all code and data have left the cache."""
        for name in uncounted:
            operands = [events[source] for source in self.program.operands[name]]
            events[name] = self.ops[name].tallied(chunk, events[name], *operands)
            for finished in self.finished[name]:
                del events[finished]
        uncounted.clear()


def _show(chunk: Chunk, name: str, signal: Signal, observer: Observer) -> Signal:
    """Let an observer see every step of a stream; what it marked for gradients is what is computed on."""
    steps = signal.increments(chunk).unbind(0)
    for value in steps:
        observer(name, value)
    return signal._replace(value=steps[0][None], spikes=None) if chunk.steps == 1 and signal.spikes is None else signal
