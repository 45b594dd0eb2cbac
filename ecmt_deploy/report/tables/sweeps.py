"""A sweep on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from ecmt_deploy.estimation import Energy
from ecmt_deploy.report import units
from ecmt_deploy.report.comparison import Comparison
from ecmt_deploy.report.tables.plain import PlainTable

#: columns of a table that a narrow terminal does without, the least first
_SPARE = ("bits", "events/MAC")
#: characters of the longest name of a program, and of the shortest column of names
_LONGEST, _SHORTEST = 24, 8


def compared(comparison: Comparison, width: int) -> Group:
    """Every run, with its energy on every chip, and a star on the Pareto front.

    Names of programs go over several lines, and columns are left out, where one table is then narrow enough; where even that
    does not help there are several.
    """
    entries, fronts = comparison.entries, comparison.fronts()
    names = [e.hardware for e in entries[0].report.energies]
    first = [entry.report.energies[0] for entry in entries]
    said = {
        "T": [str(entry.report.record.timesteps) for entry in entries],
        "accuracy %": [units.accuracy((r := entry.report.record).accuracy[-1], r.n_samples) for entry in entries],
        "events/MAC": [units.per_mac(e.events_per_mac) for e in first],
        "bits": [units.bits(e.payload_bits) for e in first],
    }
    chips = [[_cell(entry.report.energies[i], entry.label in fronts[i]) for entry in entries] for i in range(len(names))]
    widths = [_width(name, cells) for name, cells in zip(names, chips, strict=True)]
    label = min(max(len(entry.series) for entry in entries), _LONGEST)
    shortest = min(label, _SHORTEST)

    def room(chips: int) -> int:
        """Characters that are left for the names of programs."""
        return width - 1 - chips - sum(_width(*column) for column in said.items())

    spare = {heading: _width(heading, said[heading]) for heading in _SPARE}
    for heading in spare if room(sum(widths)) + sum(spare.values()) >= shortest else ():  # one table is then enough
        if room(sum(widths)) < shortest:
            del said[heading]
    fit = len(names)
    if room(sum(widths)) < shortest:
        fit = max((room(0) - shortest) // max(widths), 1)
    label = max(min(label, room(sum(widths[:fit]) if fit == len(names) else fit * max(widths))), shortest)
    tables = []
    for start in range(0, len(names), fit):
        shown = range(start, min(start + fit, len(names)))
        title = "Energy per inference; in brackets the 95 % interval"
        table = PlainTable(title, "program", *said, *(names[i] for i in shown), show_edge=False)
        table.columns[0].width = label
        last = None
        for row, entry in enumerate(entries):
            if last not in (None, entry.series):
                table.add_row()
            last = entry.series
            table.add_row(entry.series, *(cells[row] for cells in said.values()), *(chips[i][row] for i in shown))
        tables.append(table)
    legend = ["bits: of a spike, mean"] if "bits" in said else []
    legend += ["* no other run is as accurate for less", "+ more has no price", "≤ ≥ ~ bounds"]
    return Group(*tables, Text("   ".join(legend)))


def _width(heading: str, cells: Sequence[str]) -> int:
    """Characters of a column, with the one between it and the next."""
    return 1 + max(map(len, (heading, *cells)))


def _cell(e: Energy, on_front: bool) -> str:
    return f"{units.total(e, ranged=False)}{'' if e.unpriced and e.components_pj else '  '}{'*' if on_front else ' '}"
