"""The verb ``trace``: run a program beside its analog self and measure every node, to find the layer that breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

import nir
import torch
from torch import Tensor

from ecmt_deploy.config import require_timesteps
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import DataError
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.traces import NodeTrace, Trace

#: nodes that only move values, or hold what does not depend on the input
_SILENT = (*n.WIRING, n.Constant, n.Hold, nir.Input, nir.Output)
#: samples at once: the analog streams of a batch are kept
BATCH = 4


def trace(
    model: SpikingModel,
    x: Tensor | Iterable[Tensor],
    timesteps: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Trace:
    """Compare every node's value so far with its analog value, after every step.

    Parameters
    ----------
    model : the program
    x : samples (N, *input_shape), or an iterable of such batches
    timesteps : steps T; by default those the program was converted for
    progress : called with the number of samples finished

    Raises
    ------
    ConfigError
        if ``timesteps`` is below 1.
    DataError
        if there are no samples, or they do not have the program's input shape.
    """
    steps = model.program.timesteps if timesteps is None else timesteps
    require_timesteps(steps)
    meters = _meters(model.program, steps)
    done = 0
    for batch in [x] if isinstance(x, Tensor) else x:
        for part in batch.split(BATCH):
            _measure(model, part, steps, meters)
            done += len(part)
            if progress:
                progress(done)
    if not done:
        raise DataError("there are no samples to trace; pass at least one")
    return Trace(done, steps, model.program.coding, tuple(meter.result(done) for meter in meters.values()))


def _meters(program: Program, steps: int) -> dict[str, _Meter]:
    repeating = _repeating(program)
    return {
        name: _Meter(program, name, steps, name in repeating)
        for name, node in program.nodes.items()
        if not isinstance(node, _SILENT) and not _of_constants(program, name)
    }


def _measure(model: SpikingModel, x: Tensor, steps: int, meters: dict[str, _Meter]) -> None:
    model.trace(x, lambda name, value: meters[name].expect(value) if name in meters else None)
    model.watch(x, steps, lambda name, value: meters[name].see(value) if name in meters else None)


def _repeating(program: Program) -> set[str]:
    """Streams of rate coding that say the same at every step, so that their mean is their value."""
    found: set[str] = set()
    for name, node in program.nodes.items():
        source = isinstance(node, n.Hold) or (isinstance(node, n.Constant) and node.schedule == "every")
        if source or any(operand in found for operand in program.operands[name]):
            found.add(name)
    return found


def _of_constants(program: Program, name: str) -> bool:
    sources = program.operands[name]
    return all(isinstance(program.nodes[s], n.Constant) or (program.operands[s] and _of_constants(program, s)) for s in sources)


class _Meter:
    """Running sums of one node."""

    def __init__(self, program: Program, name: str, steps: int, repeating: bool) -> None:
        self.name, self.node, self.steps, self.repeating = name, program.nodes[name], steps, repeating
        self.size = prod(program.shapes[name])
        self.squared_error, self.squares = [0.0] * steps, 0.0
        self.spikes, self.highest = [0] * steps, [0] * steps

    def expect(self, analog: Tensor) -> None:
        """Begin a batch with its analog stream."""
        self.analog, self.total, self.t = analog.double(), torch.zeros_like(analog, dtype=torch.float64), 0
        self.finite = self.analog.isfinite()
        self.squares += float((self._whole(self.analog)[self.finite] ** 2).sum())

    def see(self, value: Tensor) -> None:
        """The next step of the batch."""
        value = value.double()
        self.total = value if isinstance(self.node, n.Readout) else self.total + value
        so_far = self.total / (self.t + 1) if self.repeating and not isinstance(self.node, n.Readout) else self.total
        self.squared_error[self.t] += float(((so_far - self.analog)[self.finite] ** 2).sum())
        if isinstance(self.node, n.MultiThreshold):
            top = 2.0 ** (int(self.node.levels) - 1)
            bases = [torch.from_numpy(b).to(value) * top for b in (self.node.positive_base, self.node.negative_base)]
            self.spikes[self.t] += int((value != 0).sum())
            self.highest[self.t] += int(((value >= bases[0]) | (-value >= bases[1])).sum())
        self.t += 1
        if self.t == self.steps:
            del self.analog, self.total, self.finite

    def _whole(self, value: Tensor) -> Tensor:
        """A neuron's stream lacks what was expected; its error is measured against the whole operand."""
        if not isinstance(self.node, n.MultiThreshold):
            return value
        return value - torch.from_numpy(self.node.initial_membrane).to(value)

    def result(self, samples: int) -> NodeTrace:
        scale = self.squares or 1.0
        updates = samples * self.size
        spiking = isinstance(self.node, n.MultiThreshold)
        return NodeTrace(
            self.name,
            str(getattr(self.node, "function", getattr(self.node, "product", type(self.node).__name__))),
            tuple((error / scale) ** 0.5 for error in self.squared_error),
            tuple(count / updates for count in self.spikes) if spiking else (),
            tuple(count / updates for count in self.highest) if spiking else (),
        )
