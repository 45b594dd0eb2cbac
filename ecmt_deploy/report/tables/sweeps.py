"""A sweep on the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from ecmt_deploy.estimation import Energy
from ecmt_deploy.report import units
from ecmt_deploy.report.comparison import Comparison
from ecmt_deploy.report.tables.plain import PlainTable

#: columns of a table: T, accuracy, events per MAC, bits of a spike; and of a chip
_FIXED, _CHIP = 50, 14


def compared(comparison: Comparison, width: int) -> Group:
    """Every run, with its energy on every chip, a star on the Pareto front; several tables where one is too wide."""
    names = [e.hardware for e in comparison.entries[0].report.energies]
    fronts = comparison.fronts()
    label = min(max(len(entry.series) for entry in comparison.entries), 24)
    label = max(min(label, width - _FIXED - _CHIP), 8)  # a long name goes over several lines before a chip is cut off
    fit = max((width - _FIXED - label) // _CHIP, 1)
    tables = []
    for start in range(0, len(names), fit):
        shown = range(start, min(start + fit, len(names)))
        title = "Energy per inference; in brackets the 95 % interval"
        table = PlainTable(title, "program", "T", "accuracy %", "events/MAC", "bits", *(names[i] for i in shown))
        table.columns[0].width = label
        last = None
        for entry in comparison.entries:
            if last not in (None, entry.series):
                table.add_row()
            last = entry.series
            record, energies = entry.report.record, entry.report.energies
            table.add_row(entry.series, str(record.timesteps), units.accuracy(record.accuracy[-1], record.n_samples),
                          units.per_mac(energies[0].events_per_mac), units.bits(energies[0].payload_bits),
                          *(_cell(energies[i], entry.label in fronts[i]) for i in shown))  # fmt: skip
        tables.append(table)
    return Group(
        *tables, Text("bits: of a spike, mean   * no other run is as accurate for less   + more has no price   ≤ ≥ ~ bounds")
    )


def _cell(e: Energy, on_front: bool) -> str:
    return f"{units.total(e, ranged=False)}{'' if e.unpriced and e.components_pj else '  '}{'*' if on_front else ' '}"
