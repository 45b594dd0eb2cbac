"""What a page about one run shows, as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from ecmt_deploy.chips import Figure, Hardware, Source
from ecmt_deploy.estimation.result import Energy, TilePoint
from ecmt_deploy.evaluation.score import Evaluation
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.layers import grouped
from ecmt_deploy.report.probed import ProbedNode, probed_nodes
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.shown import Brief
from ecmt_deploy.simulation.target import Probe
from ecmt_deploy.simulation.traces import Trace


class AccuracyCurve(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Accuracy after every step, and the analog model's, over ``n_samples`` samples of ``data`` run by ``engine``."""

    engine: str
    n_samples: int
    accuracy: list[float]
    analog_accuracy: float | None
    data: str | None = None

    @classmethod
    def of(cls, evaluation: Evaluation) -> AccuracyCurve:
        """The curve of an evaluation, which the torch engine makes."""
        return cls("torch", evaluation.n_samples, list(evaluation.accuracy), evaluation.analog_accuracy, evaluation.data)

    def after(self, timesteps: int) -> tuple[int, float]:
        """The accuracy after so many steps, or after all where there are fewer: that number, and the accuracy."""
        t = min(timesteps, len(self.accuracy))
        return t, self.accuracy[t - 1]


class LayerEvents(NamedTuple):
    """Synaptic events, analog multiply-accumulates, and those of the ANN, of a layer per inference."""

    synops: float
    macs: float
    dense_macs: float


def events_by_layer(activity: Activity) -> dict[str, LayerEvents]:
    """The events of every layer; layers with none are left out."""
    found = {
        layer: LayerEvents(*(sum(getattr(activity[name], kind) for name in names) / activity.n_samples
                             for kind in LayerEvents._fields))
        for layer, names in grouped(activity).items()
    }  # fmt: skip
    return {layer: counts for layer, counts in found.items() if any(counts)}


class Report(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the page shows.

    Attributes
    ----------
    record : the run
    curve : accuracy against steps: the run's own, or that of a longer evaluation of the same program
    energies, placements : on the chips, in the same order
    cores_per_chip : of each of these chips, where it is known
    sources : where the figures of each of these chips are from, by key
    spike_rates : spikes per neuron and step, by layer; layers without neurons are absent
    events : synaptic events and multiply-accumulates, by layer
    spikes, synops, dense_macs : per inference
    nodes : number of nodes
    saturations : integers clipped per inference, by node; nodes without are absent
    trace : how far every node is from its analog value, if it was measured
    probed : what was probed, node by node
    tile_curve : view (c) in tiles of several sizes, at 45 nm
    """

    record: RunRecord
    curve: AccuracyCurve
    energies: list[Energy]
    placements: list[Placement]
    cores_per_chip: list[int | None]
    sources: list[dict[str, Source]]
    spike_rates: dict[str, float]
    events: dict[str, LayerEvents]
    spikes: float
    synops: float
    dense_macs: float
    nodes: int
    saturations: dict[str, float]
    trace: Trace | None = None
    probed: list[ProbedNode] = []
    tile_curve: tuple[TilePoint, ...] = ()


def make_report(
    record: RunRecord,
    activity: Activity,
    program: Program,
    chips: Sequence[tuple[Hardware, Placement, Energy]],
    curve: AccuracyCurve | None = None,
    trace: Trace | None = None,
    probes: Mapping[Probe, np.ndarray] | None = None,
) -> Report:
    """Collect what the page shows; ``curve`` replaces the run's own accuracy, ``probes`` are time series (N, T, neurons)."""
    own = AccuracyCurve(record.target, record.n_samples, record.accuracy, record.analog_accuracy, record.data)
    counts = dict(activity.items())
    rates = {}
    for layer, names in grouped(program.neurons).items():
        updates = sum(counts[name].neuron_updates for name in names)
        if updates:
            rates[layer] = sum(counts[name].spikes for name in names) / updates
    n = activity.n_samples
    return Report(
        record=record,
        curve=curve or own,
        energies=[energy for _, _, energy in chips],
        placements=[placement for _, placement, _ in chips],
        cores_per_chip=[whole(hardware.limits.cores_per_chip) for hardware, _, _ in chips],
        sources=[hardware.sources for hardware, _, _ in chips],
        spike_rates=rates,
        events=events_by_layer(activity),
        spikes=sum(c.spikes for c in counts.values()) / n,
        synops=sum(c.synops for c in counts.values()) / n,
        dense_macs=sum(c.dense_macs for c in counts.values()) / n,
        nodes=len(program.nodes),
        saturations={name: c.saturations / n for name, c in counts.items() if c.saturations},
        trace=trace,
        probed=probed_nodes(probes or {}, program),
    )


def whole(figure: Figure | None) -> int | None:
    """A figure of a chip that counts something; ``None`` where it is not known."""
    return None if figure is None else int(figure.value)
