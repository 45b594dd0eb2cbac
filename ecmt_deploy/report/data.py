"""The numbers of every chart as a table, in the units of the structs they come from: what the chart draws, and its CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ecmt_deploy.estimation import COMPONENTS
from ecmt_deploy.estimation.bill import sums
from ecmt_deploy.estimation.result import Band, Energy, MemoryRow, MemoryView, Row, TilePoint
from ecmt_deploy.evaluation.intervals import interval
from ecmt_deploy.placement.result import Placement, Unit
from ecmt_deploy.program.layers import MAX_LAYERS, grouped
from ecmt_deploy.report.csv import Cell, Table
from ecmt_deploy.report.model import AccuracyCurve, LayerEvents
from ecmt_deploy.report.units import ann as ann_of
from ecmt_deploy.simulation.traces import Trace


def accuracy(curve: AccuracyCurve) -> Table:
    """Accuracy after every step, and its 95 % interval."""
    rows: list[tuple[Cell, ...]] = [
        (t, right, *interval(right, curve.n_samples), curve.analog_accuracy) for t, right in enumerate(curve.accuracy, start=1)
    ]
    return Table(("timesteps", "accuracy", "accuracy_low", "accuracy_high", "analog_accuracy"), rows)


def components(energies: Sequence[Energy]) -> list[str]:
    """Components that any of them could price, in their usual order."""
    found = {name for e in energies for name in e.components_pj}
    return sorted(found, key=lambda name: (COMPONENTS.index(name) if name in COMPONENTS else len(COMPONENTS), name))


#: columns of a sum of prices, see :func:`cost`
COST = ("low_pj", "total_pj", "high_pj", "bounds", "unpriced")


def totals(energies: Sequence[Energy], labels: Sequence[str]) -> Table:
    """Energy per inference by component, one row a label; a row without any price has no total."""
    names = components(energies)
    rows: list[tuple[Cell, ...]] = [
        (label, *_values(e.components_pj, names), *cost(e)) for label, e in zip(labels, energies, strict=True)
    ]
    return Table(("name", *(f"{name}_pj" for name in names), *COST), rows)


def _values(parts: Mapping[str, Band], names: Sequence[str]) -> list[Cell]:
    return [parts[name].value if name in parts else None for name in names]


def cost(part: Energy | Row) -> tuple[Cell, ...]:
    """What something costs, with the bounds of the prices and the counts without one."""
    band = None if not part.components_pj else part.total_pj if isinstance(part, Energy) else part.priced_pj
    return (*_band(band), " ".join(part.bounds), " ".join(sorted(part.unpriced)))


def _band(band: Band | None) -> tuple[Cell, Cell, Cell]:
    return (None, None, None) if band is None else (band.low, band.value, band.high)


def summed(name: str, rows: Sequence[Row]) -> Row:
    """Nodes added up under one name."""
    bounds = sorted({bound for row in rows for bound in row.bounds})
    return Row(name, "", sums(row.components_pj for row in rows), sums(row.unpriced for row in rows), tuple(bounds))


def by_layer(e: Energy, nodes: Iterable[str] | None = None, most: int = MAX_LAYERS) -> list[Row]:
    """Energy by layer, of at most ``most``; ``static`` belongs to none and is not among them. Layers are those of ``nodes``, if
    given."""
    by_node = {row.node: row for row in e.rows}
    found = grouped(by_node if nodes is None else nodes, most).items()
    return [summed(layer, [by_node[name] for name in names if name in by_node]) for layer, names in found]


def layers(e: Energy) -> Table:
    """Energy by layer and component."""
    found = by_layer(e)
    names = [name for name in components([e]) if any(name in row.components_pj for row in found)]
    rows: list[tuple[Cell, ...]] = [(row.node, *_values(row.components_pj, names), *cost(row)) for row in found]
    return Table(("layer", *(f"{name}_pj" for name in names), *COST), rows)


def nodes(energies: Sequence[Energy]) -> Table:
    """Energy of every node on every chip, and of each whole program with its static energy (node ``total``).

    Every amount is value, low, high; an empty field is a component without energy. View (c) stands beside the chip's prices.
    """
    names = [*COMPONENTS, *(name for name in components(energies) if name not in COMPONENTS)]
    amounts = [f"{name}{end}" for name in (*names, "priced") for end in ("_pj", "_low_pj", "_high_pj")]
    header = ("hardware", "node", "type", *amounts, "bounds", "unpriced", "memory_snn_pj", "memory_ann_pj", "events_per_mac",
              "break_even_events_per_mac", "ann_bits")  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for e in energies:
        whole = Row("total", "program", e.components_pj, e.unpriced, e.bounds)
        for row in (*e.rows, whole):
            bands = [*(row.components_pj.get(name) for name in names), row.priced_pj if row.components_pj else None]
            ends = [x for low, value, high in map(_band, bands) for x in (value, low, high)]
            memory = e.memory if row is whole else e.memory.rows.get(row.node)
            compared: tuple[Cell, ...] = (None,) * 5
            if isinstance(memory, MemoryRow):
                compared = (*both(memory), memory.events_per_mac, memory.break_even_events_per_mac, memory.ann_bits)
            elif memory:
                compared = (*both(memory), e.events_per_mac, None, memory.ann_bits)
            rows.append((e.hardware, row.node, row.kind, *ends, *cost(row)[3:], *compared))
    return Table(header, rows)


def both(memory: MemoryRow | MemoryView) -> tuple[float, float]:
    """View (c): of the spiking program, and of the network quantised."""
    return sum(memory.snn_pj.values()), sum(memory.ann_pj.values())


def break_even(view: MemoryView) -> Table:
    """Measured events per MAC of every node with synapses, and below how many spiking would cost less.

    ``costs_less`` is what does at the events measured; ``neither`` where nothing spikes.
    """
    header = ("node", "events_per_mac", "break_even_events_per_mac", "costs_less", "snn_pj", "ann_pj")
    rows: list[tuple[Cell, ...]] = []
    for name, row in view.rows.items():
        even, (snn, ann) = row.break_even_events_per_mac, both(row)
        analog = even is None and snn == row.fixed_pj
        wins = "neither" if analog else "snn" if even is not None and (row.events_per_mac or 0.0) < even else "ann"
        rows.append((name, row.events_per_mac, even, wins, snn, ann))
    return Table(header, rows)


def waterfall(e: Energy) -> Table:
    """From the papers' figure to what a chip pays: what every cause adds, and all so far, also over the ANN.

    ``ratio`` is over an ANN that pays the same causes, as far as that is known; ``of_papers_ann`` over 4.6 pJ a MAC.
    """
    header = ("cause", "state", "pj", "total_pj", "ann_pj", "ratio", "of_papers_ann", "unpriced")
    paper = e.paper.ann_pj
    rows: list[tuple[Cell, ...]] = [
        (cause.name, cause.state, cause.pj, cause.total_pj, cause.ann_pj, cause.ratio,
         cause.total_pj / paper if cause.total_pj is not None and paper else None, " ".join(sorted(cause.unpriced)))
        for cause in e.waterfall.causes
    ]  # fmt: skip
    return Table(header, rows)


def tile_curve(points: Sequence[TilePoint]) -> Table:
    """View (c) of the whole program over the size of the tiles that both sides lie in."""
    return Table(TilePoint.__struct_fields__, [tuple(getattr(p, name) for name in TilePoint.__struct_fields__) for p in points])


def events(layers_: Mapping[str, LayerEvents]) -> Table:
    """Synaptic events, analog and dense multiply-accumulates per inference, by layer."""
    return Table(("layer", *LayerEvents._fields), [(layer, *counts) for layer, counts in layers_.items()])


def rates(spike_rates: Mapping[str, float]) -> Table:
    """Spikes per neuron and step."""
    return Table(("layer", "spikes_per_neuron_and_step"), list(spike_rates.items()))


def utilisation(unit: Unit) -> tuple[str | None, float | None]:
    """The resource a unit's cores are coloured by, and how full it is: the binding one, else neurons, else the fullest."""
    known = {name: use.share for name, use in unit.use.items() if use.share is not None}
    fullest = max(known, key=lambda name: known[name], default=None)
    shown = next((name for name in (unit.binding, "neurons") if name in known), fullest)
    return shown, known[shown] if shown else None


