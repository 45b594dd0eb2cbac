"""Charts of what a run costs: the views side by side, components, layers, break-even."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecmt_deploy.report import units
from ecmt_deploy.report.charts.axes import (
    ROW,
    bars,
    figure,
    label_rows,
    legend,
    legend_height,
    log_ticks,
    number,
    rows_height,
    tip_rows,
)
from ecmt_deploy.report.charts.palette import BLUE, GREEN, INK, LINE, SOFT, VERMILION, WHITE, looks
from ecmt_deploy.report.charts.svg import chart, elided
from ecmt_deploy.report.csv import Cell, Table

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


#: columns of the sum of a row, not of a part of it
_SUMS = ("low_pj", "total_pj", "high_pj")


def parts_of(table: Table) -> list[str]:
    """What the bars of a table of energies are made of."""
    return [column.removesuffix("_pj") for column in table.header if column.endswith("_pj") and column not in _SUMS]


def _named(part: str) -> str:
    return part.replace("_", " ")


@chart
def stacked(table: Table, shares: bool = False, row: float = ROW) -> tuple[Figure, Table]:
    """Stacked bars, see :func:`draw_stacked`."""
    names = [_named(part) for part in parts_of(table)]
    made, axes = figure(rows_height(len(table.rows), 0.6 + legend_height(names), row))
    draw_stacked(axes, table, shares)
    tip_rows(axes, [_told(record) for record in table.records()])
    return made, table


def _told(record: dict[str, Cell]) -> str:
    """A row in words: its whole name, its parts from the largest, its sum, and what has no price."""
    name, *_ = record.values()
    parts = {key: number(value) for key, value in record.items() if key.endswith("_pj") and key not in _SUMS and value}
    lines = [
        str(name),
        *(f"{_named(key[:-3])}: {units.energy(parts[key])}" for key in sorted(parts, key=lambda key: -parts[key])),
    ]
    if "total_pj" in record:
        lines.append("not priced" if record["total_pj"] is None else f"total: {units.energy(number(record['total_pj']))}")
    if record.get("unpriced"):
        lines.append(f"without a price: {str(record['unpriced']).replace(' ', ', ')}")
    return "\n".join(lines)


def draw_stacked(axes: Axes, table: Table, shares: bool = False) -> None:
    """Stacked bars, one row of the table each, by component; with the range of the total where the table has it.

    The first column names the rows. With ``shares`` bars are per cent of the row's sum, not energy. A row of which something
    has no price ends in a question mark: its bar is too short.
    """
    parts = parts_of(table)
    values = {part: [number(cell) for cell in table.column(f"{part}_pj")] for part in parts}
    sums = [sum(column) for column in zip(*values.values(), strict=True)] if parts else [0.0] * len(table.rows)
    highs = [number(cell) for cell in table.column("high_pj")] if "high_pj" in table.header else sums
    scale, unit = (1.0, "%") if shares else units.scale_of(max([*sums, *highs], default=0.0))
    left = [0.0] * len(table.rows)
    styles = looks(parts)
    for part in parts:
        colour, hatch, edge = styles[part]
        drawn = [v / (s or 1.0) * 100 if shares else v / scale for v, s in zip(values[part], sums, strict=True)]
        bars(axes, left, drawn, 0.76, facecolor=colour, hatch=hatch, edgecolor=edge, linewidth=0.4, label=_named(part))
        left = [a + b for a, b in zip(left, drawn, strict=True)]
    if not shares and "low_pj" in table.header:
        lows = [number(cell) for cell in table.column("low_pj")]
        _ranges(axes, [(i, low / scale, high / scale) for i, (low, high) in enumerate(zip(lows, highs, strict=True))])
    label_rows(axes, [elided(str(cell)) for cell in table.column(table.header[0])])
    ends = [100.0] * len(left) if shares else [max(end, high / scale) for end, high in zip(left, highs, strict=True)]
    if "unpriced" in table.header:
        mark_unpriced(axes, [(i, ends[i]) for i, cell in enumerate(table.column("unpriced")) if cell])
    axes.set_xlabel("share of the energy, %" if shares else f"{unit} per inference")
    axes.set_xlim(0, 100 if shares else 1.06 * max(ends, default=0.0) or 1.0)
    axes.grid(axis="x")
    legend(axes)


def mark_unpriced(axes: Axes, ends: Sequence[tuple[int, float]]) -> None:
    """A question mark behind the bars (row, end) of which something has no price."""
    for i, end in ends:
        axes.annotate("?", (end, i), (4, 0), textcoords="offset points", color=VERMILION, va="center", fontsize=8,
                      fontweight="bold", annotation_clip=False)  # fmt: skip


@chart
def overview(table: Table) -> tuple[Figure, Table]:
    """Energies of very different size on one logarithmic axis, the value beside the name.

    ``table`` has columns ``name``, ``low_pj``, ``total_pj``, ``high_pj``, ``bounds``, ``unpriced``.
    """
    made, axes = figure(rows_height(len(table.rows), 0.5, 0.36))
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
    label_rows(axes, labels)
    axes.grid(axis="x")
    axes.hlines(
        [i + 0.5 for i in range(len(labels) - 1)], 0, 1, color=LINE, linewidth=0.4, transform=axes.get_yaxis_transform()
    )
    axes.set_xlabel("per inference, logarithmic")
    tip_rows(axes, [_told(record) for record in table.records()])
    return made, table


#: marker, its edge and face, and what it means, by what costs less
_LOOKS = {
    "snn": ("o", GREEN, GREEN, "measured, spiking costs less"),
    "ann": ("X", VERMILION, VERMILION, "measured, spiking costs more"),
    "even": ("D", INK, WHITE, "break-even"),
    "neither": ("s", SOFT, WHITE, "nothing spikes here"),
}


@chart
def break_even(table: Table) -> tuple[Figure, Table]:
    """Measured events per MAC against the break-even, one row a node."""
    columns = [table.column(column) for column in ("events_per_mac", "break_even_events_per_mac", "costs_less")]
    rows = list(enumerate(zip(*columns, strict=True)))
    positive = [number(cell) for cell in [*columns[0], *columns[1]] if number(cell) > 0]
    low, high = (min(positive) / 1.7, max(positive) * 1.7) if positive else (0.1, 10.0)
    points: dict[str, list[tuple[float, int]]] = {look: [] for look in _LOOKS}
    used = {str(cell) for cell in columns[2]} | {"even"}
    made, axes = figure(
        rows_height(len(rows), 0.6 + legend_height([text for look, (*_, text) in _LOOKS.items() if look in used]))
    )
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
    legend(axes, 1.0)
    told = (f"{name}\nevents per MAC: {_rate(events)}\nbreak-even: {_rate(limit)}" for name, events, limit, *_ in table.rows)
    tip_rows(axes, list(told))
    return made, table


def _rate(cell: Cell) -> str:
    return "none" if cell is None else units.figures(number(cell))
