"""Self-contained pages, rendered from their JSON and from nothing else: no script, nothing fetched, the same bytes again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec.structs import replace

from ecmt_deploy.chips import Source, citation
from ecmt_deploy.placement.result import Placement, Unit
from ecmt_deploy.pricing import bound_mark, remarks
from ecmt_deploy.pricing.result import Energy, MemoryView, PaperView
from ecmt_deploy.report import comparison as compare
from ecmt_deploy.report import comparison_charts, data, energy_charts, run_charts, text
from ecmt_deploy.report.comparison import Comparison
from ecmt_deploy.report.coremap import core_map
from ecmt_deploy.report.energy_charts import Chart
from ecmt_deploy.report.model import Report
from ecmt_deploy.report.svg import elided, printable, si

#: rows of a table that is shown beside its chart; longer ones are only in the CSV
SHOWN = 80


class ChipSection(NamedTuple):
    """What a page says about a run on one chip."""

    energy: Energy
    placement: Placement
    layers: Chart | None
    cores: Chart | None
    references: list[int]


class Alike(NamedTuple):
    """A view that several chips share, its chart, and whether there are nodes that never break even."""

    chips: str
    view: PaperView | MemoryView
    chart: Chart | None = None
    never: bool = False


def render_html(report: Report) -> str:
    """The page about one run."""
    energies = report.energies
    names = _distinct([e.hardware for e in energies])
    references, cited = _references(report.sources)
    return _environment().get_template("report.html.j2").render(
        report=report,
        record=report.record,
        source=report.record.provenance,
        names=names,
        accuracy=run_charts.accuracy("accuracy", _accuracy_alt(report), report.curve),
        overview=energy_charts.overview("views", "Energy per inference in the three views", data.views(energies, names))
        if energies
        else None,
        shares=_shares(energies, names),
        composition=energy_charts.stacked("parts", "Views (a) and (c) by part", data.composition(energies, names), "name", row=0.26)
        if energies
        else None,
        glance=[(name, e, f"chip-{i}") for i, (name, e) in enumerate(zip(names, energies, strict=True), start=1)],
        papers=[Alike(chips, view) for view, chips in data.alike([e.paper for e in energies], names)],
        memories=[
            Alike(chips, view, _break_even(f"break-even-{i}", view),
                  any(row[2:4] == (None, "ann") for row in data.break_even(view).rows))
            for i, (view, chips) in enumerate(data.alike([e.memory for e in energies], names), start=1)
        ],
        opened=f"chip-{1 + _first_priced(energies)}",
        chips=[_chip(report, i, cited[i]) for i in range(len(energies))],
        nodes=data.nodes(energies),
        rates=energy_charts.bars("spike-rates", "Spikes per neuron and step of each layer", data.rates(report.spike_rates), "layer",
                                 "spikes_per_neuron_and_step", "spikes per neuron and step"),
        rasters=[
            run_charts.raster(f"probe-{i}", f"{raster.kind} of {raster.node}, neurons over samples and steps", raster)
            for i, raster in enumerate(report.rasters, start=1)
        ],
        trace=run_charts.trace("errors", "Relative error of every node after some of the steps", report.trace)
        if report.trace
        else None,
        references=references,
    )  # fmt: skip


def render_comparison(comparison: Comparison) -> str:
    """The page about several runs side by side."""
    entries = comparison.entries
    chips = entries[0].report.energies
    names = _distinct([e.hardware for e in chips])
    events = compare.event_points(comparison)
    references, cited = _references([sources for entry in entries for sources in entry.report.sources])
    labels = [entry.label for entry in entries]
    sections = []
    for i, name in enumerate(names):
        energies = [entry.report.energies[i] for entry in entries]
        points = compare.energy_points(comparison, i)
        pareto = comparison_charts.against_cost(
            f"chip-{i + 1}-pareto", f"Accuracy against energy per inference on {name}, with the Pareto front", points, "energy_pj",
            "energy per inference", text.energy_tick
        ) if points else None  # fmt: skip
        stack = energy_charts.stacked(
            f"chip-{i + 1}-components", f"Energy of each run on {name} by component", data.totals(energies, labels), "name", row=0.24
        ) if points else None  # fmt: skip
        sections.append((name, energies, pareto, stack, cited[i]))
    return _environment().get_template("comparison.html.j2").render(
        comparison=comparison,
        entries=entries,
        names=names,
        accuracy=comparison_charts.accuracies("accuracy", "Accuracy of each series after every step",
                                              compare.accuracy_table(comparison)),
        events=comparison_charts.against_cost(
            "events-per-mac", "Accuracy against events per MAC, with the Pareto front", events, "events_per_mac",
            "events per MAC of the ANN", si
        ) if events else None,
        summary=compare.summary(comparison),
        sections=sections,
        opened=_first_priced(chips),
        glances=[[(entry.label, entry.report.energies[i], "") for entry in entries] for i in range(len(names))],
        references=references,
    )  # fmt: skip


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("ecmt_deploy", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=lambda value: printable_lines(value) if type(value) is str else value,
    )  # fmt: skip
    made.filters.update(
        energy=text.energy, energy_band=text.energy_band, duration_band=text.duration_band, number_band=text.number_band,
        number=text.figures, count=text.count, short=lambda name: elided(name, 40), percent=text.percent, cell=_cell, csv=_csv, sum_pj=lambda parts: sum(parts.values()),
        energy_delay_band=text.energy_delay_band, citation=citation, weblink=_weblink,
    )  # fmt: skip
    made.globals.update(remarks=_remarks, components=data.components, total=_total, held=_held, SHOWN=SHOWN)
    return made


def printable_lines(value: str) -> str:
    """Text of a template or of a file, without characters that no page may hold."""
    return "\n".join(printable(line) for line in value.split("\n"))


def _csv(table: data.Table) -> str:
    """A table as a link that needs no network."""
    return "data:text/csv;charset=utf-8," + quote(data.to_csv(table), safe=",:")


def _cell(value: data.Cell) -> str:
    if value is None:
        return ""
    return text.figures(value, 4) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def _total(e: Energy, short: bool = False) -> str:
    """A total as it must be read: the sign of its bounds, its range (not if ``short``), and a plus where more has no price."""
    if not e.components_pj:
        return "not priced"
    total = text.energy(e.total_pj.value) if short else text.energy_band(e.total_pj)
    mark = bound_mark(e.bounds).replace(" ", "\u00a0")
    return f"{mark}{total}" + ("\u00a0+" if e.unpriced else "")


def _remarks(e: Energy) -> list[str]:
    """What is to be known about its totals; what does not fit is said elsewhere."""
    lines = [line.removeprefix(f"{e.hardware}: ") for line in remarks(replace(e, obstacles=()))]
    return [line[:1].upper() + line[1:] for line in lines]


def _weblink(source: Source) -> str:
    """Where a source is on the web; never anything but a web address."""
    if source.doi:
        return f"https://doi.org/{quote(source.doi)}"
    if source.eprint:
        return f"https://arxiv.org/abs/{quote(source.eprint)}"
    return source.url if source.url.startswith(("https://", "http://")) else ""


def _held(unit: Unit) -> list[str]:
    """What a unit's fullest core holds, a phrase a resource."""
    return [
        f"{name.replace('_', ' ')} {use.used:,}"
        + ("" if use.limit is None else f" of {use.limit:,} ({text.percent(use.share)})")
        for name, use in unit.use.items()
    ]


