"""What the terminal shows of a demo: a line or two for every stage, the answer of each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ecmt_deploy.errors import plural
from ecmt_deploy.estimation import Energy
from ecmt_deploy.evaluation.score import Evaluation
from ecmt_deploy.program import Program
from ecmt_deploy.report import units
from ecmt_deploy.report.tables.prices import lines
from ecmt_deploy.report.tables.programs import neurons
from ecmt_deploy.report.verdict import Brief, measured
from ecmt_deploy.runs.record import RunRecord


def stage(name: str, said: str) -> Table:
    """A line about a stage, beneath itself where it needs another."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=9, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(name, style="bold"), Text(said))
    return table


def converted(program: Program) -> str:
    """What a program is, and for what it was tuned."""
    source = program.provenance
    config, tuned = source.config or {}, source.tuning
    line = f"{source.model}: {neurons(program)}, preset {config.get('preset')}, T = {program.timesteps}"
    return line if tuned is None else f"{line}, {units.per_mac(tuned.events_per_mac)} events per MAC in calibration"


def evaluated(result: Evaluation) -> str:
    """Accuracy at the first step and the last, and the network's, each with its 95 % interval."""
    n, steps = result.n_samples, sorted({1, len(result.accuracy)})
    said = [f"T = {t}: {units.accuracy(result.accuracy[t - 1], n)}" for t in steps]
    analog = [] if result.analog_accuracy is None else [f"analog: {units.accuracy(result.analog_accuracy, n)}"]
    return f"accuracy in % (95 % interval) on {plural(n, 'sample')}: {', '.join(said + analog)}"


def simulated(record: RunRecord) -> str:
    """Accuracy on a target, and whether its spikes and counts are those of the reference."""
    right = units.accuracy(record.accuracy[-1], record.n_samples)
    line = f"{record.target}, {plural(record.n_samples, 'sample')}, T = {record.timesteps}: accuracy {right} %"
    return f"{line}; {conformance(record)}" if record.conformance else line


def conformance(record: RunRecord) -> str:
    """How a run compares with the reference on the same samples."""
    compared = record.conformance
    assert compared is not None
    same = [f"{name} {'equal' if yes else 'NOT equal'}"
            for name, yes in (("spikes", compared.spikes_equal), ("all counts", compared.counts_equal))]  # fmt: skip
    apart = compared.max_abs_logit_difference
    readouts = f"readouts within {units.difference(apart)}" if apart else "readouts equal"
    return f"against the {compared.reference_target}: {', '.join(same)}, {readouts}"


def priced(energies: Sequence[Energy], each: str = "inference") -> RenderableType:
    """A line a chip, those that fit first, and what the lines mean."""
    network = Brief.of(energies[0]).network
    legend = [
        f"per {each}; times the energy of the {network} network, memory included" if network else f"per {each}",
        f"pays below so many events per MAC{f' ({measured(energies)})' if measured(energies) else ''}",
        "+ more has no price",
    ]
    return Group(stage("energy", "; ".join(legend)), Padding(lines(energies), (0, 0, 0, 2)))
