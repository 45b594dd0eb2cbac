"""One self-contained page about a run, rendered from its JSON and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO

import msgspec
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ecmt_deploy.activity import Activity
from ecmt_deploy.graph import Program
from ecmt_deploy.layers import grouped
from ecmt_deploy.pricing import Energy, bound_mark, remarks
from ecmt_deploy.rundir import RunRecord
from ecmt_deploy.target import Probe
from ecmt_deploy.traces import Trace

#: most rows of a raster, and samples it shows: what a page can tell apart
RASTER_ROWS, RASTER_SAMPLES = 400, 16
_SPIKING, _ANALOG = "#0b6e99", "#c2410c"
_BARS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7c3aed", "#be185d", "#525252")


class AccuracyCurve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Accuracy after every step, and the analog model's, over ``n_samples`` samples run by ``engine``."""

    engine: str
    n_samples: int
    accuracy: list[float]
    analog_accuracy: float | None


class Raster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A probe of a node as a picture.

    Attributes
    ----------
    node, kind : what was probed, ``spikes`` or ``membrane``
    samples, timesteps, neurons : size of the recording
    spiking : share of neurons and steps that spike; ``None`` for a membrane
    rows : (rows, samples shown * T): each row the neuron, of a block of neighbours, that is largest in size
    """

    node: str
    kind: str
    samples: int
    timesteps: int
    neurons: int
    spiking: float | None
    rows: list[list[float]]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the page shows.

    Attributes
    ----------
    record : the run
    curve : accuracy against steps: the run's own, or that of a longer evaluation of the same program
    energies : its energy, one entry per chip
    spike_rates : spikes per neuron and step, by layer; layers without neurons are absent
    spikes, synops, dense_macs : per inference
    nodes : number of nodes
    saturations : integers clipped per inference, by node; nodes without are absent
    trace : how far every node is from its analog value, if it was measured
    rasters : what was probed
    """

    record: RunRecord
    curve: AccuracyCurve
    energies: list[Energy]
    spike_rates: dict[str, float]
    spikes: float
    synops: float
    dense_macs: float
    nodes: int
    saturations: dict[str, float]
    trace: Trace | None = None
    rasters: list[Raster] = []


def make_report(
    record: RunRecord,
    activity: Activity,
    program: Program,
    energies: list[Energy],
    curve: AccuracyCurve | None = None,
    trace: Trace | None = None,
    probes: Mapping[Probe, np.ndarray] | None = None,
) -> Report:
    """Collect what the page shows; ``curve`` replaces the run's own accuracy, ``probes`` are time series (N, T, neurons)."""
    own = AccuracyCurve(record.target, record.n_samples, record.accuracy, record.analog_accuracy)
    counts = dict(activity.items())
    rates = {}
    for layer, names in grouped(program.neurons).items():
        updates = sum(counts[name].neuron_updates for name in names)
        if updates:
            rates[layer] = sum(counts[name].spikes for name in names) / updates
    n = activity.n_samples
    return Report(
        record=record,
        curve=curve or own,
        energies=energies,
        spike_rates=rates,
        spikes=sum(c.spikes for c in counts.values()) / n,
        synops=sum(c.synops for c in counts.values()) / n,
        dense_macs=sum(c.dense_macs for c in counts.values()) / n,
        nodes=len(program.nodes),
        saturations={name: c.saturations / n for name, c in counts.items() if c.saturations},
        trace=trace,
        rasters=[_raster(probe, values) for probe, values in (probes or {}).items()],
    )


