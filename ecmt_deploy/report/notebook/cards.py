"""The card of every result: the answer first, then the few rows a person looks at next."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import msgspec

from ecmt_deploy.chips.schema import Figure, Hardware, Price, figures
from ecmt_deploy.config import Preset
from ecmt_deploy.errors import plural
from ecmt_deploy.estimation.result import Energy
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.program.frames import FrameCounts
from ecmt_deploy.program.parameters import network_parameters
from ecmt_deploy.report import comparison as compare
from ecmt_deploy.report import data, units
from ecmt_deploy.report.notebook.card import card
from ecmt_deploy.report.verdict import in_brief
from ecmt_deploy.simulation.traces import Trace

#: rows of a card
MOST = 5
_TABLE = "to_frame() is the table of all nodes"


def program(loaded: Program, kind: str = "Program", where: str = "") -> str:
    """What it is, and its size."""
    macs = sum(loaded.network_macs(name) for name in loaded.nodes)
    weights = sum(network_parameters(loaded, name) for name in loaded.nodes)
    neurons = sum(prod(loaded.shapes[name]) for name in loaded.neurons)
    rows = [
        ("parameters", units.large(weights)),
        ("MACs of the network, per sample", units.large(macs)),
        ("neurons", f"{units.large(neurons)} in {plural(len(loaded.neurons), 'layer')}"),
        ("preset", str((loaded.provenance.config or {}).get("preset", "unknown"))),
    ]
    return card(kind, loaded.summary + where, (), rows, _TABLE)


def model(snn: Any) -> str:
    """The program of a model, and where it runs."""
    return program(snn.program, "SpikingModel", f", on {snn.device}")


def activity(counted: Activity, kind: str = "Activity", answer: str = "") -> str:
    """What happened per inference, and where most of it did."""
    n, counts = max(counted.n_samples, 1), dict(counted.items())
    synops = sum(c.synops for c in counts.values())
    busiest = sorted(counts, key=lambda name: -counts[name].synops)[:MOST]
    rows = [
        (name, units.count(counts[name].synops / n), units.percent(counts[name].synops / synops))
        for name in busiest if counts[name].synops
    ]  # fmt: skip
    spikes = sum(c.spikes for c in counts.values())
    said = answer or f"{plural(counted.n_samples, 'sample')}, T = {counted.timesteps}"
    each = "frame" if counted.continued else "inference"
    said += f", {units.count(spikes / n)} spikes and {units.count(synops / n)} synaptic events per {each}"
    header = ("node", f"synaptic events per {each}", "share") if rows else ()
    return card(kind, said, header, rows, _TABLE)


def run(made: Any, kind: str = "Run") -> str:
    """What ran, its events, and where most of them are."""
    return activity(made.activity, kind, repr(made).partition("(")[2].removesuffix(")"))


def stored(kept: Any) -> str:
    """The run, and where it is."""
    record = kept.record
    right = f", {_share(record.accuracy[-1], record.n_samples)} right" if record.accuracy else ""
    return activity(
        kept.activity, "StoredRun", f"{kept.path}, {plural(record.n_samples, 'sample')} on {record.target}, "
        f"T = {record.timesteps}{right}"
    )  # fmt: skip


def frames(counted: FrameCounts) -> str:
    """How many frames, and their events together."""
    said = f"{plural(len(counted), 'frame')} of {plural(counted.timesteps, 'step')}, {plural(counted.streams, 'stream')}"
    return activity(counted.total, "FrameCounts", said)


def counts(counted: Counts) -> str:
    """Counts that are not zero."""
    known = {name: value for name, value in msgspec.structs.asdict(counted).items() if name != "ecm_ops"}
    known |= {f"ecm_ops, {kind}": number for kind, number in counted.ecm_ops.items()}
    rows = [(name, f"{value:,}") for name, value in known.items() if value]
    return card("Counts", "of one node, over all samples" if rows else "nothing happened", (), rows)


def energy(e: Energy) -> str:
    """Whether it fits and pays, and the layers that cost most."""
    layers = sorted(data.by_layer(e), key=lambda row: -row.priced_pj.value)[:MOST]
    total = sum(row.priced_pj.value for row in e.rows)
    rows = [
        (row.node, units.energy(row.priced_pj.value), units.percent(row.priced_pj.value / total) if total else "",
         plural(len(row.unpriced), "count") if row.unpriced else "")
        for row in layers if row.components_pj or row.unpriced
    ]  # fmt: skip
    missing = f"without a price: {', '.join(sorted(e.unpriced))}; " if e.unpriced else ""
    return card("Energy", in_brief(e), ("layer", "energy", "of nodes", "without a price"), rows, f"{missing}{_TABLE}")


def score(result: Any) -> str:
    """Accuracy after the last step, and after the steps before."""
    n, steps = result.n_samples, len(result.accuracy)
    shown = range(max(steps - MOST, 0), steps)
    rows = [
        (f"{t + 1}", units.accuracy(result.accuracy[t], n),
         "" if result.agreement is None else units.hundredths(result.agreement[t]))
        for t in shown
    ]  # fmt: skip
    said = f"{_share(result.accuracy[-1], n)} right after {plural(steps, 'step')}" if steps else "no samples yet"
    analog = "" if result.analog_accuracy is None else f", the network {units.hundredths(result.analog_accuracy)} %"
    header = ("T", "right, % (95 % interval)", "as the network, %")
    return card(
        type(result).__name__, f"{said}{analog}", header, rows, f"{plural(n, 'sample')}; to_frame(), plot()" if n else ""
    )


def _share(share: float, samples: int) -> str:
    return f"{units.hundredths(share)} % ({units.measured(share, samples)})"


def comparison(compared: compare.Comparison) -> str:
    """Runs on the front of accuracy and events per MAC."""
    points = compare.event_points(compared)
    front = [points[i] for i in compare.pareto_front([(p.cost, p.accuracy) for p in points])]
    rows = [(p.label, units.per_mac(p.cost), units.hundredths(p.accuracy)) for p in front]
    chips = len(compared.entries[0].report.energies) if compared.entries else 0
    said = f"{plural(len(compared.entries), 'run')} on {plural(chips, 'chip')}; no other run beats these:"
    return card("Comparison", said, ("run", "events per MAC", "right, %"), rows, "to_frame() is the table of all runs, plot()")


def placement(placed: Placement) -> str:
    """Whether it fits, what stands in the way, and the largest units."""
    if placed.obstacles:
        rows = [(obstacle.node or "the program", obstacle.sentence) for obstacle in placed.obstacles[:MOST]]
        return card("Placement", f"{placed.hardware}: {placed.verdict}", ("does not fit", "why"), rows)
    largest = sorted(placed.units, key=lambda unit: -unit.cores)[:MOST]
    rows_ = [(unit.name, f"{unit.cores:,}", unit.binding or "") for unit in largest]
    said, header = f"{placed.hardware}: {placed.verdict}", ("largest units", "cores", "decided by")
    return card("Placement", said, header, rows_, "to_frame() is the table of all units, plot()")


def hardware(chip: Hardware) -> str:
    """Its prices and limits, each with the grade of its source."""
    shown: dict[str, Figure] = {**chip.prices}
    limits = {name: getattr(chip.limits, name) for name in chip.limits.__struct_fields__}
    shown |= {name: figure for name, figure in limits.items() if figure is not None}
    usual = ("synop_pj", "neuron_update_pj", "cores_per_chip", "neurons_per_core", "graded_payload_bits")
    order = sorted(shown, key=lambda name: usual.index(name) if name in usual else len(usual))
    rows = [(name, units.figure(shown[name]), f"{shown[name].grade}, {shown[name].method}") for name in order[: 2 * MOST]]
    known = f"{plural(len(figures(chip)), 'figure')} from {plural(len(chip.sources), 'source')}"
    unpriced = "" if any(isinstance(price, Price) for price in chip.prices.values()) else "; it has no price at all"
    note = f"{known}{unpriced}; what is not given is unknown; to_frame() is the table of all"
    return card("Hardware", f"{chip.name}, {chip.title}", ("statement", "value", "grade, method"), rows, note)


def preset(config: Preset) -> str:
    """Its options."""
    rows = [(name, str(getattr(config, name))) for name in config.__struct_fields__]
    return card("ConvertConfig", f"preset {config.name}, {config.coding} coding, T = {config.timesteps}", (), rows)


def trace(measured: Trace) -> str:
    """The nodes that are farthest from their analog values at the end."""
    known = [node for node in measured.nodes if node.relative_error]
    worst = sorted(known, key=lambda node: -node.relative_error[-1])[:MOST]
    rows = [(node.node, node.kind, units.hundredths(node.relative_error[-1])) for node in worst]
    said = f"{plural(measured.n_samples, 'sample')}, T = {measured.timesteps}; the nodes farthest from their analog values"
    return card("Trace", said, ("node", "type", "error, %"), rows, _TABLE)


def stream(result: Any) -> str:
    """How many frames, what they cost, and where the run is."""
    rates = [row.events_per_mac for row in result.rows if row.events_per_mac is not None]
    mean = f", {units.per_mac(sum(rates) / len(rates))} events per MAC on average" if rates else ""
    rows = [
        (f"{row.frame}", units.percent(row.patches_sent), units.per_mac(row.events_per_mac), row.top[0][0] if row.top else "")
        for row in result.rows[-MOST:]
    ]
    kept = "" if result.stored is None else f"kept in {result.stored.path}; "
    header = ("last frames", "patches sent", "events per MAC", "answer")
    said = f"{plural(len(result.rows), 'frame')} on {result.record.target}{mean}"
    return card("StreamResult", said, header, rows, f"{kept}to_frame() is the table of all frames")


def check(found: Any) -> str:
    """Whether the model converts, and which chips take it."""
    from ecmt_deploy.report.tables.checks import verdict

    if found.model is None:
        look = found.data
        return card("Check", f"{look.name}: {plural(look.damaged, 'damaged sample')}", (), [
            (split.split, plural(split.samples, "sample")) for split in look.splits
        ])  # fmt: skip
    words = {True: "takes it", False: "does not", None: "states no limits"}
    chips = [(chip.hardware, words[chip.takes], "" if chip.cores is None else f"{chip.cores:,}") for chip in found.chips]
    answer, _, size = verdict(found.model, found.weights).partition("\n")
    return card("Check", answer, ("chip", "", "cores") if chips else (), chips, size.partition("\n")[0])


def summary(of: Any) -> str:
    """A program and its largest modules."""
    largest = sorted(of.rows, key=lambda row: -row.macs)[:MOST]
    rows = [
        (row.module, units.large(row.parameters), units.large(row.macs), units.large(row.neurons))
        for row in (*largest, of.total)
    ]
    header = ("modules with most MACs", "parameters", "MACs", "neurons")
    return card("Summary", of.title, header, rows, "print() shows all modules, and so does to_frame()")


def loaded_model(found: Any) -> str:
    """What a model by name is."""
    size = sum(parameter.numel() for parameter in found.module.parameters())
    reads = "text" if found.text is not None else "images"
    said = f"{found.name}, {units.large(size)} parameters, takes {reads}"
    return card("Model", f"{said}{', random weights' if found.random else ''}", (), [("module", type(found.module).__name__)])


CARDS: dict[str, Callable[[Any], str]] = {
    "Activity": activity, "Check": check, "Comparison": comparison, "Counts": counts, "Energy": energy, "Evaluation": score,
    "FrameCounts": frames, "Hardware": hardware, "Model": loaded_model, "Placement": placement, "Preset": preset,
    "Program": program, "Run": run, "Score": score, "SpikingModel": model, "StoredRun": stored, "StreamResult": stream,
    "Summary": summary, "Trace": trace,
}  # fmt: skip
