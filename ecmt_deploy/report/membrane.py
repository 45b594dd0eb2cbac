"""The membrane of one neuron of a node that was probed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program import Program
from ecmt_deploy.report.csv import Table
from ecmt_deploy.simulation.target import Probe

#: samples that are shown one behind another
SAMPLES = 8


class Membrane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The membrane of one neuron after every step, when its spikes have left it.

    Attributes
    ----------
    node, neuron, neurons : the node, which of its neurons in row-major order, and how many it has
    timesteps : steps of a sample
    values : (samples shown * T), in units of the analog value: integers of an integer program times its scale
    fires_below, fires_above : the membranes from which on its smallest spikes leave it; ``None`` where it is silent, or the
        program is not at hand
    """

    node: str
    neuron: int
    neurons: int
    timesteps: int
    values: list[float]
    fires_below: float | None
    fires_above: float | None

    def table(self) -> Table:
        """A row a step."""
        rows = [(i // self.timesteps + 1, i % self.timesteps + 1, value) for i, value in enumerate(self.values)]
        return Table(("sample", "t", "membrane"), list(rows))


def membrane_of(series: Mapping[Probe, np.ndarray], program: Program | None, node: str, neuron: int | None = None) -> Membrane:
    """The membrane of a neuron from time series (N, T, *shape) of what was probed.

    Parameters
    ----------
    program : what ran, for thresholds and scale
    neuron : which one, in row-major order; by default the one that spikes most, where spikes were probed too, else the one
        whose membrane varies most

    Raises
    ------
    ConfigError
        if the membrane of this node was not probed, or it has no such neuron.
    """
    values = probed(series, Probe(node, "membrane"))
    neurons = values.shape[2]
    if neuron is None:
        fired = series.get(Probe(node, "spikes"))
        ranked = values.std(axis=(0, 1)) if fired is None else np.count_nonzero(fired.reshape(values.shape), axis=(0, 1))
        neuron = int(ranked.argmax())
    if not 0 <= neuron < neurons:
        raise ConfigError(f"neuron {neuron}: {node} has {neurons:,} neurons; choose from 0 to {neurons - 1}")
    below = above = None
    scale = 1.0
    if program is not None:
        op = program.nodes[node]
        scale = 1.0 if op.format is None else 2.0**op.format.exponent
        smallest = [np.broadcast_to(side, program.shapes[node]).reshape(-1)[neuron] * scale for side in op.fires_from]
        below, above = (float(end) if np.isfinite(end) else None for end in (-smallest[0], smallest[1]))
    shown = values[:SAMPLES, :, neuron].reshape(-1).astype(float) * scale
    return Membrane(node, neuron, neurons, values.shape[1], shown.tolist(), below, above)


def probed(series: Mapping[Probe, np.ndarray], probe: Probe) -> np.ndarray:
    """What a probe recorded, (N, T, neurons).

    Raises
    ------
    ConfigError
        if it is not there; names what is.
    """
    if probe not in series:
        there = f"the run has {', '.join(map(str, series))}" if series else "the run has no probes"
        raise ConfigError(f"{probe} was not recorded, {there}; simulate with probes=['{probe}'], or --probe {probe}")
    values = series[probe]
    return values.reshape(*values.shape[:2], -1)
