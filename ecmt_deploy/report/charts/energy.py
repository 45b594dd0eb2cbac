"""Charts of what a run costs: the views side by side, components, layers, break-even."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecmt_deploy.report import units
from ecmt_deploy.report.charts.axes import ROW, bars, label_rows, log_ticks, number, rows_figure
from ecmt_deploy.report.charts.palette import BLUE, GREEN, INK, LINE, SOFT, VERMILION, looks
from ecmt_deploy.report.charts.svg import chart, elided
from ecmt_deploy.report.csv import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: by the sign before a sum: at most, at least, about
_MARKERS = {"": "o", "≤ ": "<", "≥ ": ">", "~ ": "D"}


def _ranges(axes: Axes, ranges: Sequence[tuple[int, float, float]]) -> None:
    """Lines from low to high in rows where these differ."""
    wide = [each for each in ranges if each[2] > each[1]]
    if not wide:
        return
    rows, lows, highs = zip(*wide, strict=True)
    axes.hlines(rows, lows, highs, color=INK, linewidth=0.9)
    axes.plot([*lows, *highs], [*rows, *rows], "|", color=INK, markersize=5)


@chart
def stacked(table: Table, shares: bool = False, row: float = ROW) -> tuple[Figure, Table]:
    """Stacked bars, one row of the table each, by component; with the range of the total where the table has it.

    The first column names the rows. With ``shares`` bars are per cent of the row's sum, not energy.
    """
    ends = ("low_pj", "total_pj", "high_pj")
    parts = [column.removesuffix("_pj") for column in table.header if column.endswith("_pj") and column not in ends]
    values = {part: [number(cell) for cell in table.column(f"{part}_pj")] for part in parts}
    sums = [sum(column) for column in zip(*values.values(), strict=True)] if parts else [0.0] * len(table.rows)
    highs = [number(cell) for cell in table.column("high_pj")] if "high_pj" in table.header else sums
    scale, unit = (1.0, "%") if shares else units.scale_of(max([*sums, *highs], default=0.0))
    legend_rows = -(-len(parts) // 4)
    made, axes = rows_figure(len(table.rows), 0.6 + 0.2 * legend_rows, row)
    left = [0.0] * len(table.rows)
    styles = looks(parts)
    for part in parts:
        colour, hatch, edge = styles[part]
        drawn = [v / (s or 1.0) * 100 if shares else v / scale for v, s in zip(values[part], sums, strict=True)]
        bars(
            axes, left, drawn, 0.76, facecolor=colour, hatch=hatch, edgecolor=edge, linewidth=0.4, label=part.replace("_", " ")
        )
        left = [a + b for a, b in zip(left, drawn, strict=True)]
    if not shares and "low_pj" in table.header:
        lows = [number(cell) for cell in table.column("low_pj")]
        _ranges(axes, [(i, low / scale, high / scale) for i, (low, high) in enumerate(zip(lows, highs, strict=True))])
    label_rows(axes, [elided(str(cell)) for cell in table.column(table.header[0])], row)
    axes.set_xlabel("share of the energy, %" if shares else f"{unit} per inference")
    axes.set_xlim(0, 100 if shares else 1.03 * max([*left, *(high / scale for high in highs)], default=0.0) or 1.0)
    axes.grid(axis="x")
    if parts:
        made.legend(loc="outside upper left", ncols=4, handlelength=1.6, columnspacing=1.2)
    return made, table


@chart
def overview(table: Table) -> tuple[Figure, Table]:
    """Energies of very different size on one logarithmic axis, the value beside the name.

    ``table`` has columns ``name``, ``low_pj``, ``total_pj``, ``high_pj``, ``bounds``, ``unpriced``.
    """
    made, axes = rows_figure(len(table.rows), 0.5, 0.36)
    labels, seen, ranges = [], [], []
    columns = [table.column(c) for c in ("name", "low_pj", "total_pj", "high_pj", "bounds", "unpriced")]
    for i, (label, low, value, high, bounds, unpriced) in enumerate(zip(*columns, strict=True)):
        mark = units.bound_mark(str(bounds).split())
        shown = "not priced" if value is None else f"{mark}{units.energy(number(value))}{' +' if unpriced else ''}"
        labels.append(f"{elided(str(label))}\n{shown}")
        if not number(value) > 0:
            continue
        start, middle, end = max(number(low), number(value) / 1e3), number(value), number(high)  # the axis has no zero
        seen += [start, middle, end]
        ranges.append((i, start, end))
        axes.plot([middle], [i], _MARKERS[mark], color=BLUE, markersize=6.5)
    _ranges(axes, ranges)
    if seen:
        axes.set_xscale("log")
        axes.set_xlim(min(seen) / 1.6, max(seen) * 1.6)
        log_ticks(axes, units.energy_tick)
    axes.set_yticks(range(len(labels)), labels)
    axes.grid(axis="x")
    axes.hlines(
        [i + 0.5 for i in range(len(labels) - 1)], 0, 1, color=LINE, linewidth=0.4, transform=axes.get_yaxis_transform()
    )
    axes.set_xlabel("per inference, logarithmic")
    return made, table


#: marker, its edge and face, and what it means, by what costs less
_LOOKS = {
    "snn": ("o", GREEN, GREEN, "measured, spiking costs less"),
    "ann": ("X", VERMILION, VERMILION, "measured, spiking costs more"),
    "even": ("D", INK, "white", "break-even"),
    "neither": ("s", SOFT, "white", "nothing spikes here"),
}


@chart
def break_even(table: Table) -> tuple[Figure, Table]:
    """Measured events per MAC against the break-even, one row a node."""
    columns = [table.column(column) for column in ("events_per_mac", "break_even_events_per_mac", "costs_less")]
    rows = list(enumerate(zip(*columns, strict=True)))
    positive = [number(cell) for cell in [*columns[0], *columns[1]] if number(cell) > 0]
    low, high = (min(positive) / 1.7, max(positive) * 1.7) if positive else (0.1, 10.0)
    points: dict[str, list[tuple[float, int]]] = {look: [] for look in _LOOKS}
    made, axes = rows_figure(len(rows), 0.95)
    for i, (events, limit, wins) in rows:
        if events is not None:
            points[str(wins)].append((max(number(events), low), i))  # none at all: at the edge of the axis
        if limit is not None:
            points["even"].append((max(number(limit), low), i))
    for look, line in (("snn", "-"), ("ann", ":")):
        mine = [(i, number(events), number(limit)) for i, (events, limit, wins) in rows if wins == look and limit is not None]
        if mine:
            at, starts, ends = zip(*mine, strict=True)
            axes.hlines(at, [max(x, low) for x in starts], [max(x, low) for x in ends], color=_LOOKS[look][1], linestyle=line)
    for look, (marker, edge, face, text) in _LOOKS.items():
        if not points[look]:
            continue
        axes.plot([x for x, _ in points[look]], [i for _, i in points[look]], marker, markersize=4.5, color=face,
                  markeredgecolor=edge, clip_on=False, label=text)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    label_rows(axes, [elided(str(cell)) for cell in table.column("node")])
    log_ticks(axes, units.tick)
    axes.grid(axis="x")
    axes.set_xlabel("events per MAC, logarithmic")
    made.legend(loc="outside upper left", ncols=2, handlelength=1.0, columnspacing=1.2)
    return made, table
