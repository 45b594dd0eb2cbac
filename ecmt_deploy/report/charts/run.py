"""Charts of a run itself: accuracy, spikes, events, errors along the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ecmt_deploy.report import data, units
from ecmt_deploy.report.charts.axes import (
    bars,
    figure,
    label_rows,
    legend,
    legend_height,
    number,
    rows_height,
    tip_columns,
    tip_points,
    tip_rows,
)
from ecmt_deploy.report.charts.palette import BLUE, VERMILION, WHITE
from ecmt_deploy.report.charts.svg import chart, elided
from ecmt_deploy.report.csv import Table
from ecmt_deploy.report.model import AccuracyCurve
from ecmt_deploy.simulation.traces import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INTERVAL = "95 % interval"
_MANY = ((1e9, "billions "), (1e6, "millions "), (1e3, "thousands "), (1.0, ""))


@chart
def accuracy(curve: AccuracyCurve) -> tuple[Figure, Table]:
    """Accuracy against steps, see :func:`draw_accuracy`."""
    made, axes = figure(2.5 + legend_height(["spiking", _INTERVAL, "analog model"]))
    draw_accuracy(axes, curve)
    table = data.accuracy(curve)
    told = [f"T = {t}: {units.accuracy(number(right), curve.n_samples)} %" for t, right, *_ in table.rows]
    tip_points(axes, [(number(t), 100 * number(right)) for t, right, *_ in table.rows], told)
    return made, table


def draw_accuracy(axes: Axes, curve: AccuracyCurve) -> None:
    """Accuracy against steps in the band of its interval, with the analog model's as a line where it is known."""
    table = data.accuracy(curve)
    steps, right, low, high = ([number(cell) for cell in table.column(name)] for name in table.header[:4])
    right, low, high = ([100 * share for share in shares] for shares in (right, low, high))
    axes.plot(steps, right, marker="o", markersize=4, color=BLUE, label="spiking")
    axes.fill_between(steps, low, high, color=BLUE, alpha=0.15, linewidth=0, label=_INTERVAL)
    axes.vlines(steps, low, high, color=BLUE, linewidth=1, alpha=0.35)
    shown = [*right, *low]
    if curve.analog_accuracy is not None:
        shown.append(100 * curve.analog_accuracy)
        axes.axhline(100 * curve.analog_accuracy, color=VERMILION, linestyle="--", label="analog model")
    axes.set_xlabel("time step T")
    axes.set_ylabel("accuracy, %")
    axes.set_xticks(steps[:: max(len(steps) // 12, 1)])
    least = min(shown)
    axes.set_ylim(max(least - max(0.1 * (100 - least), 1), 0), 100.4)
    axes.grid(axis="y")
    legend(axes)


@chart
def rates(spike_rates: Mapping[str, float]) -> tuple[Figure, Table]:
    """Spikes per neuron and step, a bar a layer."""
    made, axes = figure(rows_height(len(spike_rates), 0.45))
    widths = list(spike_rates.values())
    bars(axes, [0.0] * len(widths), widths, 0.72, facecolor=BLUE, linewidth=0)
    label_rows(axes, [elided(layer) for layer in spike_rates])
    axes.set_xlabel("spikes per neuron and step")
    axes.set_xlim(0, 1.03 * max(widths, default=0.0) or 1.0)
    axes.grid(axis="x")
    tip_rows(axes, [f"{layer}\n{units.figures(rate)} spikes per neuron and step" for layer, rate in spike_rates.items()])
    return made, data.rates(spike_rates)


@chart
def events(table: Table) -> tuple[Figure, Table]:
    """Events of every layer, see :func:`draw_events`."""
    made, axes = figure(rows_height(len(table.rows), 0.45 + legend_height(["synaptic events", "analog MACs"])))
    draw_events(axes, table)
    tip_rows(axes, [
        f"{layer}\n{units.count(number(synops))} synaptic events\n{units.count(number(macs))} analog MACs\n"
        f"{units.count(number(dense))} MACs of the ANN"
        for layer, synops, macs, dense in table.rows
    ])  # fmt: skip
    return made, table


def draw_events(axes: Axes, table: Table) -> None:
    """Synaptic events and analog multiply-accumulates per inference, a bar a layer; ``table`` as :func:`data.events`."""
    columns = {"synops": (BLUE, "", "synaptic events"), "macs": (VERMILION, "\\\\\\\\", "analog MACs")}
    left = [0.0] * len(table.rows)
    counts = {name: [number(cell) for cell in table.column(name)] for name in columns}
    scale, unit = units.scale_of(max(map(sum, zip(*counts.values(), strict=True)), default=0.0), _MANY)
    for name, (colour, hatch, label) in columns.items():
        if not any(counts[name]):
            continue
        widths = [count / scale for count in counts[name]]
        bars(axes, left, widths, 0.76, facecolor=colour, hatch=hatch, edgecolor=WHITE, linewidth=0.4, label=label)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    label_rows(axes, [elided(str(cell)) for cell in table.column("layer")])
    axes.set_xlabel(f"{unit}per inference")
    axes.set_xlim(0, 1.03 * max(left, default=0.0) or 1.0)
    axes.grid(axis="x")
    legend(axes)


@chart
def trace(measured: Trace) -> tuple[Figure, Table]:
    """Relative error along the program, see :func:`draw_trace`."""
    made, axes = figure(2.6 + legend_height([f"T = {t}" for t in _shown_steps(measured)]))
    draw_trace(axes, measured)
    told = [
        "\n".join([node.node, *(f"T = {t}: {units.percent(node.relative_error[t - 1])}" for t in _shown_steps(measured))])
        for node in measured.nodes
    ]
    tip_columns(axes, range(len(told)), told)
    return made, data.trace(measured)


def _shown_steps(measured: Trace) -> list[int]:
    steps = measured.timesteps
    return sorted({1, 2, max(steps // 2, 1), steps} & set(range(1, steps + 1)))


def draw_trace(axes: Axes, measured: Trace) -> None:
    """Relative error along the program, one line a step, lighter for earlier ones."""
    positions, shown = list(range(len(measured.nodes))), _shown_steps(measured)
    for i, t in enumerate(shown):
        errors = [max(node.relative_error[t - 1], 1e-9) for node in measured.nodes]
        style = (":", "-.", "--", "-")[i - len(shown)]
        axes.plot(positions, errors, color=BLUE, alpha=(i + 1) / len(shown), linewidth=1.2, linestyle=style, label=f"T = {t}")
    axes.set_yscale("log")
    last = [node.relative_error[-1] for node in measured.nodes if node.relative_error[-1] > 0]
    axes.set_ylim(bottom=max(min(last, default=1e-6) / 2, 1e-6))
    axes.yaxis.set_major_formatter(lambda value, _: units.tick(value))
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set_xlabel("node, in the order of the program")
    axes.set_ylabel("relative error")
    axes.grid(axis="y")
    legend(axes, 2.2)
