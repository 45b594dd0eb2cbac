"""What was probed of a node, as a page shows it: all its neurons as a raster, and the membrane of one of them.

Everything of a node is in one unit: that of the analog value, which spikes and membranes of a float program have by themselves,
and those of an integer program times their scale.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program import Program
from ecmt_deploy.report.csv import Table
from ecmt_deploy.shown import Brief
from ecmt_deploy.simulation.target import Probe

#: most rows of a raster, and samples shown one behind another: what a page can tell apart
ROWS, SAMPLES = 400, 16
#: units of a series: of the analog value, or the integers that an integer program keeps
ANALOG, INTEGERS = "analog units", "integers"


class Raster(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A probe of a node as a picture.

    Attributes
    ----------
    node, kind : what was probed, ``spikes``, ``membrane`` or ``state``
    unit : of the values
    samples, timesteps, neurons : size of the recording
    spiking : share of neurons and steps that spike; ``None`` for what is no spike
    rows : (rows, samples shown * T): each row the neuron, of a block of neighbours, that is largest in size
    """

    node: str
    kind: str
    unit: str
    samples: int
    timesteps: int
    neurons: int
    spiking: float | None
    rows: list[list[float]]

    @property
    def neighbours(self) -> int:
        """Neurons that share a row."""
        return -(-self.neurons // len(self.rows))

    @property
    def shown(self) -> int:
        """Samples that are shown."""
        return len(self.rows[0]) // self.timesteps

    @property
    def largest(self) -> float:
        """The largest size of a value that is shown."""
        return max((abs(value) for row in self.rows for value in row), default=0.0)

    def table(self) -> Table:
        """A row a block of neighbours, a column a step of a sample."""
        steps = (f"sample{i // self.timesteps + 1}_t{i % self.timesteps + 1}" for i in range(len(self.rows[0])))
        return Table(("first_neuron", *steps), [(i * self.neighbours, *row) for i, row in enumerate(self.rows)])


class Membrane(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The membrane of one neuron after every step, when its spikes have left it.

    Attributes
    ----------
    node, neuron, neurons : the node, which of its neurons in row-major order, and how many it has
    unit : of the values
    timesteps : steps of a sample
    values : (samples shown * T)
    fires_below, fires_above : the membranes from which on its smallest spikes leave it; ``None`` where it is silent, or the
        program is not at hand
    """

    node: str
    neuron: int
    neurons: int
    unit: str
    timesteps: int
    values: list[float]
    fires_below: float | None
    fires_above: float | None

    def table(self) -> Table:
        """A row a step."""
        rows = [(i // self.timesteps + 1, i % self.timesteps + 1, value) for i, value in enumerate(self.values)]
        return Table(("sample", "t", "membrane"), list(rows))


class ProbedNode(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that was probed of a node: a raster a kind, and one neuron's membrane where membranes were among it."""

    node: str
    rasters: list[Raster]
    membrane: Membrane | None = None


def probed_nodes(series: Mapping[Probe, np.ndarray], program: Program) -> list[ProbedNode]:
    """What was probed, node by node, from time series (N, T, neurons)."""
    return [
        ProbedNode(
            node,
            [raster_of(series, program, probe) for probe in series if probe.node == node],
            membrane_of(series, program, node) if Probe(node, "membrane") in series else None,
        )
        for node in dict.fromkeys(probe.node for probe in series)
    ]


def raster_of(series: Mapping[Probe, np.ndarray], program: Program | None, probe: Probe) -> Raster:
    """A probe as a picture.

    Raises
    ------
    ConfigError
        if it was not recorded.
    """
    values = probed(series, probe)
    samples, timesteps, neurons = values.shape
    scale, unit = _in_unit(program, probe, values)
    shown = (values[:SAMPLES] * scale).reshape(-1, neurons).T  # (neurons, columns)
    block = -(-neurons // ROWS)
    rows = [
        part[np.abs(part).argmax(axis=0), np.arange(part.shape[1])] for part in np.split(shown, range(block, neurons, block))
    ]
    spiking = float(np.mean(values != 0)) if probe.kind == "spikes" else None
    return Raster(probe.node, probe.kind, unit, samples, timesteps, neurons, spiking, np.asarray(rows, float).tolist())


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
    probe = Probe(node, "membrane")
    values = probed(series, probe)
    neurons = values.shape[2]
    if neuron is None:
        fired = series.get(Probe(node, "spikes"))
        ranked = values.std(axis=(0, 1)) if fired is None else np.count_nonzero(fired.reshape(values.shape), axis=(0, 1))
        neuron = int(ranked.argmax())
    if not 0 <= neuron < neurons:
        raise ConfigError(f"neuron {neuron}: {node} has {neurons:,} neurons; choose from 0 to {neurons - 1}")
    scale, unit = _in_unit(program, probe, values)
    below = above = None
    if program is not None:
        smallest = [_each(side, program, node)[neuron] * float(scale) for side in program.nodes[node].fires_from]
        below, above = (float(end) if np.isfinite(end) else None for end in (-smallest[0], smallest[1]))
    shown = values[:SAMPLES, :, neuron].reshape(-1) * scale
    return Membrane(node, neuron, neurons, unit, values.shape[1], shown.tolist(), below, above)


def _in_unit(program: Program | None, probe: Probe, values: np.ndarray) -> tuple[np.ndarray, str]:
    """What makes analog values of a series: one number, or one a neuron; and the unit that it then has.

    The state of a node holds numbers of several scales, so in an integer program it remains in integers.
    """
    one = np.ones(())
    form = program.nodes[probe.node].format if program is not None else None
    if form is None or probe.kind == "state":
        return one, ANALOG if values.dtype.kind == "f" else INTEGERS
    assert program is not None
    worth = _each(program.nodes[probe.node].unit, program, probe.node) if probe.kind == "spikes" else one
    return worth * 2.0**form.exponent, ANALOG


def _each(values: np.ndarray, program: Program, node: str) -> np.ndarray:
    """What broadcasts to the neurons of a node, one a neuron."""
    return np.broadcast_to(values, program.shapes[node]).reshape(-1)


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
