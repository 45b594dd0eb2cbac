"""What the terminal shows of a program: its nodes, and where it comes from."""

from __future__ import annotations

from math import prod
from pathlib import Path

from ecmt_deploy.errors import plural
from ecmt_deploy.placement import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.report import units
from ecmt_deploy.report.facts import classes, facts, preprocessing
from ecmt_deploy.report.tables.placements import cores_of
from ecmt_deploy.report.tables.plain import PlainTable


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


def program(loaded: Program, placed: Placement | None) -> PlainTable:
    """Every node: type, shape, whether NIR itself defines it, and its cores where it is placed."""
    columns = ["node", "type", "NIR", "shape", "stream", *(["format"] if loaded.integer else [])]
    title = plural(len(loaded.nodes), "node") + (f", and their cores on {placed.hardware}" if placed else "")
    table = PlainTable(title, *columns, *(["cores"] if placed else []), wide=(0, 1))
    on_cores = {name: unit for unit in placed.units for name in unit.nodes} if placed else {}
    for name, node in loaded.nodes.items():
        stream = "spikes" if name in loaded.spiking else "exact" if name in loaded.exact else "analog"
        kind, origin = f"{node.kind} {node.detail}".strip(), "standard" if node.standard else "dialect"
        cells = [name, kind, origin, _shape(loaded.shapes[name]), stream]
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
