"""Charts of a run itself: accuracy, errors along the program, probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ecmt_deploy.report import data, units
from ecmt_deploy.report.charts.axes import bars, figure, label_rows, number, rows_figure
from ecmt_deploy.report.charts.palette import BLUE, INK, VERMILION
from ecmt_deploy.report.charts.svg import chart, elided
from ecmt_deploy.report.csv import Table
from ecmt_deploy.report.model import AccuracyCurve, Raster
from ecmt_deploy.simulation.traces import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@chart
def accuracy(curve: AccuracyCurve) -> tuple[Figure, Table]:
    """Accuracy against steps, with the analog model's where it is known."""
    made, axes = figure(2.5)
    steps = list(range(1, len(curve.accuracy) + 1))
    table = data.accuracy(curve)
    low, high = ([100 * number(end) for end in table.column(name)] for name in ("accuracy_low", "accuracy_high"))
    axes.fill_between(steps, low, high, color=BLUE, alpha=0.15, linewidth=0, label="its 95 % interval")
    axes.plot(steps, [100 * a for a in curve.accuracy], marker="o", markersize=4, color=BLUE, label="spiking")
    shown = list(curve.accuracy)
    if curve.analog_accuracy is not None:
        shown.append(curve.analog_accuracy)
        axes.axhline(100 * curve.analog_accuracy, color=VERMILION, linestyle="--", label="analog model")
    axes.set_xlabel("time step T")
    axes.set_ylabel("accuracy, %")
    axes.set_xticks(steps[:: max(len(steps) // 12, 1)])
    least = min(100 * min(shown), *low)
    axes.set_ylim(max(least - max(0.3 * (100 - least), 1), 0), 100.4)
    axes.legend(loc="lower right")
    axes.grid(axis="y")
    return made, table


@chart
def rates(spike_rates: Mapping[str, float]) -> tuple[Figure, Table]:
    """Spikes per neuron and step, a bar a layer."""
    made, axes = rows_figure(len(spike_rates), 0.45)
    widths = list(spike_rates.values())
    bars(axes, [0.0] * len(widths), widths, 0.72, facecolor=BLUE, linewidth=0)
    label_rows(axes, [elided(layer) for layer in spike_rates])
    axes.set_xlabel("spikes per neuron and step")
    axes.set_xlim(0, 1.03 * max(widths, default=0.0) or 1.0)
    axes.grid(axis="x")
    return made, data.rates(spike_rates)


@chart
def trace(measured: Trace) -> tuple[Figure, Table]:
    """Relative error along the program, one line a step, lighter for earlier ones."""
    made, axes = figure(2.6)
    positions = list(range(len(measured.nodes)))
    shown = sorted({1, 2, max(measured.timesteps // 2, 1), measured.timesteps} & set(range(1, measured.timesteps + 1)))
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
    axes.legend(ncols=len(shown), loc="best")
    axes.grid(axis="y")
    return made, data.trace(measured)


@chart
def raster(probe: Raster) -> tuple[Figure, Table]:
    """Neurons over (sample, step): spikes by sign and size, or the membrane; a line between samples."""
    made, axes = figure(2.8)
    image = np.asarray(probe.rows)
    limit = float(np.abs(image).max()) or 1.0
    shade = image / limit
    if probe.kind == "spikes":
        shade = np.sign(shade) * np.sqrt(np.abs(shade))  # small spikes stay visible beside large ones
    axes.imshow(
        shade, aspect="auto", interpolation="none", cmap="RdBu", vmin=-1, vmax=1,
        extent=(0.5, image.shape[1] + 0.5, probe.neurons - 0.5, -0.5),
    )  # fmt: skip
    for start in range(probe.timesteps, image.shape[1], probe.timesteps):
        axes.axvline(start + 0.5, color=INK, linewidth=0.5)
    samples = image.shape[1] // probe.timesteps
    axes.set_xticks([probe.timesteps * (i + 0.5) + 0.5 for i in range(samples)], [str(i + 1) for i in range(samples)])
    axes.set_xlabel(f"sample, each with steps 1 to {probe.timesteps}")
    axes.set_ylabel("neuron")
    return made, data.raster(probe)
