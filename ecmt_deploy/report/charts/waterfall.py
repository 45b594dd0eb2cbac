"""From the papers' figure to what a chip pays: a bar for every cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecmt_deploy.report import units
from ecmt_deploy.report.charts.axes import figure, label_rows, legend, log_ticks, number, rows_height, tip_rows
from ecmt_deploy.report.charts.palette import BLUE, GREEN, INK, LINE, SOFT, VERMILION
from ecmt_deploy.report.charts.svg import chart
from ecmt_deploy.report.csv import Cell, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches of a row: two lines of text beside it
_ROW = 0.36


@chart
def waterfall(table: Table, papers_ann_pj: float) -> tuple[Figure, Table]:
    """The waterfall, see :func:`draw_waterfall`."""
    made, axes = figure(rows_height(len(table.rows) + 1, 0.85, _ROW))
    draw_waterfall(axes, table, papers_ann_pj)
    rows = table.records()
    told = [f"{units.CAUSES[str(row['cause'])]}: {_adds(row)}\nso far: {units.energy(number(row['total_pj']))}" for row in rows]
    tip_rows(axes, [*told, f"together: {units.energy(number(rows[-1]['total_pj']))}"])
    return made, table


def draw_waterfall(axes: Axes, table: Table, papers_ann_pj: float) -> None:
    """Bars from one total to the next on a logarithmic axis, what each adds beside its name, and the papers' ANN as a line.

    ``table`` is that of :func:`ecmt_deploy.report.data.waterfall`, with a total in every row.
    """
    rows = table.records()
    totals = [number(row["total_pj"]) for row in rows]
    shown = [value for value in (*totals, papers_ann_pj) if value > 0]
    low, high = min(shown) / 2.5, max(shown) * 1.6
    before = low
    for i, (row, total) in enumerate(zip(rows, totals, strict=True)):
        colour = BLUE if i == 0 else VERMILION if total >= before else GREEN
        if row["pj"] is not None:
            left, right = sorted((max(before, low), max(total, low)))
            axes.barh(i, right - left, left=left, height=0.6, color=colour)
        elif row["state"] == "unknown":
            axes.text(total * 1.06, i, "?", color=VERMILION, va="center", fontsize=10, fontweight="bold")
        axes.plot([total, total], [i - 0.3, i + 1.3], color=SOFT, linewidth=0.6)
        before = total
    axes.barh(len(rows), totals[-1] - low, left=low, height=0.6, color=BLUE)
    if papers_ann_pj > 0:
        axes.axvline(papers_ann_pj, color=INK, linestyle="--", linewidth=0.9, label="the papers' ANN, 4.6 pJ a MAC")
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    log_ticks(axes, units.energy_tick)
    labels = [f"{units.CAUSES[str(row['cause'])]}\n{_adds(row)}" for row in rows]
    more = "" if all(row["state"] in ("priced", "within") for row in rows) else " +"
    label_rows(axes, [*labels, f"together\n{units.energy(totals[-1])}{more}"])
    axes.hlines([i + 0.5 for i in range(len(rows))], 0, 1, color=LINE, linewidth=0.4, transform=axes.get_yaxis_transform())
    axes.grid(axis="x")
    axes.set_xlabel("energy so far, logarithmic")
    legend(axes)


def _adds(row: dict[str, Cell]) -> str:
    """What a cause adds, in words where that is no number."""
    if row["pj"] is None:
        return "unknown" if row["state"] == "unknown" else "in other prices"
    value = number(row["pj"])
    sign = "" if row["cause"] == "papers" else "+" if value >= 0 else "−"
    return f"{sign}{units.energy(abs(value))}{' +' if row['state'] == 'partly' else ''}"
