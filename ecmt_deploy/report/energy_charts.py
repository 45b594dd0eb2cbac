"""Charts of what a run costs: the views side by side, components, layers, break-even."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from ecmt_deploy.estimation import bound_mark
from ecmt_deploy.report.data import Cell, Table
from ecmt_deploy.report.palette import looks
from ecmt_deploy.report.svg import BLUE, GREEN, INK, LINE, SOFT, VERMILION, elided, figure, si, styled, svg
from ecmt_deploy.report.text import energy, energy_tick, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches of a row of bars, and of all of them at most: what a page of paper holds
ROW, TALLEST = 0.2, 8.5
#: by the sign before a sum: at most, at least, about
_MARKERS = {"": "o", "≤ ": "<", "≥ ": ">", "~ ": "D"}
#: units that a line of text needs
_TEXT = 9.5


class Chart(NamedTuple):
    """A chart and the numbers it shows; ``name`` is that of its CSV file and starts its ids."""

    name: str
    svg: Markup
    table: Table


def rows_figure(rows: int, extra: float, row: float = ROW) -> tuple[Figure, Axes]:
    """A figure for so many rows, thinner where there are many, with ``extra`` inches for axis and legend."""
    made, axes = figure(min(max(rows, 2) * row, TALLEST) + extra)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    return made, axes


def label_rows(axes: Axes, labels: Sequence[str], row: float = ROW) -> None:
    """Names beside rows, as many as there is room for."""
    every = max(int(-(-len(labels) * _TEXT // (72 * min(len(labels) * row, TALLEST)))), 1) if labels else 1
    shown = range(0, len(labels), every)
    axes.set_yticks(list(shown), [labels[i] for i in shown])


def bars(axes: Axes, left: Sequence[float], widths: Sequence[float], height: float, **style: Any) -> None:
    """Bars of one look, one a row, as one path: small files, quickly drawn."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    corners: list[tuple[float, float]] = []
    for row, (start, width) in enumerate(zip(left, widths, strict=True)):
        if width > 0:
            top, bottom, end = row - height / 2, row + height / 2, start + width
            corners += [(start, top), (end, top), (end, bottom), (start, bottom), (start, top)]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * (len(corners) // 5)
    axes.add_patch(PathPatch(Path(corners or [(0.0, 0.0)], codes or None), clip_on=False, **style))


def _ranges(axes: Axes, ranges: Sequence[tuple[int, float, float]]) -> None:
    """Lines from low to high in rows where these differ."""
    wide = [each for each in ranges if each[2] > each[1]]
    if not wide:
        return
    rows, lows, highs = zip(*wide, strict=True)
    axes.hlines(rows, lows, highs, color=INK, linewidth=0.9)
    axes.plot([*lows, *highs], [*rows, *rows], "|", color=INK, markersize=5)


def number(cell: Cell) -> float:
    """A number of a table; what is absent adds nothing to a bar."""
    return float(cell) if isinstance(cell, (int, float)) else 0.0


@styled
def stacked(name: str, alt: str, table: Table, key: str, shares: bool = False, row: float = ROW) -> Chart:
    """Stacked bars, one row of the table each, by component; with the range of the total where the table has it.

    Parameters
    ----------
    key : column with the names of the rows
    shares : as per cent of the row's sum, instead of energy
    """
    ends = ("low_pj", "total_pj", "high_pj")
    parts = [column.removesuffix("_pj") for column in table.header if column.endswith("_pj") and column not in ends]
    values = {part: [number(cell) for cell in table.column(f"{part}_pj")] for part in parts}
    sums = [sum(column) for column in zip(*values.values(), strict=True)] if parts else [0.0] * len(table.rows)
    highs = [number(cell) for cell in table.column("high_pj")] if "high_pj" in table.header else sums
    scale, unit = (1.0, "%") if shares else scale_of(max([*sums, *highs], default=0.0))
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
    label_rows(axes, [elided(str(cell)) for cell in table.column(key)], row)
    axes.set_xlabel("share of the energy, %" if shares else f"{unit} per inference")
    axes.set_xlim(0, 100 if shares else 1.03 * max([*left, *(high / scale for high in highs)], default=0.0) or 1.0)
    axes.grid(axis="x")
    if parts:
        made.legend(loc="outside upper left", ncols=4, handlelength=1.6, columnspacing=1.2)
    return Chart(name, svg(made, name, alt), table)


@styled
def overview(name: str, alt: str, table: Table) -> Chart:
    """Energies of very different size on one logarithmic axis, the value beside the name.

    ``table`` has columns ``name``, ``low_pj``, ``total_pj``, ``high_pj``, ``bounds``, ``unpriced``.
    """
    made, axes = rows_figure(len(table.rows), 0.5, 0.36)
    labels, seen, ranges = [], [], []
    for i, (label, low, value, high, bounds, unpriced) in enumerate(_bands(table)):
        if value is None:
            labels.append(f"{elided(label)}\nnot priced")
            continue
        labels.append(f"{elided(label)}\n{bound_mark(bounds.split())}{energy(value)}{' +' if unpriced else ''}")
        if value <= 0:
            continue
        low = max(value if low is None else low, value / 1e3)  # a logarithmic axis does not reach zero
        seen += [low, value, high or value]
        ranges.append((i, low, high or value))
        axes.plot([value], [i], _MARKERS[bound_mark(bounds.split())], color=BLUE, markersize=6.5)
    _ranges(axes, ranges)
    if seen:
        axes.set_xscale("log")
        axes.set_xlim(min(seen) / 1.6, max(seen) * 1.6)
        log_ticks(axes, energy_tick)
    axes.set_yticks(range(len(labels)), labels)
    axes.grid(axis="x")
    axes.hlines(
        [i + 0.5 for i in range(len(labels) - 1)], 0, 1, color=LINE, linewidth=0.4, transform=axes.get_yaxis_transform()
    )
    axes.set_xlabel("per inference, logarithmic")
    return Chart(name, svg(made, name, alt), table)


def _bands(table: Table) -> list[tuple[str, float | None, float | None, float | None, str, str]]:
    columns = [table.column(c) for c in ("name", "low_pj", "total_pj", "high_pj", "bounds", "unpriced")]
    return list(zip(*columns, strict=True))


def log_ticks(axes: Axes, text: Callable[[float], str]) -> None:
    """Ticks of a logarithmic x axis, denser where it is short, written by ``text``."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    subs = (1, 2, 3, 4, 5, 6, 8) if high / low < 8 else (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 200 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


#: marker, its edge and face, and what it means, by what costs less
_LOOKS = {
    "snn": ("o", GREEN, GREEN, "measured, spiking costs less"),
    "ann": ("X", VERMILION, VERMILION, "measured, spiking costs more"),
    "even": ("D", INK, "white", "break-even"),
    "neither": ("s", SOFT, "white", "nothing spikes here"),
}


@styled
def break_even(name: str, alt: str, table: Table) -> Chart:
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
    log_ticks(axes, si)
    axes.grid(axis="x")
    axes.set_xlabel("events per MAC, logarithmic")
    made.legend(loc="outside upper left", ncols=2, handlelength=1.0, columnspacing=1.2)
    return Chart(name, svg(made, name, alt), table)
