"""What the terminal shows of a program: its nodes, and where it comes from."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ecmt_deploy.errors import plural
from ecmt_deploy.placement import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.report import units
from ecmt_deploy.report.facts import classes, facts, preprocessing
from ecmt_deploy.report.tables.placements import cores_of
from ecmt_deploy.report.tables.plain import PlainTable

if TYPE_CHECKING:
    from ecmt_deploy.report.summary import Summary


def converted(program: Program, path: Path) -> str:
    """A few lines about a program that was just written: what it is, and what it takes its inputs and outputs for."""
    config, tuned = program.provenance.config or {}, program.provenance.tuning
    line = (
        f"wrote {path}: {plural(len(program.nodes), 'node')}, {neurons(program)}, {program.coding} coding, preset"
        f" {config.get('preset')}\npreprocessing: {preprocessing(program.provenance)}\n"
        f"classes: {classes(program.provenance.class_names)}"
    )
    drawn = program.provenance.calibration
    if drawn is not None and drawn.skipped:
        line = f"{line}\ncalibration: {plural(drawn.skipped, 'damaged image')} left out of those drawn"
    if tuned is None:
        return line
    events = f"{units.per_mac(tuned.events_per_mac)} synaptic events per MAC"
    if config.get("budget") is not None:
        events += f" of a budget of {config['budget']:g}"
    away = f"readout within {100 * tuned.relative_error**0.5:.2g} % of its spread"
    if tuned.worst_distance is not None:
        away += f", {100 * tuned.worst_distance:.2g} % in the worst sample"
    return f"{line}\ntuned for T = {tuned.timesteps} on {tuned.samples} calibration samples: {events}, {away}"


def neurons(program: Program) -> str:
    """How many neurons there are, and in how many layers."""
    number = sum(prod(program.shapes[name]) for name in program.neurons)
    return f"{plural(number, 'neuron')} in {plural(len(program.neurons), 'layer')}"


def summarised(found: Summary, width: int) -> PlainTable:
    """A row a module and the total; names are whole, so that they can be pasted: a narrow terminal shows fewer columns."""
    columns = {
        "module": [row.module for row in found.rows],
        "parameters": [_amount(row.parameters) for row in found.rows],
        "MACs": [_amount(row.macs) for row in found.rows],
        "neurons": [_amount(row.neurons) for row in found.rows],
        "state, KiB": [units.size(row.state_bytes) if row.state_bytes else "" for row in found.rows],
        "events": [_amount(row.events) for row in found.rows],
        "cores": [_amount(row.cores) for row in found.rows],
        "nodes": [f"{row.nodes:,}" for row in found.rows],
    }
    whole = found.total
    amounts = (whole.parameters, whole.macs, whole.neurons)
    totals = [_amount(amount) or "0" for amount in amounts] + [units.size(whole.state_bytes), _amount(whole.events)]
    totals += [_amount(whole.cores), f"{whole.nodes:,}"]
    shown = {name: (cells, total) for (name, cells), total in zip(columns.items(), ["total", *totals], strict=True)}
    shown = {name: column for name, column in shown.items() if name == "module" or column[1]}
    while len(shown) > 2 and sum(max(map(len, (name, total, *cells))) + 1 for name, (cells, total) in shown.items()) > width:
        shown.popitem()
    rate = "unknown" if found.events_per_mac is None else f"{units.per_mac(found.events_per_mac)} in {found.events_of}"
    caption = f"synaptic events per MAC: {rate}, T = {found.timesteps}"
    table = PlainTable(found.title, *shown, caption=caption, show_edge=False)
    for row in zip(*(cells for cells, _ in shown.values()), strict=True):
        table.add_row(*row)
    table.add_row()
    table.add_row(*(total for _, total in shown.values()))
    return table


def _amount(number: float | None) -> str:
    """A number of a module; nothing where it has none."""
    if not number:
        return ""
    return units.count(number) if number < 1e6 else units.large(number)


def program(loaded: Program, placed: Placement | None) -> PlainTable:
    """Every node: type, shape, whether NIR itself defines it, and its cores where it is placed. Names can be pasted."""
    columns = ["node", "type", "shape", "stream", *(["format"] if loaded.integer else [])]
    title = plural(len(loaded.nodes), "node") + (f", and their cores on {placed.hardware}" if placed else "")
    table = PlainTable(title, *columns, *(["cores"] if placed else []), wide=(0, 1), caption="* standard NIR")
    table.columns[0].no_wrap = True
    on_cores = {name: unit for unit in placed.units for name in unit.nodes} if placed else {}
    for name, node in loaded.nodes.items():
        stream = "spikes" if name in loaded.spiking else "exact" if name in loaded.exact else "analog"
        kind = f"{node.kind} {node.detail}".strip() + (" *" if node.standard else "")
        cells = [name, kind, _shape(loaded.shapes[name]), stream]
        if loaded.integer:
            cells.append(_format(loaded, name))
        if placed:
            elsewhere = "host" if name in loaded.outside and node.role not in ("input", "movement") else ""
            cells.append(cores_of(on_cores[name]) if name in on_cores else elsewhere)
        table.add_row(*cells)
    return table


def _format(loaded: Program, name: str) -> str:
    """Width and exponent of a stream: integers of so many bits, times a power of two; spikes are payloads."""
    node = loaded.nodes[name]
    if node.emits == "spikes":
        return f"{node.message_bits} bit"
    if name not in loaded.exponents:
        return ""
    bits = f"{node.format.state_bits} bit, " if node.format else ""
    return f"{bits}2^{loaded.exponents[name]}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


def origin(loaded: Program) -> str:
    """Where a program comes from, in a few lines: the model, its weights, how it was converted, and its classes."""
    source = loaded.provenance
    key = "" if source.weights_key is None else f" (weights of the file: {source.weights_key or 'all of it'})"
    weights = f"weights {source.weights_sha256[:12]}{key}" if source.weights_sha256 else "weights unknown"
    known = dict(facts(source))
    said = [f"preset {known['preset']}"] if "preset" in known else []
    said += [f"calibrated on {known['calibration']}"] if "calibration" in known else []
    said += [f"fixed point: {known['fixed point']}"] if "fixed point" in known else []
    of = f"of {source.model or 'an unknown model'}, {weights}"
    made = f"by version {source.tool_version}, dialect {source.dialect_version}"
    return (
        f"made {of}{''.join(f', {each}' for each in said)}\n{made}; classes {classes(source.class_names)} (--details has all)"
    )


def provenance(loaded: Program) -> PlainTable:
    """Where a program comes from."""
    source = loaded.provenance
    table = PlainTable("Provenance", "", " ", wide=(0, 1))
    for fact in facts(source):
        table.add_row(*fact)
    table.add_row("tool, dialect", f"{source.tool_version}, {source.dialect_version}")
    standard = sum(node.standard for node in loaded.nodes.values())
    inputs = sum(node.standard and node.role == "input" for node in loaded.nodes.values())
    table.add_row("nodes", f"{standard} of standard NIR ({inputs} input), {len(loaded.nodes) - standard} of the dialect")
    return table