def _raster(probe: Probe, values: np.ndarray) -> Raster:
    samples, timesteps, neurons = values.shape
    shown = values[:RASTER_SAMPLES].reshape(-1, neurons).T  # (neurons, columns)
    block = -(-neurons // RASTER_ROWS)
    rows = [
        part[np.abs(part).argmax(axis=0), np.arange(part.shape[1])] for part in np.split(shown, range(block, neurons, block))
    ]
    spiking = float(np.mean(values != 0)) if probe.kind == "spikes" else None
    return Raster(probe.node, probe.kind, samples, timesteps, neurons, spiking, np.asarray(rows, float).tolist())


def render_html(report: Report) -> str:
    """The page: one HTML file with styles and charts inside, no script, nothing fetched."""
    environment = Environment(
        loader=PackageLoader("ecmt_deploy", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    layers = [list(grouped(row.node for row in e.rows).items()) for e in report.energies]
    by_layer = [
        {layer: sum(row.priced_pj for row in e.rows if row.node in set(names)) for layer, names in groups}
        for e, groups in zip(report.energies, layers, strict=True)
    ]
    return environment.get_template("report.html.j2").render(
        report=report,
        bound_mark=bound_mark,
        record=report.record,
        source=report.record.provenance,
        accuracy_chart=Markup(_accuracy_chart(report.curve)),
        energy_charts=[
            Markup(_bars(values, "nJ per inference", _BARS[i % len(_BARS)], 1e-3)) for i, values in enumerate(by_layer)
        ],
        rate_chart=Markup(_bars(report.spike_rates, "spikes per neuron and step", _SPIKING, 1.0)),
        trace_chart=Markup(_trace_chart(report.trace) if report.trace else ""),
        raster_charts=[Markup(_raster_chart(raster)) for raster in report.rasters],
        remarks=[line for e in report.energies for line in remarks(e)],
        rows=_rows(report.energies),
    )


def _rows(energies: list[Energy]) -> list[tuple[str, str, list[str]]]:
    """Node, type, and one cell per chip."""
    tables = [{row.node: row for row in e.rows} for e in energies]
    names = list(dict.fromkeys(row.node for e in energies for row in e.rows))
    rows = []
    for name in names:
        found = [table.get(name) for table in tables]
        kind = next(row.kind for row in found if row)
        cells = []
        for row in found:
            if row is None:
                cells.append("")
                continue
            priced = f"{row.priced_pj / 1000:,.3f}" if row.components_pj else ""
            without = f"unpriced: {', '.join(sorted(row.unpriced))}" if row.unpriced else ""
            cells.append(" · ".join(part for part in (priced, without) if part))
        rows.append((name, kind, cells))
    return rows


def _figure(width: float, height: float):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure, label: str) -> str:  # type: ignore[no-untyped-def]
    """Inline SVG, the same bytes for the same data, with text as text."""
    import matplotlib

    buffer = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "ecmt-deploy", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _accuracy_chart(curve: AccuracyCurve) -> str:
    figure, axes = _figure(7.2, 3.2)
    steps = list(range(1, len(curve.accuracy) + 1))
    axes.plot(steps, [100 * a for a in curve.accuracy], marker="o", color=_SPIKING, label="spiking")
    shown = list(curve.accuracy)
    if curve.analog_accuracy is not None:
        shown.append(curve.analog_accuracy)
        axes.axhline(100 * curve.analog_accuracy, color=_ANALOG, linestyle="--", label="analog model")
    axes.set_xlabel("time step T")
    axes.set_ylabel("accuracy, %")
    axes.set_xticks(steps[:: max(len(steps) // 16, 1)])
    low = 100 * min(shown)
    axes.set_ylim(max(low - max(0.3 * (100 - low), 1), 0), 100.2)
    axes.legend(frameon=False, loc="lower right")
    axes.grid(axis="y", color="#d9dee3", linewidth=0.6)
    return _svg(figure, "accuracy against time steps, with the analog model as a line where it is known")


def _trace_chart(trace: Trace) -> str:
    """Relative error along the program, one line a step, lighter for earlier ones."""
    figure, axes = _figure(7.2, 3.2)
    positions = list(range(len(trace.nodes)))
    shown = sorted({1, 2, max(trace.timesteps // 2, 1), trace.timesteps} & set(range(1, trace.timesteps + 1)))
    for i, t in enumerate(shown):
        errors = [max(node.relative_error[t - 1], 1e-9) for node in trace.nodes]
        axes.plot(positions, errors, color=_SPIKING, alpha=(i + 1) / len(shown), linewidth=1.2, label=f"T = {t}")
    axes.set_yscale("log")
    axes.set_ylim(bottom=max(min(n.relative_error[-1] for n in trace.nodes if n.relative_error[-1] > 0) / 2, 1e-6))
    axes.set_xlabel("node, in the order of the program")
    axes.set_ylabel("relative error")
    axes.legend(frameon=False, ncols=len(shown))
    axes.grid(axis="y", color="#d9dee3", linewidth=0.6)
    return _svg(figure, "relative error of every node after some of the steps")


def _raster_chart(raster: Raster) -> str:
    """Neurons over (sample, step): spikes by sign and size, or the membrane; a line between samples."""
    figure, axes = _figure(7.2, 3.6)
    image = np.asarray(raster.rows)
    limit = float(np.abs(image).max()) or 1.0
    shade = image / limit
    if raster.kind == "spikes":
        shade = np.sign(shade) * np.sqrt(np.abs(shade))  # small spikes stay visible beside large ones
    axes.imshow(
        shade, aspect="auto", interpolation="nearest", cmap="RdBu", vmin=-1, vmax=1,
        extent=(0.5, image.shape[1] + 0.5, raster.neurons - 0.5, -0.5),
    )  # fmt: skip
    for start in range(raster.timesteps, image.shape[1], raster.timesteps):
        axes.axvline(start + 0.5, color="#1f2933", linewidth=0.5)
    samples = image.shape[1] // raster.timesteps
    axes.set_xticks([raster.timesteps * (i + 0.5) + 0.5 for i in range(samples)], [str(i + 1) for i in range(samples)])
    axes.set_xlabel(f"sample, each with steps 1 to {raster.timesteps}")
    axes.set_ylabel("neuron")
    return _svg(figure, f"{raster.kind} of {escape(raster.node)}, neurons over samples and steps")


def _bars(values: dict[str, float], label: str, color: str, scale: float) -> str:
    if not values:
        return ""
    figure, axes = _figure(7.2, 0.9 + 0.24 * len(values))
    names = list(values)
    axes.barh(range(len(names)), [values[name] * scale for name in names], color=color, height=0.72)
    axes.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.margins(y=0.01)
    axes.grid(axis="x", color="#d9dee3", linewidth=0.6)
    axes.set_axisbelow(True)
    return _svg(figure, label)
