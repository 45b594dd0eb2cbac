"""The verb ``trace``: run a program beside its analog self and measure every node, to find the layer that breaks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.door import ProgramLike, as_steps, batches
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.kernels.integers import minus_infinity
from ecmt_deploy.program import Program
from ecmt_deploy.simulation.traces import NodeTrace, Trace

#: nodes that only move values, or hold what does not depend on the input
_SILENT = ("movement", "constant", "input", "output")
#: samples at once: the analog streams of a batch are kept
BATCH = 4
#: samples that tell which rows the readout depends on
PROBES = 16


def trace(
    model: ProgramLike,
    x: Any,
    timesteps: int | None = None,
    progress: Callable[[int], None] | None = None,
    network: SpikingModel | None = None,
) -> Trace:
    """Trace a program on samples; arguments and errors as of :func:`ecmt_deploy.trace`.

    ``network``: of an integer program the float program that it was made of, whose analog network it is held against.
    """
    model = load(model)
    if model.program.integer and network is None:
        raise ConfigError(
            "an integer program is held against the network of the float program it was made of; give it with --network FILE, "
            "or trace that program with --precision fixed"
        )
    network = network or model
    steps = as_steps(timesteps, model.program)
    samples = chain.from_iterable(torch.from_numpy(batch.x) for batch in batches(x, model.program.inputs))
    probes = list(islice(samples, PROBES))
    if not probes:
        raise DataError("there are no samples to trace; pass at least one")
    meters = _meters(model.program, network.program, steps)
    exact = SpikingModel(network.program).to(network.device).double()
    needed = needed_rows(exact, _batches(probes), meters)
    for name, meter in meters.items():
        meter.needed = needed[name]
    alone = OwnErrors(model.program, exact, steps, meters) if model.program.integer else None

    def see(name: str, value: Tensor) -> None:
        """A node's stream at the next step."""
        found = as_numbers(model.program, name, value)
        if name in meters:
            meters[name].see(found)
        if alone is not None:
            alone.see(name, found)

    done = 0
    for batch in _batches(chain(probes, samples)):
        network.trace(batch, lambda name, value: meters[name].expect(value) if name in meters else None)
        model.watch(batch, steps, see)
        done += len(batch)
        if progress:
            progress(done)
    return Trace(done, steps, model.program.coding, tuple(meter.result(done) for meter in meters.values()))


def as_numbers(program: Program, name: str, value: Tensor) -> Tensor:
    """A stream as numbers: of an integer program in the units of its exponent, minus infinity as such; payloads of neurons are
    what they take from a membrane. What wiring makes of payloads is left alone."""
    node = program.nodes[name]
    if node.format is None:
        return value
    scale = 2.0 ** int(node.format.exponent)
    if node.role == "neuron":
        return value.double() * torch.as_tensor(node.unit).to(value.device) * scale
    return (value.double() * scale).masked_fill(value == minus_infinity(int(node.format.state_bits)), float("-inf"))


class OwnErrors:
    """The error that every node of an integer program adds by itself: its stream against what the network's node makes of the
    same operands, in float64, after the last step.

    Parameters
    ----------
    program : the integer program
    network : its float program in float64
    steps : T
    meters : of the nodes that are measured; they take the errors
    """

    def __init__(self, program: Program, network: SpikingModel, steps: int, meters: Mapping[str, _Meter]) -> None:
        self.program, self.network, self.steps, self.meters = program, network, steps, meters
        self._sums: dict[str, Tensor] = {}
        self._seen: dict[str, int] = {}

    def see(self, name: str, value: Tensor) -> None:
        """A node's stream at the next step; every node is seen at all steps before the next node is."""
        role = self.program.nodes[name].role
        begun = self._seen.get(name, 0)
        self._sums[name] = value.double() if begun == 0 or role == "readout" else self._sums[name] + value
        self._seen[name] = begun + 1
        if begun + 1 < self.steps:
            return
        sources = self.program.operands[name]
        if sources and role in ("movement", "output"):  # payloads mean what their neurons took
            self._sums[name] = self._network(name, [self._sums[source] for source in sources])
        elif name in self.meters and role not in ("neuron", "readout"):  # what neurons keep back is no error of theirs
            share = self.steps if self.program.coding == "rate" else 1  # in rate coding a stream stands for its mean
            expected = self._network(name, [self._sums[source] / share for source in sources])
            self.meters[name].alone(self._sums[name] / share, expected)
        for source in self.network.runner.finished[name]:
            self._sums.pop(source, None)
        self._seen.pop(name)

    @torch.no_grad()
    def _network(self, name: str, operands: list[Tensor]) -> Tensor:
        """What the network's node makes of operands (B, ...)."""
        run = self.network.context(watch_streams=lambda name, value: None)
        return self.network.runner.alone(name, operands, run)


def _meters(program: Program, network: Program, steps: int) -> dict[str, _Meter]:
    repeating = _repeating(program)
    return {
        name: _Meter(program, network, name, steps, name in repeating)
        for name, node in program.nodes.items()
        if node.role not in _SILENT
        and name not in program.exact
        and node.sends != "always"
        and not _of_constants(program, name)
    }


