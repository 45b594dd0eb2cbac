"""Runs side by side: which of them no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ecmt_deploy.errors import listed, plural
from ecmt_deploy.estimation.result import Energy
from ecmt_deploy.evaluation.intervals import interval
from ecmt_deploy.report import data
from ecmt_deploy.report.csv import Cell, Table
from ecmt_deploy.report.model import Report
from ecmt_deploy.shown import Brief, Plotted, Tabular


class Entry(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of a comparison.

    Attributes
    ----------
    label : names the run
    series : names the runs it belongs with: one program at different numbers of steps
    report : about it; all reports of a comparison are of the same chips, in one order
    """

    label: str
    series: str
    report: Report

    @property
    def preset(self) -> str:
        """The preset the program was converted with."""
        return str((self.report.record.provenance.config or {}).get("preset", "unknown"))


class Comparison(Tabular, Plotted, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a page about several runs shows."""

    charts = ("pareto", "accuracy")

    entries: list[Entry]

    def __repr__(self) -> str:
        chips = [e.hardware for e in self.entries[0].report.energies] if self.entries else []
        return f"Comparison({plural(len(self.entries), 'run')} on {listed(chips) or 'no chip'})"

    def remarks(self) -> list[str]:
        """What stands in the way of comparing them, a sentence each."""
        records = [entry.report.record for entry in self.entries]
        lines = []
        for what, found in (
            ("data", {record.data for record in records}),
            ("numbers of samples", {str(record.n_samples) for record in records}),
        ):
            if len(found) > 1:
                lines.append(
                    f"The runs are over different {what} ({', '.join(sorted(found))}): their accuracies do not compare."
                )
        partial: dict[str, list[str]] = {}
        for chip in zip(*(entry.report.energies for entry in self.entries), strict=True):
            missing = [set(e.unpriced) for e in chip]
            if differing := sorted(set.union(*missing) - set.intersection(*missing)):
                partial.setdefault(", ".join(differing), []).append(chip[0].hardware)
        for counts, chips in partial.items():
            lines.append(
                f"On {', '.join(chips)} totals are not alike: some leave out counts without a price that the others do not "
                f"have ({counts}), and so are too low beside them."
            )
        return lines

    def fronts(self) -> list[set[str]]:
        """For each chip the labels of the runs that are on the Pareto front of accuracy and energy."""
        found = []
        for chip in range(len(self.entries[0].report.energies)):
            points = energy_points(self, chip)
            found.append({points[i].label for i in pareto_front([(p.cost, p.accuracy) for p in points])})
        return found


class Point(NamedTuple):
    """A run in a chart of accuracy against cost."""

    label: str
    series: str
    preset: str
    timesteps: int
    cost: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, accuracy) that no other dominates, cheapest first.

    A point is dominated where another costs no more and is no less accurate, and is better in one of the two.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    front: list[int] = []
    for i in order:
        if not front or points[i][1] > points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front


def energy_points(comparison: Comparison, chip: int) -> list[Point]:
    """Accuracy against energy in pJ on a chip; runs for which it has no price are left out."""
    return _points(comparison, [e.report.energies[chip].total_pj.value if e.report.energies[chip].components_pj else None
                                for e in comparison.entries])  # fmt: skip


def event_points(comparison: Comparison) -> list[Point]:
    """Accuracy against events per MAC, which no chip has a say in."""
    return _points(comparison, [e.report.energies[0].events_per_mac if e.report.energies else None for e in comparison.entries])


def _points(comparison: Comparison, costs: Sequence[float | None]) -> list[Point]:
    return [
        Point(entry.label, entry.series, entry.preset, entry.report.record.timesteps, cost, entry.report.record.accuracy[-1],
              *interval(entry.report.record.accuracy[-1], entry.report.record.n_samples))
        for entry, cost in zip(comparison.entries, costs, strict=True)
        if cost is not None
    ]  # fmt: skip


def points_table(points: Sequence[Point], cost: str) -> Table:
    """The points of a chart, and which are on the front; ``cost`` names the column."""
    front = set(pareto_front([(p.cost, p.accuracy) for p in points]))
    rows: list[tuple[Cell, ...]] = [(*point, "yes" if i in front else "no") for i, point in enumerate(points)]
    return Table(("run", "series", "preset", "timesteps", cost, "accuracy", "accuracy_low", "accuracy_high", "on_front"), rows)


def accuracy_table(comparison: Comparison) -> Table:
    """Accuracy after every step, of the longest run of every series."""
    longest: dict[str, Report] = {}
    for entry in comparison.entries:
        if entry.series not in longest or len(entry.report.curve.accuracy) > len(longest[entry.series].curve.accuracy):
            longest[entry.series] = entry.report
    tables = [(series, data.accuracy(report.curve)) for series, report in longest.items()]
    return Table(("series", *tables[0][1].header), [(series, *row) for series, table in tables for row in table.rows])


def summary(comparison: Comparison) -> Table:
    """Every run on every chip: one row each, all figures per inference."""
    fronts = comparison.fronts()
    rows = [
        {**_about(entry), **_on_chip(e, None if not e.components_pj else "yes" if entry.label in front else "no")}
        for entry in comparison.entries
        for e, front in zip(entry.report.energies, fronts, strict=True)
    ]
    return Table(tuple(rows[0]) if rows else (), [tuple(row.values()) for row in rows])


def _about(entry: Entry) -> dict[str, Cell]:
    report, record = entry.report, entry.report.record
    low, high = interval(record.accuracy[-1], record.n_samples)
    return {
        "run": entry.label, "series": entry.series, "model": record.provenance.model, "preset": entry.preset,
        "target": record.target, "precision": record.precision, "timesteps": record.timesteps, "n_samples": record.n_samples,
        "data": record.data, "accuracy": record.accuracy[-1], "accuracy_low": low, "accuracy_high": high,
        "analog_accuracy": record.analog_accuracy, "agreement": record.agreement[-1] if record.agreement else None,
        "spikes": report.spikes, "synops": report.synops,
    }  # fmt: skip


def _on_chip(e: Energy, on_front: str | None) -> dict[str, Cell]:
    snn, ann = data.both(e.memory)
    return {
        "events_per_mac": e.events_per_mac, "payload_bits": e.payload_bits, "hardware": e.hardware,
        **dict(zip(data.COST, data.cost(e), strict=True)),
        "on_front": on_front, "paper_snn_pj": e.paper.snn_pj, "paper_total_pj": e.paper.total_pj,
        "paper_ann_pj": e.paper.ann_pj,
        "memory_snn_pj": snn, "memory_ann_pj": ann, "latency_us": e.timing.latency_us.value if e.timing else None,
        "throughput_per_s": e.timing.throughput_per_s.value if e.timing else None,
        "energy_delay_nj_ms": e.energy_delay_nj_ms.value if e.energy_delay_nj_ms else None,
        "cores": e.cores, "chips": e.chips, "fits": e.fits,
    }  # fmt: skip
