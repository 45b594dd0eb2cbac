"""Charts of what was probed: a raster of a node, and the membrane of one of its neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecmt_deploy.report.charts.axes import figure, legend, tip_points
from ecmt_deploy.report.charts.palette import BLUE, GREEN, INK, SOFT, VERMILION
from ecmt_deploy.report.charts.svg import Chart, chart
from ecmt_deploy.report.csv import Table
from ecmt_deploy.report.probed import Membrane, ProbedNode, Raster
from ecmt_deploy.report.units import figures, tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FIRES = "a spike above, or below"
#: points from which on they are no longer marked one by one
_CROWDED = 120


def of_node(name: str, found: ProbedNode) -> list[tuple[Chart, Raster | Membrane]]:
    """The charts of a node and what each shows: spikes, one neuron's membrane, and all others'; the membranes on one scale."""
    one, membranes = found.membrane, [raster.largest for raster in found.rasters if raster.kind == "membrane"]
    limit = max(membranes, default=0.0)
    drawn: list[tuple[Chart, Raster | Membrane]] = []
    for each in found.rasters:
        alt = f"{each.kind} of {each.node}, neurons over samples and steps, in {each.unit}"
        shared = limit if each.kind == "membrane" else 0.0
        drawn.append((raster(f"{name}-{each.kind}", alt, each, shared, one.neuron if one else None), each))
    if one:
        alt = f"Membrane of neuron {one.neuron} of {one.node} against time, in {one.unit}"
        place = next((i for i, (_, each) in enumerate(drawn, start=1) if each is not one), 0)
        drawn.insert(place, (membrane(f"{name}-neuron", alt, one, limit), one))
    return drawn


@chart
def raster(probe: Raster, limit: float, neuron: int | None) -> tuple[Figure, Table]:
    """Neurons over samples and steps, see :func:`draw_raster`."""
    made, axes = figure(2.8)
    draw_raster(axes, probe, limit, neuron)
    return made, probe.table()


def draw_raster(axes: Axes, probe: Raster, limit: float = 0.0, neuron: int | None = None) -> None:
    """Neurons over (sample, step): spikes by sign and size, or the membrane; a line between samples, and a scale.

    Parameters
    ----------
    limit : both ends of the scale, by default the largest value
    neuron : one to be pointed at from the right edge
    """
    from matplotlib.colors import FuncNorm, LinearSegmentedColormap, Normalize, to_rgba

    image = np.asarray(probe.rows)
    limit = limit or probe.largest or 1.0
    ends = [to_rgba(VERMILION), to_rgba(VERMILION, 0.0), to_rgba(BLUE, 0.0), to_rgba(BLUE)]  # clear where nothing is
    colours = LinearSegmentedColormap.from_list("signed", list(zip((0.0, 0.5, 0.5, 1.0), ends, strict=True)))
    norm = Normalize(-limit, limit)
    if probe.kind == "spikes":  # small spikes stay visible beside large ones
        norm = FuncNorm((lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2), -limit, limit)
    extent = (0.5, image.shape[1] + 0.5, probe.neurons - 0.5, -0.5)
    drawn = axes.imshow(image, aspect="auto", interpolation="none", cmap=colours, norm=norm, extent=extent)
    if neuron is not None:
        edge = axes.get_yaxis_transform()
        axes.plot([1.0], [neuron], marker=4, color=INK, markersize=5, clip_on=False, transform=edge, zorder=3)
    _samples(axes, image.shape[1], probe.timesteps)
    axes.set_ylabel("neuron")
    axes.locator_params(axis="y", integer=True)
    bar = axes.figure.colorbar(drawn, ax=axes, location="top", aspect=40, pad=0.02, ticks=[-limit, 0, limit])
    bar.ax.set_xticklabels([figures(value, 2) for value in (-limit, 0.0, limit)])
    bar.set_label(f"{'size of a spike' if probe.kind == 'spikes' else probe.kind}, {probe.unit}")
    bar.outline.set_linewidth(0)


def _samples(axes: Axes, columns: int, timesteps: int) -> None:
    """Samples one behind another: ticks, and a line between two of them."""
    samples = columns // timesteps
    for start in range(timesteps, columns, timesteps):
        axes.axvline(start + 0.5, color=SOFT, linewidth=0.5)
    axes.set_xlim(0.5, columns + 0.5)
    if samples == 1:
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("time step t")
    else:
        axes.set_xticks([timesteps * (i + 0.5) + 0.5 for i in range(samples)], [str(i + 1) for i in range(samples)])
        axes.set_xlabel(f"sample, each with steps 1 to {timesteps}")


@chart
def membrane(probe: Membrane, limit: float) -> tuple[Figure, Table]:
    """The membrane of one neuron, see :func:`draw_membrane`."""
    made, axes = figure(2.8)
    draw_membrane(axes, probe, limit)
    points = [(i + 1.0, value) for i, value in enumerate(probe.values)]
    told = [
        f"sample {i // probe.timesteps + 1}, t = {i % probe.timesteps + 1}: {value:.4g} {probe.unit}"
        for i, value in enumerate(probe.values)
    ]
    tip_points(axes, points, told)
    return made, probe.table()


def draw_membrane(axes: Axes, probe: Membrane, limit: float = 0.0) -> None:
    """The membrane of one neuron against time, sample behind sample, between the thresholds of its smallest spikes.

    Parameters
    ----------
    limit : both ends of the scale; by default what is there decides
    """
    marker = "o" if len(probe.values) <= _CROWDED else ""
    for start in range(0, len(probe.values), probe.timesteps):
        steps = range(start + 1, start + probe.timesteps + 1)
        axes.plot(steps, probe.values[start : start + probe.timesteps], color=BLUE, marker=marker, markersize=3, linewidth=1,
                  label="_" if start else f"neuron {probe.neuron:,} of {probe.neurons:,}")  # fmt: skip
    axes.axhline(0, color=SOFT, linewidth=0.6)
    for threshold, label in ((probe.fires_above, _FIRES), (probe.fires_below, "_")):
        if threshold is not None:
            axes.axhline(threshold, color=GREEN, linestyle="--", linewidth=1, label=label)
    _samples(axes, len(probe.values), probe.timesteps)
    if limit:
        axes.set_ylim(-limit, limit)
    axes.set_ylabel(f"membrane, {probe.unit}")
    axes.yaxis.set_major_formatter(lambda value, _: tick(value))
    axes.locator_params(axis="y", nbins=6)
    axes.grid(axis="y")
    legend(axes, 2.0)
