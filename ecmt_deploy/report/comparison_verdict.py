"""The answer of a comparison: which run is the most accurate, and a sentence a chip about the run that takes least there."""

from __future__ import annotations

from collections.abc import Sequence

from ecmt_deploy.errors import plural
from ecmt_deploy.report import units
from ecmt_deploy.report.comparison import Comparison, Entry
from ecmt_deploy.report.verdict import unnamed

#: names of runs that a sentence lists
_LISTED = 3


def headline(comparison: Comparison) -> str:
    """Which run is the most accurate, with its interval; where several are, the one of the fewest synaptic events first."""
    first, *others = _most_accurate(comparison.entries)
    if len(comparison.entries) > 1 and len(others) + 1 == len(comparison.entries):
        return f"All are equally accurate: {_right(first)} of {plural(first.report.record.n_samples, 'sample')}."
    also = f", as {_names([entry.label for entry in others])}" if others else ""
    return f"{first.label} is the most accurate{also}: {_right(first)} of {plural(first.report.record.n_samples, 'sample')}."


def on_chips(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Every chip, those that a run fits first: its name, whether any fits (as of one run), and the sentence about it.

    The sentence is that of the page of one run, about the run that takes the least energy among those that fit; then what the
    most accurate of them takes, where that is another.
    """
    found = [_on_chip(comparison.entries, chip) for chip in range(len(comparison.entries[0].report.energies))]
    return sorted(found, key=lambda each: ("yes", "unknown", "no").index(each[1]))


def _on_chip(entries: Sequence[Entry], chip: int) -> tuple[str, str, str]:
    energies = {entry.label: entry.report.energies[chip] for entry in entries}
    by_fit = {fits: [entry for entry in entries if energies[entry.label].fits == fits] for fits in ("yes", "unknown", "no")}
    fits = next(fits for fits, those in by_fit.items() if those)
    name, those = energies[entries[0].label].hardware, by_fit[fits]
    said = [] if fits != "yes" else [f"{len(those)} of {plural(len(entries), 'run')} fit"]
    priced = [entry for entry in those if energies[entry.label].components_pj]
    if not priced:
        return name, fits, f"{name}: {'; '.join([*said, unnamed(energies[those[0].label])])}."
    cheapest = min(priced, key=lambda entry: energies[entry.label].total_pj.value)
    said.append(f"{cheapest.label} takes least, {_right(cheapest)}: {unnamed(energies[cheapest.label])}")
    best = _most_accurate(priced)[0]
    if best.report.record.accuracy[-1] > cheapest.report.record.accuracy[-1]:
        said.append(f"the most accurate, {best.label}, {_right(best)}, takes {units.total(energies[best.label], ranged=False)}")
    return name, fits, f"{name}: {'; '.join(said)}."


def _most_accurate(entries: Sequence[Entry]) -> list[Entry]:
    """The runs that no other beats in accuracy, the one of the fewest events first."""
    most = max(entry.report.record.accuracy[-1] for entry in entries)
    return sorted((entry for entry in entries if entry.report.record.accuracy[-1] == most), key=lambda e: e.report.synops)


def _right(entry: Entry) -> str:
    record = entry.report.record
    return f"{units.accuracy(record.accuracy[-1], record.n_samples)}{units.SPACE}% right"


def _names(labels: Sequence[str]) -> str:
    more = len(labels) - _LISTED
    return units.listed([*labels[:_LISTED], *([f"{more} more"] if more > 0 else [])])
