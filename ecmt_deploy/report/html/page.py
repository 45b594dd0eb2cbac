"""Self-contained pages, rendered from their JSON and from nothing else: nothing fetched, the same bytes again."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ecmt_deploy.chips import Source
from ecmt_deploy.estimation.result import Energy, MemoryView
from ecmt_deploy.report import comparison as compare
from ecmt_deploy.report import comparison_verdict, data, stream_data, units
from ecmt_deploy.report.charts import comparison as comparison_charts
from ecmt_deploy.report.charts import energy as energy_charts
from ecmt_deploy.report.charts import probes as probe_charts
from ecmt_deploy.report.charts import run as run_charts
from ecmt_deploy.report.charts import stream as stream_charts
from ecmt_deploy.report.charts import tiles as tile_charts
from ecmt_deploy.report.charts import waterfall as waterfall_chart
from ecmt_deploy.report.charts.cores import core_map, stride
from ecmt_deploy.report.charts.svg import Chart
from ecmt_deploy.report.comparison import Comparison
from ecmt_deploy.report.facts import facts
from ecmt_deploy.report.html.environment import environment
from ecmt_deploy.report.model import Report
from ecmt_deploy.report.remarks import notes
from ecmt_deploy.report.stream import StreamReport
from ecmt_deploy.report.stream_verdict import findings, headline, judged, remarks
from ecmt_deploy.report.tables.streams import sentence
from ecmt_deploy.report.verdict import answer, by_fit, in_brief, measured, on_chip, pays

#: inches of a bar of a chip, and of a run
_CHIP_ROW, _RUN_ROW = 0.26, 0.24


def render(document: Report | Comparison | StreamReport) -> str:
    """The page about one run, about several side by side, or about a stream."""
    template = {StreamReport: "stream", Comparison: "comparison", Report: "report"}[type(document)]
    return environment().get_template(f"{template}.html.j2").render(contents(document))


def contents(document: Report | Comparison | StreamReport) -> dict[str, Any]:
    """What the template of the page is filled with; its charts are drawn when they are asked for."""
    if isinstance(document, StreamReport):
        return _about_stream(document)
    return _about_several(document) if isinstance(document, Comparison) else _about_one(document)


def _about_one(report: Report) -> dict[str, Any]:
    energies = report.energies
    names = _distinct([e.hardware for e in energies])
    steps = (1, len(report.curve.accuracy))
    shown = ", ".join(f"{units.hundredths(report.curve.accuracy[t - 1])} % at T = {t}" for t in dict.fromkeys(steps))
    memories = data.alike([e.memory for e in energies], names)
    return {
        "report": report,
        "record": report.record,
        "source": report.record.provenance,
        "facts": facts(report.record.provenance),
        "accuracy": run_charts.accuracy("accuracy", f"Accuracy against time steps: {shown}", report.curve),
        **(_views(energies, names) if energies else {}),
        **_chips(report, names),
        "papers": data.alike([e.paper for e in energies], names),
        "memories": [_memory(i, view, chips) for i, (view, chips) in enumerate(memories, start=1)],
        "tiles": _over_tiles(report),
        "nodes": data.nodes(energies),
        "events": run_charts.events("events", "Synaptic events and analog MACs of each layer", data.events(report.events)),
        "rates": run_charts.rates("spike-rates", "Spikes per neuron and step of each layer", report.spike_rates),
        "probed": [(each, probe_charts.of_node(f"probe-{i}", each)) for i, each in enumerate(report.probed, start=1)],
        "trace": run_charts.trace("errors", "Relative error of every node after some of the steps", report.trace)
        if report.trace
        else None,
    }


def _chips(report: Report | StreamReport, names: Sequence[str]) -> dict[str, Any]:
    """Every chip at a glance and in detail, the one that is open at first, and where their figures are from."""
    references, cited = _references(report.sources)
    each = "frame" if isinstance(report, StreamReport) else "inference"
    ranked = by_fit(report.energies)
    return {
        "glance": [(name, e, f"chip-{i}") for i, (name, e) in enumerate(zip(names, report.energies, strict=True), start=1)],
        "verdicts": [(e.fits, in_brief(e, each)) for e in ranked],
        "in_full": [on_chip(e, each) for e in ranked],
        "misfits": [e.hardware for e in ranked if e.fits == "no"],
        "answer": answer(ranked),
        "measured": measured(ranked),
        "noted": [f"{line[:1].upper()}{line[1:]}" for line in notes(ranked, each)],
        "opened": f"chip-{1 + _first_priced(report.energies)}",
        "chips": [_chip(report, i, cited[i]) for i in range(len(report.energies))],
        "references": references,
    }


def _views(energies: Sequence[Energy], names: Sequence[str]) -> dict[str, Any]:
    """The three views side by side, and what (a) and (c), and (b), are made of."""
    priced = [(e, name) for e, name in zip(energies, names, strict=True) if e.components_pj]
    shares = data.totals([e for e, _ in priced], [name for _, name in priced])
    alt = "Share of each component of the energy on each chip"
    return {
        "overview": energy_charts.overview("views", "Energy per inference in the three views", data.views(energies, names)),
        "composition": energy_charts.stacked(
            "parts", "Views (a) and (c) by part", data.composition(energies, names), row=_CHIP_ROW
        ),
        "shares": energy_charts.stacked("components", alt, shares, shares=True, row=_CHIP_ROW) if priced else None,
    }


def _over_tiles(report: Report) -> Chart | None:
    """Break-even over the size of tiles, where it was computed and anything spikes."""
    points = [point for point in report.tile_curve if point.events_per_mac is not None]
    alt = "Break-even over the size of the tiles that both sides of view (c) lie in"
    return tile_charts.over_tiles("tiles", alt, data.tile_curve(points)) if points else None


def _memory(number: int, view: MemoryView, chips: str) -> dict[str, Any]:
    """View (c) of some chips, its break-even, and whether there are nodes that never break even."""
    table = data.break_even(view)
    alt = "Measured events per MAC of each node against its break-even"
    never = any(row[2:4] == (None, "ann") for row in table.rows)
    chart = energy_charts.break_even(f"break-even-{number}", alt, table) if table.rows else None
    return {"chips": chips, "view": view, "chart": chart, "never": never, "pays": pays(view)}


def _chip(report: Report | StreamReport, i: int, references: list[int]) -> dict[str, Any]:
    """The run on one chip."""
    e, placement, key = report.energies[i], report.placements[i], f"chip-{i + 1}"
    layers = cores = None
    if any(row.components_pj for row in e.rows):
        alt = f"Energy per layer on {e.hardware}, by component"
        layers = energy_charts.stacked(f"{key}-layers", alt, data.layers(e))
    if placement.cores and any(data.utilisation(unit)[1] is not None for unit in placement.units):
        alt = f"{placement.cores} cores of {e.hardware} and the units on them, by utilisation"
        cores = core_map(f"{key}-cores", alt, placement, report.cores_per_chip[i])
    falls = None
    if e.waterfall.total_pj is not None:
        alt = f"From the papers' figure to what {e.hardware} pays, cause by cause"
        falls = waterfall_chart.waterfall(f"{key}-waterfall", alt, data.waterfall(e), e.paper.ann_pj)
    return {"energy": e, "placement": placement, "layers": layers, "waterfall": falls, "cores": cores,
            "cores_a_square": stride(placement), "references": references}  # fmt: skip


def _about_stream(report: StreamReport) -> dict[str, Any]:
    clip, rows, record = report.record.clip, report.rows, report.record
    assert clip is not None
    own = next((row for row in clip.alternatives if row.kind == "stream"), None)
    begun, found = stream_charts.begins(rows), findings(clip, rows)
    measured = [row.network_error for row in rows if row.network_error is not None]
    values = "probability" if record.provenance.class_names else "largest output"
    labels = [row.top[0][0] == row.label for row in rows if row.label is not None]
    named = [row.label == row.network_top for row in rows if row.label is not None and row.network_top is not None]
    return {
        "report": report,
        "record": record,
        "clip": clip,
        "source": record.provenance,
        "facts": facts(record.provenance),
        "headline": headline(found),
        "findings": found,
        "said": list(remarks(clip, rows)),
        "sentence": sentence(record, rows),
        "own": own,
        "spent": fmean(row.snn_pj for row in rows),
        "table": [(row, judged(own, row) if own else "") for row in clip.alternatives],
        "right": (fmean(labels), len(labels)) if labels else None,
        "network_right": (fmean(named), len(named)) if named else None,
        "energy": stream_charts.per_frame("per-frame", "Energy per frame, pixels changed and patches sent", clip, rows),
        "on_chips": stream_charts.on_chips("on-chips", "Energy per frame at the chips' prices", clip, rows)
        if stream_data.priced_chips(rows)
        else None,
        "unpriced": [chip for chip in clip.chips if chip not in stream_data.priced_chips(rows)],
        "cumulative": stream_charts.cumulative("cumulative", "Energy since the first frame", clip, rows),
        "errors": stream_charts.errors("errors", "Error against the network's answer", rows) if measured else None,
        "classes": stream_charts.classes("classes", "Class of every frame and its " + values, rows, values),
        "values": values,
        "film": stream_charts.film("film", "Frames, and where events fell", report.film, begun) if report.film else None,
        "heat": any(picture.heat is not None for picture in report.film),
        "ran": sum(row.network_top is not None for row in rows),
        "frames_a_point": -(-len(rows) // stream_data.POINTS),
        **_chips(report, _distinct([e.hardware for e in report.energies])),
        "nodes": data.nodes(report.energies),
    }


def _about_several(comparison: Comparison) -> dict[str, Any]:
    entries = comparison.entries
    chips = entries[0].report.energies
    names = _distinct([e.hardware for e in chips])
    events, verdicts = compare.event_points(comparison), comparison_verdict.on_chips(comparison)
    references, cited = _references([sources for entry in entries for sources in entry.report.sources])
    steps, against = "Accuracy of each series after every step", "Accuracy against events per MAC, with the Pareto front"
    shown = ("events_per_mac", "events per MAC of the ANN", units.tick)
    return {
        "comparison": comparison,
        "entries": entries,
        "headline": comparison_verdict.headline(comparison),
        "verdicts": [(fits, line) for _, fits, line in verdicts],
        "misfits": [name for name, fits, _ in verdicts if fits == "no"],
        "names": names,
        "accuracy": comparison_charts.accuracies("accuracy", steps, compare.accuracy_table(comparison)),
        "events": comparison_charts.against_cost("events-per-mac", against, events, *shown) if events else None,
        "summary": compare.summary(comparison),
        "sections": [_compared(comparison, i, name, cited[i]) for i, name in enumerate(names)],
        "opened": _first_priced(chips),
        "glances": [[(entry.label, entry.report.energies[i], "") for entry in entries] for i in range(len(names))],
        "references": references,
    }


def _compared(comparison: Comparison, i: int, name: str, references: list[int]) -> dict[str, Any]:
    """All runs on one chip."""
    energies = [entry.report.energies[i] for entry in comparison.entries]
    points, key = compare.energy_points(comparison, i), f"chip-{i + 1}"
    pareto = stack = None
    if points:
        alt = f"Accuracy against energy per inference on {name}, with the Pareto front"
        cost = ("energy_pj", "energy per inference", units.energy_tick)
        pareto = comparison_charts.against_cost(f"{key}-pareto", alt, points, *cost)
        table = data.totals(energies, [entry.label for entry in comparison.entries])
        alt = f"Energy of each run on {name} by component"
        stack = energy_charts.stacked(f"{key}-components", alt, table, row=_RUN_ROW)
    return {"name": name, "energies": energies, "pareto": pareto, "stack": stack, "references": references}


def _first_priced(energies: Sequence[Energy]) -> int:
    """The chip whose details are open at first."""
    return next((i for i, e in enumerate(energies) if e.components_pj), 0)


def _references(sources: Sequence[dict[str, Source]]) -> tuple[list[tuple[str, Source]], list[list[int]]]:
    """All sources once, in the order of their keys, and for each of the given ones their numbers in that list."""
    every = {item for given in sources for item in given.items()}
    listed = sorted(every, key=lambda item: (item[0], repr(item[1])))
    return listed, [[listed.index(item) + 1 for item in given.items()] for given in sources]


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that differ: chips of one name are numbered."""
    return [name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})" for i, name in enumerate(names)]
