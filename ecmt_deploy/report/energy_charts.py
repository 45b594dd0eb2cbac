"""Charts of what a run costs: the views side by side, components, layers, break-even."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from ecmt_deploy.report.data import Cell, Table
from ecmt_deploy.report.palette import looks
from ecmt_deploy.report.svg import BLUE, GREEN, INK, LINE, SOFT, VERMILION, elided, figure, si, styled, svg
from ecmt_deploy.report.text import energy, energy_tick, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches of a row of bars, and of all of them at most: what a page of paper holds
ROW, TALLEST = 0.2, 8.5
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


def number(cell: Cell) -> float:
    """A number of a table; what is absent adds nothing to a bar."""
    return float(cell) if isinstance(cell, (int, float)) else 0.0


@styled
def stacked(
    name: str, alt: str, table: Table, key: str, shares: bool = False, row: float = ROW, band: bool = True, suffix: str = "_pj"
) -> Chart:
    """Stacked bars, one row of the table each, by component; with the range of the total where the table has it.

    Parameters
    ----------
    key : column with the names of the rows
    shares : as per cent of the row's sum, instead of energy
    """
    ends = ("low_pj", "total_pj", "high_pj")
    parts = [column.removesuffix(suffix) for column in table.header if column.endswith(suffix) and column not in ends]
    values = {part: [number(cell) for cell in table.column(f"{part}{suffix}")] for part in parts}
    sums = [sum(column) for column in zip(*values.values(), strict=True)] if parts else [0.0] * len(table.rows)
    highs = [number(cell) for cell in table.column("high_pj")] if band and "high_pj" in table.header else sums
    scale, unit = (1.0, "%") if shares else scale_of(max([*sums, *highs], default=0.0))
    legend_rows = -(-len(parts) // 4)
    made, axes = rows_figure(len(table.rows), 0.6 + 0.2 * legend_rows, row)
    left = [0.0] * len(table.rows)
    styles = looks(parts)
    for part in parts:
        colour, hatch, edge = styles[part]
        drawn = [v / (s or 1.0) * 100 if shares else v / scale for v, s in zip(values[part], sums, strict=True)]
        some = [i for i, width in enumerate(drawn) if width > 0]
        axes.barh(some, [drawn[i] for i in some], left=[left[i] for i in some], color=colour, hatch=hatch, height=0.76,
                  edgecolor=edge, linewidth=0.4, clip_on=False, label=part.replace("_", " "))  # fmt: skip
        left = [a + b for a, b in zip(left, drawn, strict=True)]
    if band and not shares and "low_pj" in table.header:
        lows = [number(cell) for cell in table.column("low_pj")]
        for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
            if high > low:
                axes.plot([low / scale, high / scale], [i, i], color=INK, linewidth=0.9, marker="|", markersize=4)
    label_rows(axes, [elided(str(cell)) for cell in table.column(key)], row)
    axes.set_xlabel("share of the energy, %" if shares else f"{unit} per inference")
    axes.set_xlim(0, 100 if shares else None)
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
    labels, seen = [], []
    for i, (label, low, value, high, bounds, unpriced) in enumerate(_bands(table)):
        if value is None:
            labels.append(f"{elided(label)}\nnot priced")
            continue
        labels.append(f"{elided(label)}\n{bound_sign(bounds)}{energy(value)}{' +' if unpriced else ''}")
        seen += [v for v in (low, value, high) if v and v > 0]
        if value <= 0:
            continue
        if low is not None and high is not None and high > low:
            axes.plot([max(low, value / 1e3), high], [i, i], color=INK, linewidth=1.2, marker="|", markersize=7)
        axes.plot([value], [i], color=BLUE, marker=_marker(bounds), markersize=6.5)
    if seen:
        axes.set_xscale("log")
        axes.set_xlim(min(seen) / 1.6, max(seen) * 1.6)
        log_ticks(axes, energy_tick)
    axes.set_yticks(range(len(labels)), labels)
    axes.grid(axis="x")
    for i in range(len(labels)):
        axes.axhline(i + 0.5, color=LINE, linewidth=0.4)
    axes.set_xlabel("per inference, logarithmic")
    return Chart(name, svg(made, name, alt), table)


def _bands(table: Table) -> list[tuple[str, float | None, float | None, float | None, str, str]]:
    columns = [table.column(c) for c in ("name", "low_pj", "total_pj", "high_pj", "bounds", "unpriced")]
    return list(zip(*columns, strict=True))  # type: ignore[arg-type]


def bound_sign(bounds: str) -> str:
    """Sign before a sum whose prices have these bounds."""
    from ecmt_deploy.pricing import bound_mark

    return bound_mark(bounds.split())


def _marker(bounds: str) -> str:
    return {"": "o", "≤ ": "<", "≥ ": ">", "~ ": "D"}[bound_sign(bounds)]


def log_ticks(axes: Axes, text: Callable[[float], str]) -> None:
    """Ticks of a logarithmic x axis, denser where it is short, written by ``text``."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    subs = (1, 2, 3, 4, 5, 6, 8) if high / low < 8 else (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 200 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


