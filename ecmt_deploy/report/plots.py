"""Charts of results on the axes of matplotlib, for notebooks and for figures of one's own.

Every function draws on ``axes``, or on a new figure of pyplot where none are given, in the style that is set, and returns the
axes. ``with style():`` sets that of the pages, ``with style("paper"):`` that of a column of a paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.estimation.result import Energy
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.report import comparison as compare
from ecmt_deploy.report import data, stream_data, units
from ecmt_deploy.report.charts import comparison as comparison_charts
from ecmt_deploy.report.charts import energy as energy_charts
from ecmt_deploy.report.charts import probes as probe_charts
from ecmt_deploy.report.charts import run as run_charts
from ecmt_deploy.report.charts import stream as stream_charts
from ecmt_deploy.report.charts import waterfall as waterfall_chart
from ecmt_deploy.report.charts.axes import ROW, inches, rows_height, width
from ecmt_deploy.report.charts.cores import draw_cores, grid
from ecmt_deploy.report.charts.style import PAGE, PAPER
from ecmt_deploy.report.comparison import Comparison
from ecmt_deploy.report.model import AccuracyCurve, events_by_layer
from ecmt_deploy.report.probed import membrane_of, raster_of
from ecmt_deploy.simulation.target import PROBE_KINDS, Probe
from ecmt_deploy.simulation.traces import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@contextmanager
def style(name: Literal["page", "paper"] = "page") -> Iterator[None]:
    """Draw within this block as the pages do, or for a column of a paper, 3.4 inches wide.

    Raises
    ------
    ConfigError
        if there is no such style.
    """
    import matplotlib

    styles = {"page": PAGE, "paper": PAPER}
    if name not in styles:
        raise ConfigError(f"style {name!r}: there is none; choose page or paper")
    with matplotlib.rc_context(styles[name]):
        yield


def accuracy(result: Any, axes: Axes | None = None) -> Axes:
    """Accuracy against time steps, with its 95 % interval (Wilson) as a band and the analog model's accuracy as a line.

    Parameters
    ----------
    result : an ``Evaluation``, a run that was kept (``StoredRun``) or its record, a report, or a ``Comparison``
    axes : to draw on; by default those of a new figure

    Raises
    ------
    ConfigError
        if the result has no accuracy, as a ``Run`` of samples without labels.
    """
    if isinstance(result, Comparison):
        axes = _axes(axes, 3.2)
        return _plain(axes, comparison_charts.draw_accuracies, compare.accuracy_table(result))
    found = getattr(result, "curve", None) or getattr(result, "record", result)
    right = getattr(found, "accuracy", None)
    if not right:
        raise ConfigError(
            f"a {type(result).__name__} has no accuracy; give an evaluation, a run that simulate kept with --out, or a report"
        )
    curve = AccuracyCurve("", found.n_samples, list(right), found.analog_accuracy)
    return _plain(_axes(axes, 3.0), run_charts.draw_accuracy, curve)


def energy(result: Energy | Sequence[Energy], axes: Axes | None = None) -> Axes:
    """Energy by layer, stacked by component, with the range of the sources; of several chips, a bar a chip.

    A question mark ends the bar of a layer of which something has no price: it is too short, by an unknown amount.

    Parameters
    ----------
    result : what :func:`ecmt_deploy.energy` returns
    axes : to draw on; by default those of a new figure
    """
    if isinstance(result, Energy):
        table = data.layers(result)
    else:
        table = data.totals(result, [e.hardware for e in result])
    return _plain(_rows(axes, len(table.rows), 0.9), energy_charts.draw_stacked, table)


def events(result: Any, axes: Axes | None = None) -> Axes:
    """Synaptic events per inference by layer, and analog multiply-accumulates where there are any.

    Parameters
    ----------
    result : an ``Activity``, or what has one: a ``Run``, a ``StoredRun``, an ``Evaluation``
    axes : to draw on; by default those of a new figure

    Raises
    ------
    ConfigError
        if it has no activity, or one over no samples.
    """
    activity = getattr(result, "activity", result)
    if not isinstance(activity, Activity) or not activity.n_samples:
        raise ConfigError(f"a {type(result).__name__} has no counts of events; give a run, an evaluation, or an activity")
    table = data.events(events_by_layer(activity))
    return _plain(_rows(axes, len(table.rows), 0.8), run_charts.draw_events, table)


def waterfall(result: Energy, axes: Axes | None = None) -> Axes:
    """From the papers' figure to what the chip pays, a bar for every cause.

    Raises
    ------
    ConfigError
        if the chip has no price of a synaptic event.
    """
    if result.waterfall.total_pj is None:
        raise ConfigError(f"{result.hardware} has no price of a synaptic event, so no total; choose another chip")
    table = data.waterfall(result)
    return _plain(_rows(axes, len(table.rows) + 1, 0.85, 0.36), waterfall_chart.draw_waterfall, table, result.paper.ann_pj)


def pareto(comparison: Comparison, axes: Axes | None = None, *, hardware: str | None = None) -> Axes:
    """Accuracy with its 95 % interval against what it costs, a line a series, with the Pareto front.

    Parameters
    ----------
    comparison : what :func:`ecmt_deploy.sweep` returns
    axes : to draw on; by default those of a new figure
    hardware : chip of the sweep whose energy is the cost; by default the cost is events per MAC of the ANN

    Raises
    ------
    ConfigError
        if the sweep is not priced on this chip, or nothing has a price there.
    """
    text: Callable[[float], str]
    if hardware is None:
        points, label, text = compare.event_points(comparison), "events per MAC of the ANN", units.tick
    else:
        chips = [e.hardware for e in comparison.entries[0].report.energies] if comparison.entries else []
        if hardware not in chips:
            raise ConfigError(f"hardware {hardware!r}: the runs are not priced on it, but on {', '.join(chips) or 'no chip'}")
        points, label, text = (
            compare.energy_points(comparison, chips.index(hardware)),
            "energy per inference",
            units.energy_tick,
        )
    if not points:
        raise ConfigError(f"no run has a price on {hardware}; choose another chip" if hardware else "no run counted any MAC")
    return _plain(_axes(axes, 3.6), comparison_charts.draw_against_cost, points, label, text)


def raster(run: Any, node: str, axes: Axes | None = None) -> Axes:
    """A probe of a node, neurons over samples and steps, in units of the analog value: blue is positive, red negative.

    Parameters
    ----------
    run : a ``Run`` or ``StoredRun`` with probes
    node : ``NODE`` or ``NODE:spikes``, ``NODE:membrane``, ``NODE:state``
    axes : to draw on; by default those of a new figure

    Raises
    ------
    ConfigError
        if that was not probed.
    """
    name, _, kind = node.rpartition(":")
    probe = Probe(name, kind) if name and kind in PROBE_KINDS else Probe(node)
    drawn = raster_of(_probes(run), run.program, probe)
    return _plain(_axes(axes, 3.2), probe_charts.draw_raster, drawn)


def membrane(run: Any, node: str, neuron: int | None = None, axes: Axes | None = None) -> Axes:
    """The membrane of one neuron against time, in units of the analog value, with the thresholds of its smallest spikes.

    Parameters
    ----------
    run : a ``Run`` or ``StoredRun`` with the probe ``NODE:membrane``
    node : the node
    neuron : which of its neurons, in row-major order; by default the one that spikes most
    axes : to draw on; by default those of a new figure

    Raises
    ------
    ConfigError
        if the membrane was not probed, or there is no such neuron.
    """
    program: Program | None = run.program
    drawn = membrane_of(_probes(run), program, node.removesuffix(":membrane"), neuron)
    return _plain(_axes(axes, 2.8), probe_charts.draw_membrane, drawn)


def placement(placed: Placement, axes: Axes | None = None, *, cores_per_chip: int | None = None) -> Axes:
    """The cores of the chip as a map, coloured by how full they are; grey where no limit is known, red above it.

    Parameters
    ----------
    placed : what :func:`ecmt_deploy.place` returns
    axes : to draw on; by default those of a new figure
    cores_per_chip : cores of a chip; by default those of its mesh

    Raises
    ------
    ConfigError
        if nothing has a core.
    """
    if not placed.cores:
        raise ConfigError(f"nothing is placed on {placed.hardware}, so there is no map")
    mesh = int(np.prod(placed.mesh)) if placed.mesh else None
    cells = grid(placed, cores_per_chip or mesh)
    rows, columns = cells.shape
    axes = _axes(axes, width() * rows / columns + 0.8)
    square = 72 * inches(axes)[0] / columns
    return _plain(axes, draw_cores, placed, cells, square)


def trace(measured: Trace, axes: Axes | None = None) -> Axes:
    """Relative error of every node against its analog value, in the order of the program, a line a time step.

    Parameters
    ----------
    measured : what :func:`ecmt_deploy.trace` returns
    axes : to draw on; by default those of a new figure
    """
    return _plain(_axes(axes, 3.0), run_charts.draw_trace, measured)


def frames(result: Any, axes: Axes | None = None) -> Axes:
    """Synaptic events per multiply-accumulate of every frame of a stream, and below how many of them it pays, where known.

    Parameters
    ----------
    result : a ``StreamResult``, the ``FrameCounts`` of a stream, or a run of one
    axes : to draw on; by default those of a new figure

    Raises
    ------
    ConfigError
        if the run is of no stream, or of no frame.
    """
    table = stream_data.events(result)
    if not table.rows:
        raise ConfigError(f"a {type(result).__name__} has no frames; give a stream")
    clip = getattr(getattr(result, "record", None), "clip", None)
    return _plain(_axes(axes, 2.6), stream_charts.draw_events, table, clip.break_even_per_mac if clip else None)


def _axes(axes: Axes | None, height: float) -> Axes:
    """The axes that are given, or those of a new figure of this height in inches."""
    if axes is not None:
        return axes
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width(), height), layout="constrained")[1]


def _rows(axes: Axes | None, rows: int, extra: float, row: float = ROW) -> Axes:
    return _axes(axes, rows_height(rows, extra, row))


def _plain(axes: Axes, draw: Any, *what: Any) -> Axes:
    """Draw; names are never mathematics, whatever the user's style says."""
    import matplotlib
    from matplotlib.text import Text

    with matplotlib.rc_context({"text.parse_math": False, "axes.axisbelow": True}):
        draw(axes, *what)
        for text in axes.figure.findobj(Text):
            text.set_parse_math(False)
    return axes


def _probes(run: Any) -> Mapping[Probe, np.ndarray]:
    """Time series of a run, in memory or kept."""
    found = getattr(run, "probes", None)
    if found is None:
        raise ConfigError(f"a {type(run).__name__} has no probes; give a run that was simulated with probes=[..]")
    series: Mapping[Probe, np.ndarray] = found() if callable(found) else found
    return series
