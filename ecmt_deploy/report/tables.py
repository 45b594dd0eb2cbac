"""What the terminal shows: tables, and the few lines that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ecmt_deploy.evaluation.intervals import percent
from ecmt_deploy.evaluation.score import Spread
from ecmt_deploy.placement import Placement, Unit
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.report.facts import classes, facts, preprocessing
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.simulation.traces import Trace


class PlainTable(Table):
    """A table whose cells are shown as they are: names come from files, and must not be read as markup."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row of strings."""
        super().add_row(*(Text(cell) for cell in cells), **options)


def _table(title: str, *columns: str) -> Table:
    table = PlainTable(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for i, column in enumerate(columns):
        heading = Text(column)
        table.add_column(heading, justify="left" if i == 0 else "right", overflow="fold", no_wrap=i > 0)
    return table


def _wrap(table: Table, column: int) -> None:
    """Make a column one of text: to the left, over several lines."""
    table.columns[column].justify, table.columns[column].no_wrap = "left", False


def accuracy(
    spiking: Sequence[float],
    agreement: Sequence[float] | None,
    analog: float | None,
    samples: int,
    cosine: Spread | None = None,
) -> Table:
    """Accuracy after every step, with the analog model's in the last row, where there is one, each with its 95 % interval.

    Beside the cosine of the readouts with the analog ones, its mean, that of one sample in twenty, and the worst.
    """
    compared = agreement is not None and analog is not None
    columns = [*(["agreement %"] if compared else []), *(["cosine", "5th %ile", "worst"] if cosine else [])]
    table = _table(f"Accuracy on {samples} samples (95 % interval)", "T", "accuracy %", *columns)
    for t, right in enumerate(spiking):
        same = [percent(agreement[t], samples)] if agreement is not None and compared else []
        near = [f"{values[t]:.4f}" for values in (cosine.mean, cosine.percentile_5, cosine.worst)] if cosine else []
        table.add_row(str(t + 1), percent(right, samples), *same, *near)
    if analog is not None and compared:
        table.add_section()
        table.add_row("analog", percent(analog, samples))
    return table


def saturations(activity: Activity) -> Table | None:
    """Nodes in which integers were clipped, the most first; ``None`` where there are none."""
    found = sorted(((c.saturations, name) for name, c in activity.items() if c.saturations), reverse=True)
    if not found:
        return None
    table = _table("Saturations: integers clipped to the width of their node", "node", "per inference")
    for count, name in found:
        table.add_row(name, f"{count / activity.n_samples:,.2f}")
    return table


def took(record: RunRecord) -> str:
    """Seconds to build and to run, where they are known."""
    if record.build_seconds is None or record.run_seconds is None:
        return ""
    steps = record.n_samples * record.timesteps
    return (
        f"ready after {record.build_seconds:.1f} s; {steps} steps in {record.run_seconds:.1f} s, "
        f"{1000 * record.run_seconds / steps:.1f} ms a step"
    )


def converted(program: Program, path: Path) -> str:
    """A few lines about a program that was just written: what it is, and what it takes its inputs and outputs for."""
    neurons = sum(prod(program.shapes[name]) for name in program.neurons)
    config, tuned = program.provenance.config or {}, program.provenance.tuning
    line = (
        f"wrote {path}: {len(program.nodes)} nodes, {neurons:,} neurons in {len(program.neurons)} layers, "
        f"{program.coding} coding, preset {config.get('preset')}\npreprocessing: {preprocessing(program.provenance)}\n"
        f"classes: {classes(program.provenance.class_names)}"
    )
    if tuned is None:
        return line
    events = f"{tuned.events_per_mac:.2f} synaptic events per MAC"
    if config.get("budget") is not None:
        events += f" of a budget of {config['budget']:g}"
    away = f"readout within {100 * tuned.relative_error**0.5:.2g} % of its spread"
    if tuned.worst_distance is not None:
        away += f", {100 * tuned.worst_distance:.2g} % in the worst sample"
    return f"{line}\ntuned for T = {tuned.timesteps} on {tuned.samples} calibration samples: {events}, {away}"


def trace(measured: Trace) -> Table:
    """Relative error of every node after every step, over all samples, and after the last step also of single samples.

    Neurons have their spikes too, and the share that fired the highest level. Nodes before the first neuron have no error and
    are left out.
    """
    steps = _shown_steps(measured.timesteps)
    title = f"Relative error in %, {measured.coding} coding, {measured.n_samples} samples"
    table = _table(title, "node", *(f"T={t}" for t in steps), "95th", "worst", "spikes", "top %")
    table.columns[0].min_width = 24
    table.caption = Text(
        f"95th, worst: percentile and worst of the samples, T={steps[-1]}   spikes: per neuron over all steps   "
        "top %: neurons and steps that fired the highest level"
    )
    table.caption_justify = "left"
    for node in measured.nodes:
        if not max(node.relative_error) > EXACT:
            continue
        errors = [f"{100 * node.relative_error[t - 1]:.2f}" for t in steps]
        single = [f"{100 * values[-1]:.2f}" if values else "" for values in (node.percentile_95, node.worst)]
        spiking = [f"{sum(node.spike_rate):.3f}", f"{100 * sum(node.saturation):.2f}"] if node.spike_rate else ["", ""]
        table.add_row(node.node, *errors, *single, *spiking)
    return table


#: a relative error that is rounding
EXACT = 1e-5


def _shown_steps(timesteps: int) -> list[int]:
    """At most four steps, the last among them; the JSON has all."""
    if timesteps <= 4:
        return list(range(1, timesteps + 1))
    return sorted({1, 2, 4, *(t for t in (8, 16, 32, 64) if t < timesteps), timesteps})[-4:]


def classification(image: Path, steps: Sequence[Sequence[tuple[str, float]]]) -> Table:
    """The most probable classes of one image, one row per step."""
    table = _table(str(image), "T", *(f"{i}." for i in range(1, len(steps[0]) + 1)))
    for t, best in enumerate(steps, start=1):
        table.add_row(str(t), *(f"{name} {100 * p:.1f} %" for name, p in best))
    return table


def program(loaded: Program, placed: Placement | None) -> Table:
    """Every node: type, shape, whether NIR itself defines it, and its cores where it is placed."""
    columns = ["node", "type", "NIR", "shape", "stream", *(["format"] if loaded.integer else [])]
    title = f"{len(loaded.nodes)} nodes" + (f", and their cores on {placed.hardware}" if placed else "")
    table = _table(title, *columns, *(["cores"] if placed else []))
    _wrap(table, 1)
    units = {name: unit for unit in placed.units for name in unit.nodes} if placed else {}
    for name, node in loaded.nodes.items():
        stream = "spikes" if name in loaded.spiking else "analog"
        cells = [
            name,
            f"{node.kind} {node.detail}".strip(),
            "standard" if node.standard else "dialect",
            _shape(loaded.shapes[name]),
            stream,
        ]
        if loaded.integer:
            cells.append(_format(loaded, name))
        if placed:
            cells.append(cores_of(units[name]) if name in units else "")
        table.add_row(*cells)
    return table


def cores_of(unit: Unit) -> str:
    """First and last core of a unit."""
    if not unit.cores:
        return "none"
    last = unit.first_core + unit.cores - 1
    return str(last) if unit.cores == 1 else f"{unit.first_core}-{last}"


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


def provenance(loaded: Program) -> Table:
    """Where a program comes from."""
    source = loaded.provenance
    table = _table("Provenance", "", " ")
    _wrap(table, 1)
    for fact in facts(source):
        table.add_row(*fact)
    table.add_row("tool, dialect", f"{source.tool_version}, {source.dialect_version}")
    standard = sum(node.standard for node in loaded.nodes.values())
    inputs = sum(node.standard and node.role == "input" for node in loaded.nodes.values())
    table.add_row("nodes", f"{standard} of standard NIR ({inputs} input), {len(loaded.nodes) - standard} of the dialect")
    return table
