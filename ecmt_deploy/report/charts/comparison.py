"""Charts of runs side by side: accuracy against steps, and against what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from ecmt_deploy.report.charts.axes import figure, legend, legend_height, log_ticks, number, tip_points
from ecmt_deploy.report.charts.palette import CYCLE, INK, SOFT
from ecmt_deploy.report.charts.svg import chart, elided
from ecmt_deploy.report.comparison import Point, pareto_front, points_table
from ecmt_deploy.report.csv import Table
from ecmt_deploy.report.units import interval_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: from how many points on their numbers of steps are no longer written beside them
CROWDED = 40
_LINES = ("-", "--", "-.", ":")
_MARKERS = {"accurate": "o", "paper": "s"}
_NAME = 34
_FRONT = "Pareto front, its points ringed"


def _styles(series: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and line of each series."""
    looks = [(colour, line) for line in _LINES for colour in CYCLE]
    return dict(zip(dict.fromkeys(series), cycle(looks), strict=False))


def _name(series: str, entries: int) -> str:
    return elided(series, _NAME if entries >= 4 else 2 * _NAME - 8)


def _accuracies(axes: Axes, shown: Sequence[float]) -> None:
    low = 100 * min(shown)
    axes.set_ylim(max(low - max(0.12 * (100 - low), 0.5), -2), 100.5 + 0.04 * (100 - low))
    axes.yaxis.set_major_formatter(lambda value, _: "" if value > 100 else f"{value:g}")
    axes.set_ylabel("accuracy, %")
    axes.grid()


@chart
def accuracies(table: Table) -> tuple[Figure, Table]:
    """Accuracy against steps, see :func:`draw_accuracies`."""
    series = list(dict.fromkeys(str(cell) for cell in table.column("series")))
    made, axes = figure(2.6 + legend_height([_name(each, len(series)) for each in series]))
    draw_accuracies(axes, table)
    points = [(number(row[1]), 100 * number(row[2])) for row in table.rows]
    tip_points(axes, points, [f"{name}\nT = {t}: {interval_of(*map(number, shares))}" for name, t, *shares, _ in table.rows])
    return made, table


def draw_accuracies(axes: Axes, table: Table) -> None:
    """Accuracy against steps, a line a series in the band of its intervals; thin lines are the analog models'."""
    lines: dict[str, list[tuple[float, ...]]] = {}
    analog: dict[str, float] = {}
    for series, t, *shares, of_analog in table.rows:
        lines.setdefault(str(series), []).append((number(t), *(100 * number(share) for share in shares)))
        if of_analog is not None:
            analog[str(series)] = number(of_analog)
    styles = _styles(list(lines))
    for i, (series, points) in enumerate(lines.items()):
        colour, line = styles[series]
        steps, right, low, high = zip(*points, strict=True)
        axes.fill_between(steps, low, high, color=colour, alpha=0.1, linewidth=0)
        axes.plot(steps, right, color=colour, linestyle=line, marker="osD^vP"[i % 6], markersize=4,
                  label=_name(series, len(lines)))  # fmt: skip
        if series in analog:
            axes.axhline(100 * analog[series], color=colour, linestyle=line, linewidth=0.6)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("time step T")
    _accuracies(axes, [*analog.values(), *(low / 100 for points in lines.values() for *_, low, _ in points)])
    legend(axes, 2.2)


@chart
def against_cost(points: Sequence[Point], column: str, label: str, text: Callable[[float], str]) -> tuple[Figure, Table]:
    """Accuracy against cost, see :func:`draw_against_cost`."""
    entries = list(dict.fromkeys([*(point.series for point in points), *(point.preset for point in points), "Pareto front"]))
    made, axes = figure(2.9 + legend_height([_FRONT, *(_name(each, len(entries)) for each in entries)]))
    draw_against_cost(axes, points, label, text)
    told = [f"{p.label}\nT = {p.timesteps}: {interval_of(p.accuracy, p.accuracy_low, p.accuracy_high)}\n{text(p.cost)} {label}"
            for p in points]  # fmt: skip
    tip_points(axes, [(point.cost, 100 * point.accuracy) for point in points], told)
    return made, points_table(points, column)


def draw_against_cost(axes: Axes, points: Sequence[Point], label: str, text: Callable[[float], str]) -> None:
    """Accuracy with its interval against cost: a marker a preset, a line a series, the front in steps, its points ringed."""
    series = list(dict.fromkeys(point.series for point in points))
    presets = list(dict.fromkeys(point.preset for point in points))
    entries = len(series) + len(presets) + 1
    styles = _styles(series)
    markers = {preset: _MARKERS.get(preset, "D^vP"[i % 4]) for i, preset in enumerate(presets)}
    costs = [point.cost for point in points]
    logarithmic = min(costs) > 0 and max(costs) > 8 * min(costs)
    if logarithmic:
        axes.set_xscale("log")
    front = pareto_front([(point.cost, point.accuracy) for point in points])
    best = [points[i].cost for i in front], [100 * points[i].accuracy for i in front]
    axes.step(*best, where="post", color=INK, linewidth=2.4, alpha=0.25, label=_FRONT)
    for each in series:
        mine = sorted((point for point in points if point.series == each), key=lambda point: point.timesteps)
        colour, line = styles[each]
        axes.vlines([p.cost for p in mine], [100 * p.accuracy_low for p in mine], [100 * p.accuracy_high for p in mine],
                    color=colour, linewidth=0.8, alpha=0.5)  # fmt: skip
        axes.plot([p.cost for p in mine], [100 * p.accuracy for p in mine], color=colour, linestyle=line, linewidth=1,
                  label=_name(each, entries))  # fmt: skip
        for preset in presets:
            alike = [(p.cost, 100 * p.accuracy) for p in mine if p.preset == preset]
            axes.plot([x for x, _ in alike], [y for _, y in alike], markers[preset], color=colour, markersize=5)
    axes.plot(*best, "o", color="none", markersize=9, markeredgecolor=INK)
    for preset in presets:
        axes.plot([], [], color="none", marker=markers[preset], markersize=5, markerfacecolor=SOFT, markeredgecolor=SOFT,
                  label=f"preset {elided(preset)}")  # fmt: skip
    if len(points) <= CROWDED:
        for p in points:
            axes.annotate(
                f"{p.timesteps}", (p.cost, 100 * p.accuracy), (4, -9), textcoords="offset points", fontsize=7, color=SOFT
            )
    if logarithmic:
        axes.set_xlim(min(costs) / 1.15, max(costs) * 1.15)
        log_ticks(axes, text)
    else:
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: text(value))
    axes.set_xlabel(f"{label}, logarithmic" if logarithmic else label)
    _accuracies(axes, [point.accuracy_low for point in points])
    legend(axes, 2.2)