def _batches(samples: Iterable[Tensor]) -> Iterator[Tensor]:
    remaining = iter(samples)
    while batch := list(islice(remaining, BATCH)):
        yield torch.stack(batch)


def needed_rows(exact: SpikingModel, batches: Iterable[Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """For every node, whether the readout depends on a row (last axis) for any sample: arrays of shape (*rows, 1), bool.

    By gradients in float64. What nothing depends on (patch tokens behind the last attention of a class-token model) may fall
    silent, and is no error.
    """
    rows: dict[str, Tensor] = {}
    for batch in batches:
        streams: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor, streams: dict[str, Tensor] = streams) -> None:
            if name in names and value.requires_grad:
                value.retain_grad()
                streams[name] = value

        exact.backward(batch.double(), torch.Generator().manual_seed(0), trace=keep)
        for name, value in streams.items():
            gradient = torch.zeros_like(value) if value.grad is None else value.grad
            seen = (gradient != 0).any(dim=0).any(dim=-1, keepdim=True)
            rows[name] = rows[name] | seen if name in rows else seen
    return rows


def _repeating(program: Program) -> set[str]:
    """Streams of rate coding that say the same at every step, so that their mean is their value."""
    found: set[str] = set()
    for name, node in program.nodes.items():
        if node.sends == "always" or not found.isdisjoint(program.operands[name]):
            found.add(name)
    return found


def _of_constants(program: Program, name: str) -> bool:
    sources = program.operands[name]
    return all(program.nodes[s].role == "constant" or (program.operands[s] and _of_constants(program, s)) for s in sources)


class _Meter:
    """Running sums of one node, and the squared errors of every sample."""

    def __init__(self, program: Program, network: Program, name: str, steps: int, repeating: bool) -> None:
        self.name, self.node, self.steps, self.repeating = name, program.nodes[name], steps, repeating
        self.initial = network.nodes[name].initial if self.node.role == "neuron" else None
        self.integer = program.integer
        #: squares of what the node's value is off by itself, and of that value
        self.own = [0.0, 0.0]
        self.size = prod(program.shapes[name])
        self.needed = torch.ones((), dtype=torch.bool)
        self.squared_errors: list[list[Tensor]] = [[] for _ in range(steps)]
        self.squares: list[Tensor] = []
        self.spikes, self.highest = [0] * steps, [0] * steps

    def expect(self, analog: Tensor) -> None:
        """Begin a batch with its analog stream."""
        self.analog, self.total, self.t = analog.double(), torch.zeros_like(analog, dtype=torch.float64), 0
        self.counted = self.analog.isfinite() & self.needed
        self.squares.append(self._squares(self._whole(self.analog)))

    def see(self, value: Tensor) -> None:
        """The next step of the batch."""
        value = value.double()
        self.total = value if self.node.role == "readout" else self.total + value
        so_far = self.total / (self.t + 1) if self.repeating and self.node.role != "readout" else self.total
        self.squared_errors[self.t].append(self._squares(so_far - self.analog))
        if self.node.role == "neuron":
            unit = 2.0 ** int(self.node.format.exponent) if self.integer else 1.0
            bases = [
                torch.as_tensor(base).to(value) * unit for base in self.node.largest_spike
            ]  # NumPy makes scalars of one base
            self.spikes[self.t] += int((value != 0).sum())
            self.highest[self.t] += int(((value >= bases[0]) | (-value >= bases[1])).sum())
        self.t += 1
        if self.t == self.steps:
            del self.analog, self.total, self.counted

    def alone(self, value: Tensor, expected: Tensor) -> None:
        """The value of a batch after the last step, and what it should be by the operands that came."""
        counted = expected.isfinite() & value.isfinite() & self.needed
        self.own[0] += float((value - expected).where(counted, 0.0).square().sum())
        self.own[1] += float(expected.where(counted, 0.0).square().sum())

    def _squares(self, value: Tensor) -> Tensor:
        """Of the elements that count, summed over each sample (B,)."""
        return value.where(self.counted, 0.0).square().reshape(len(value), -1).sum(dim=1).cpu()

    def _whole(self, value: Tensor) -> Tensor:
        """A neuron's stream lacks what was expected; its error is measured against the whole operand."""
        if self.node.role != "neuron":
            return value
        return value - torch.from_numpy(np.asarray(self.initial)).to(value)

    def result(self, samples: int) -> NodeTrace:
        squares = torch.cat(self.squares)
        total = float(squares.sum()) or 1.0
        own = squares.where(squares > 0, total / samples)  # a sample of zeros is measured by the others
        errors = [torch.cat(batches) for batches in self.squared_errors]
        ordered = [(error / own).sqrt().sort(descending=True).values.tolist() for error in errors]
        updates = samples * self.size
        spiking = self.node.role == "neuron"
        return NodeTrace(
            self.name,
            self.node.detail or self.node.kind,
            tuple((float(error.sum()) / total) ** 0.5 for error in errors),
            tuple(count / updates for count in self.spikes) if spiking else (),
            tuple(count / updates for count in self.highest) if spiking else (),
            tuple(worst_first[-(-samples // 20) - 1] for worst_first in ordered),
            tuple(worst_first[0] for worst_first in ordered),
            (self.own[0] / self.own[1]) ** 0.5 if self.own[1] else None,
        )