@styled
def break_even(name: str, alt: str, table: Table) -> Chart:
    """Measured events per MAC (dot) against the break-even (diamond), one row a node."""
    measured, even = table.column("events_per_mac"), table.column("break_even_events_per_mac")
    positive = [number(cell) for cell in [*measured, *even] if number(cell) > 0 and isfinite(number(cell))]
    made, axes = rows_figure(len(table.rows), 0.95)
    low, high = (min(positive) / 1.7, max(positive) * 1.7) if positive else (0.1, 10.0)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    looks = {
        "snn": ("o", GREEN, GREEN, "measured, spiking costs less"),
        "ann": ("X", VERMILION, VERMILION, "measured, spiking costs more"),
        "even": ("D", INK, "white", "break-even"),
        "neither": ("s", SOFT, "white", "nothing spikes here"),
    }
    for i, (events, limit, wins) in enumerate(zip(measured, even, table.column("costs_less"), strict=True)):
        if events is None:
            continue
        marker, edge, face, _ = looks[str(wins)]
        x = max(number(events), low)
        if limit is not None:
            line = "-" if wins == "snn" else ":"
            axes.plot([x, max(number(limit), low)], [i, i], color=edge, linewidth=1.4, linestyle=line)
            axes.plot([max(number(limit), low)], [i], "D", markersize=4, color="white", markeredgecolor=INK, clip_on=False)
        axes.plot([x], [i], marker, markersize=4.5, color=face, markeredgecolor=edge, clip_on=False)
    for marker, edge, face, text in looks.values():
        axes.plot([], [], marker, markersize=4.5, color=face, markeredgecolor=edge, label=text)
    label_rows(axes, [elided(str(cell)) for cell in table.column("node")])
    log_ticks(axes, si)
    axes.grid(axis="x")
    axes.set_xlabel("events per MAC, logarithmic")
    made.legend(loc="outside upper left", ncols=2, handlelength=1.0, columnspacing=1.2)
    return Chart(name, svg(made, name, alt), table)


@styled
def bars(name: str, alt: str, table: Table, key: str, column: str, label: str) -> Chart:
    """Plain bars of one column."""
    made, axes = rows_figure(len(table.rows), 0.45)
    axes.barh(range(len(table.rows)), [number(cell) for cell in table.column(column)], color=BLUE, height=0.72, clip_on=False)
    label_rows(axes, [elided(str(cell)) for cell in table.column(key)])
    axes.set_xlabel(label)
    axes.set_xlim(left=0)
    axes.grid(axis="x", color=LINE)
    axes.tick_params(colors=SOFT, labelcolor=INK)
    return Chart(name, svg(made, name, alt), table)
