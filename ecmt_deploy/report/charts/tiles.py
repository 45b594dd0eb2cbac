"""Break-even over the size of the tiles that both sides of view (c) lie in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecmt_deploy.report import units
from ecmt_deploy.report.charts.axes import figure, legend, number, tip_points
from ecmt_deploy.report.charts.palette import BLUE, INK, WHITE
from ecmt_deploy.report.charts.svg import chart
from ecmt_deploy.report.csv import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@chart
def over_tiles(table: Table) -> tuple[Figure, Table]:
    """Break-even of the whole program and the events measured, a point a size; sizes that never break even have none."""
    made, axes = figure(2.5)
    sizes = [number(cell) for cell in table.column("tile_bytes")]
    evens = [(size, number(even)) for size, even in zip(sizes, table.column("break_even_events_per_mac"), strict=True)
             if even is not None]  # fmt: skip
    if evens:
        axes.plot(*zip(*evens, strict=True), marker="D", markersize=4, color=INK, markerfacecolor=WHITE, label="break-even")
    events = [number(cell) for cell in table.column("events_per_mac")]
    axes.plot(sizes, events, color=BLUE, linestyle="--", label="measured")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [units.size(size) for size in sizes])
    axes.set_xlabel("memory of a tile, KiB")
    axes.set_ylabel("events per MAC")
    axes.set_ylim(0, 1.15 * max([*events, *(even for _, even in evens)], default=1.0) or 1.0)
    axes.grid(axis="y")
    legend(axes)
    tip_points(axes, evens, [f"tiles of {units.size(size)} KiB\nbreak-even: {units.figures(even)}" for size, even in evens])
    return made, table
