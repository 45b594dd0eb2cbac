"""What charts are drawn with: figures, rows of bars, ticks, legends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ecmt_deploy.report.csv import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches of a row of bars, and of all of them at most: what a sheet of paper holds, if the style does not say more
ROW, TALLEST = 0.2, 8.5
#: begins the id of a mark that carries the text of a tooltip
TIP = "tip:"
#: units that a line of text needs
_TEXT = 9.5
#: inches of a line of a legend
_LEGEND_LINE = 0.18


def width() -> float:
    """Inches of a figure, as the style says."""
    import matplotlib

    return float(matplotlib.rcParams["figure.figsize"][0])


def figure(height: float) -> tuple[Figure, Axes]:
    """An empty figure as wide as the style says with one set of axes; height in inches."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width(), height), layout="constrained")
    return made, made.add_subplot()


def panels(heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """An empty figure with axes above one another that share what is along them; heights in inches."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width(), sum(heights)), layout="constrained")
    axes = made.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights))
    return made, list(axes[:, 0])


def rows_height(rows: int, extra: float, row: float = ROW) -> float:
    """Inches for so many rows, thinner where there are many, with ``extra`` inches for axis and legend."""
    import matplotlib

    return min(max(rows, 2) * row, max(TALLEST, matplotlib.rcParams["figure.figsize"][1])) + extra


def label_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Rows from the top down with names beside them, on one line where there are many, and as many as there is room for."""
    lines = 1 + max((label.count("\n") for label in labels), default=0)
    room = 72 * inches(axes)[1] / _TEXT
    if len(labels) * lines > room:
        labels, lines = [label.replace("\n", ": ") for label in labels], 1
    every = max(ceil(len(labels) * lines / room), 1)
    shown = range(0, len(labels), every)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
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


def legend_height(labels: Sequence[str]) -> float:
    """Inches that a legend of these labels takes above a figure of the style's width."""
    return _LEGEND_LINE * ceil(len(labels) / _columns(labels, width())) if labels else 0.0


def legend(axes: Axes, handlelength: float = 1.6) -> None:
    """What the marks of ``axes`` mean, above them: from the left edge of a figure that holds nothing else, else of the axes."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return
    made: Any = axes.figure
    style: dict[str, Any] = {"handlelength": handlelength, "columnspacing": 1.2}
    if made.axes == [axes] and isinstance(made.get_layout_engine(), ConstrainedLayoutEngine):
        for earlier in made.legends:
            earlier.remove()
        made.legend(loc="outside upper left", ncols=_columns(labels, made.bbox.width / made.dpi), **style)
    else:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0.2,
            ncols=_columns(labels, inches(axes)[0]),
            frameon=False,
            **style,
        )


def inches(axes: Axes) -> tuple[float, float]:
    """Width and height of axes, before they are laid out."""
    extent, dpi = axes.get_window_extent(), axes.figure.dpi
    return extent.width / dpi, extent.height / dpi


def _columns(labels: Sequence[str], inches: float) -> int:
    """Columns of a legend that fit."""
    import matplotlib
    from matplotlib.font_manager import FontProperties

    units = FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()
    each = units * (0.6 * max(map(len, labels)) + 3.6)
    return min(len(labels), max(int((72 * inches - 8) / each), 1))


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


def tip(text: str) -> str:
    """The id of a mark that makes a page show ``text`` where the pointer rests on it."""
    return f"{TIP}{quote(text)}"


def tip_rows(axes: Axes, texts: Sequence[str]) -> None:
    """What a page shows of a row that the pointer rests on; unseen elsewhere."""
    from matplotlib.patches import Rectangle

    for i, text in enumerate(texts):
        axes.add_patch(
            Rectangle((0, i - 0.5), 1, 1, transform=axes.get_yaxis_transform(), fill=False, linewidth=0, gid=tip(text))
        )


def tip_columns(axes: Axes, places: Sequence[float], texts: Sequence[str]) -> None:
    """What a page shows of a place along the axis, such as a frame, that the pointer rests above; unseen elsewhere."""
    from matplotlib.patches import Rectangle

    middles = [(a + b) / 2 for a, b in pairwise(places)]
    before, after = (middles[0] - places[0], places[-1] - middles[-1]) if middles else (0.5, 0.5)
    lefts, rights = [places[0] - abs(before), *middles], [*middles, places[-1] + after]
    for left, right, text in zip(lefts, rights, texts, strict=True):
        column = Rectangle((left, 0), right - left, 1, transform=axes.get_xaxis_transform())
        column.set(fill=False, linewidth=0, zorder=5, gid=tip(text))  # above the lines
        axes.add_artist(column)


def tip_points(axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """What a page shows of a point that the pointer rests on; unseen elsewhere."""
    for (x, y), text in zip(points, texts, strict=True):
        axes.plot([x], [y], "o", color="none", markersize=11, label="_", gid=tip(text))