def units(placement: Placement) -> Table:
    """Every unit with its cores and what they hold."""
    resources = list(dict.fromkeys(name for unit in placement.units for name in unit.use))
    header = ("number", "unit", "first_core", "cores", "rows_per_core", "columns_per_core", "binding", "utilisation")
    rows: list[tuple[Cell, ...]] = []
    for number, unit in enumerate(placement.units, start=1):
        uses = [unit.use.get(name) for name in resources]
        held = [cell for use in uses for cell in ((use.used, use.limit) if use else (None, None))]
        rows.append((number, unit.name, unit.first_core, unit.cores, unit.rows_per_core, unit.columns_per_core, unit.binding,
                     utilisation(unit)[1], *held))  # fmt: skip
    return Table((*header, *(f"{name}_{kind}" for name in resources for kind in ("used", "limit"))), rows)


def trace(measured: Trace) -> Table:
    """Relative error of every node after every step."""
    header = ("node", "type", *(f"relative_error_t{t}" for t in range(1, measured.timesteps + 1)))
    return Table(header, [(node.node, node.kind, *node.relative_error) for node in measured.nodes])


def views(energies: Sequence[Energy], names: Sequence[str]) -> Table:
    """The three views side by side: (a) and (c) at 45 nm, once where chips share them, and (b) of every chip."""
    rows: list[tuple[Cell, ...]] = []
    for paper, chips in alike([e.paper for e in energies], names):
        left_out = " ".join(sorted(paper.unpriced))
        rows += [
            (f"(a) SNN{chips}", paper.snn_pj, paper.snn_pj, paper.snn_pj, "exact", ""),
            (f"(a) SNN, all of it{chips}", paper.total_pj, paper.total_pj, paper.total_pj, "exact", left_out),
            (f"(a) ANN, fp32{chips}", paper.ann_pj, paper.ann_pj, paper.ann_pj, "exact", ""),
        ]
    for label, e in zip(names, energies, strict=True):
        rows.append((f"(b) {label}", *cost(e)))
    for view, chips in alike([e.memory for e in energies], names):
        snn, ann = both(view)
        rows += [
            (f"(c) SNN{chips}", snn, snn, snn, "exact", ""),
            (f"(c) ANN, {ann_of(view)}{chips}", ann, ann, ann, "exact", ""),
        ]
    return Table(("name", *COST), rows)


