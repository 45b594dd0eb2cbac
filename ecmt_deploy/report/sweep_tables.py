"""A sweep on the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from ecmt_deploy.estimation import Energy, bound_mark
from ecmt_deploy.evaluation.intervals import percent
from ecmt_deploy.report import Comparison, pareto_front
from ecmt_deploy.report.comparison import energy_points
from ecmt_deploy.report.tables import _table
from ecmt_deploy.report.text import energy

#: columns of a table: T, accuracy, events per MAC; and of a chip
_FIXED, _CHIP = 44, 14


def compared(comparison: Comparison, width: int) -> Group:
    """Every run, with its energy on every chip, a star on the Pareto front; several tables where one is too wide."""
    names = [e.hardware for e in comparison.entries[0].report.energies]
    fronts = []
    for chip in range(len(names)):
        points = energy_points(comparison, chip)
        fronts.append({points[i].label for i in pareto_front([(point.cost, point.accuracy) for point in points])})
    label = max(len(entry.series) for entry in comparison.entries)
    fit = max((width - _FIXED - min(label, 24)) // _CHIP, 1)
    tables = []
    for start in range(0, len(names), fit):
        shown = range(start, min(start + fit, len(names)))
        title = "Energy per inference; in brackets the 95 % interval"
        table = _table(title, "program", "T", "accuracy %", "events/MAC", *(names[i] for i in shown))
        table.columns[0].min_width = min(label, 24)
        last = None
        for entry in comparison.entries:
            if last not in (None, entry.series):
                table.add_section()
            last = entry.series
            record, energies = entry.report.record, entry.report.energies
            events = energies[0].events_per_mac
            cells = [_cell(energies[i], entry.label in fronts[i]) for i in shown]
            table.add_row(entry.series, str(record.timesteps), percent(record.accuracy[-1], record.n_samples),
                          "" if events is None else f"{events:.3f}", *cells)  # fmt: skip
        tables.append(table)
    return Group(*tables, Text("* no other run is as accurate for less   + more has no price   ≤ ≥ ~ bounds"))


def _cell(e: Energy, on_front: bool) -> str:
    if not e.components_pj:
        return "unpriced  "
    return f"{bound_mark(e.bounds)}{energy(e.total_pj.value)}{'+' if e.unpriced else ' '}{'*' if on_front else ' '}"
