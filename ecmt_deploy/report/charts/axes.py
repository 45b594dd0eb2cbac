"""What charts are drawn with: figures, rows of bars, ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ecmt_deploy.report.csv import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches, 72 units each: as narrow as a phone, where text of 8 units is then 8 px
WIDTH = 4.7
#: inches of a row of bars, and of all of them at most: what a page of paper holds
ROW, TALLEST = 0.2, 8.5
#: units that a line of text needs
_TEXT = 9.5


def figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty figure with one set of axes; sizes in inches."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.add_subplot()


def panels(heights: Sequence[float], width: float = WIDTH) -> tuple[Figure, list[Axes]]:
    """An empty figure with axes above one another that share what is along them; sizes in inches."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, sum(heights)), layout="constrained")
    axes = made.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights))
    return made, list(axes[:, 0])


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


def number(cell: Cell) -> float:
    """A number of a table; what is absent adds nothing to a bar."""
    return float(cell) if isinstance(cell, (int, float)) else 0.0


def log_ticks(axes: Axes, text: Callable[[float], str]) -> None:
    """Ticks of a logarithmic x axis, denser where it is short, written by ``text``."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    subs = (1, 2, 3, 4, 5, 6, 8) if high / low < 8 else (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 200 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