_View = TypeVar("_View")


def alike(views_: Sequence[_View], names: Sequence[str]) -> list[tuple[_View, str]]:
    """Equal views once, each with the names it is for; no names where it is for all."""
    found = [view for i, view in enumerate(views_) if view not in views_[:i]]
    chips = [", ".join(name for other, name in zip(views_, names, strict=True) if other == view) for view in found]
    return [(view, "" if len(found) == 1 else f" {those}") for view, those in zip(found, chips, strict=True)]


def composition(energies: Sequence[Energy], names: Sequence[str]) -> Table:
    """Views (a) and (c) by part: what the papers' figure counts, what it leaves out, and memory."""
    bars: list[tuple[str, Mapping[str, float]]] = []
    for paper, chips in alike([e.paper for e in energies], names):
        bars += [
            (f"(a) SNN{chips}", {"arithmetic": paper.snn_pj}),
            (f"(a) SNN, all of it{chips}", {"arithmetic": paper.snn_pj, **paper.left_out_pj}),
            (f"(a) ANN, fp32{chips}", {"arithmetic": paper.ann_pj}),
        ]
    for view, chips in alike([e.memory for e in energies], names):
        bars += [(f"(c) SNN{chips}", view.snn_pj), (f"(c) ANN, {ann_of(view)}{chips}", view.ann_pj)]
    parts = list(dict.fromkeys(part for _, bar in bars for part in bar))
    rows: list[tuple[Cell, ...]] = [(label, *(bar.get(part) for part in parts)) for label, bar in bars]
    return Table(("name", *(f"{part}_pj" for part in parts)), rows)