def _chip(report: Report, i: int, references: list[int]) -> ChipSection:
    e, placement = report.energies[i], report.placements[i]
    key = f"chip-{i + 1}"
    layers = (
        energy_charts.stacked(f"{key}-layers", f"Energy per layer on {e.hardware}, by component", data.layers(e), "layer")
        if any(row.components_pj for row in e.rows)
        else None
    )
    cores = (
        core_map(
            f"{key}-cores",
            f"{placement.cores} cores of {e.hardware} and the units on them, by utilisation",
            placement,
            report.cores_per_chip[i],
        )
        if placement.cores and any(data.utilisation(unit)[1] is not None for unit in placement.units)
        else None
    )
    return ChipSection(e, placement, layers, cores, references)


def _first_priced(energies: Sequence[Energy]) -> int:
    """The chip whose details are open at first."""
    return next((i for i, e in enumerate(energies) if e.components_pj), 0)


def _shares(energies: Sequence[Energy], names: Sequence[str]) -> Chart | None:
    priced = [(e, name) for e, name in zip(energies, names, strict=True) if e.components_pj]
    if not priced:
        return None
    table = data.totals([e for e, _ in priced], [name for _, name in priced])
    return energy_charts.stacked("components", "Share of each component of the energy on each chip", table, "name", True, 0.26)


def _break_even(name: str, view: MemoryView) -> Chart | None:
    if not view.rows:
        return None
    return energy_charts.break_even(name, "Measured events per MAC of each node against its break-even", data.break_even(view))


def _accuracy_alt(report: Report) -> str:
    curve = report.curve
    steps = ", ".join(
        f"{100 * a:.2f} % at T = {t}" for t, a in enumerate(curve.accuracy, start=1) if t in (1, len(curve.accuracy))
    )
    analog = "" if curve.analog_accuracy is None else f"; analog model {100 * curve.analog_accuracy:.2f} %"
    return f"Accuracy against time steps: {steps}{analog}"


def _references(sources: Sequence[dict[str, Source]]) -> tuple[list[tuple[str, Source]], list[list[int]]]:
    """All sources once, in the order of their keys, and for each of the given ones their numbers in that list."""
    listed = sorted(
        {(key, source) for given in sources for key, source in given.items()}, key=lambda item: (item[0], repr(item[1]))
    )
    return listed, [[listed.index(item) + 1 for item in given.items()] for given in sources]


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that differ: chips of one name are numbered."""
    return [name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})" for i, name in enumerate(names)]
