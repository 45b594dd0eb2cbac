"""What probes record of cores: streams and states, put together from all cores that have some of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ecmt_deploy.program import Program
from ecmt_deploy.simulation.probes import probe_shape
from ecmt_deploy.simulation.target import Probe

from .running import Machine


class Recorder:
    """Time series of what is probed.

    Attributes
    ----------
    series : by probe, (samples, steps, *shape)
    """

    def __init__(self, program: Program, probes: Sequence[Probe], samples: int, timesteps: int) -> None:
        self.program = program
        self.series = {
            probe: np.zeros((samples, timesteps, *probe_shape(program, probe)), np.int64) for probe in probes
        }  # fmt: skip

    def record(self, machine: Machine, name: str, sample: int, t: int) -> None:
        """Record a node that has just finished step ``t``."""
        for probe, series in self.series.items():
            if probe.node == name:
                found = machine.values[name] if probe.kind == "spikes" else self._state(machine, name)
                series[sample, t - 1] = found.reshape(series.shape[2:])

    def _state(self, machine: Machine, name: str) -> np.ndarray:
        """All that the cores of a node remember, in the order in which the op names it."""
        if name in machine.host:
            return machine.host[name].state()
        shapes = self.program.state(name)
        found = [np.zeros(prod(shape), np.int64) for shape in shapes.values()]
        # functions and products keep a sum of each operand before all else
        operands = len(self.program.operands[name]) if self.program.nodes[name].role in ("function", "product") else 0
        for each in machine.running[name]:
            for number, part in enumerate(each.kernel.remembered()):
                positions = each.group.inlets[number].positions if number < operands else each.group.elements
                assert positions is not None, "a layout that was made from a program knows them"
                found[number][positions.ravel()] = part.ravel()
        return np.concatenate(found)
