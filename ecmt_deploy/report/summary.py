"""What a program consists of, module by module: parameters, MACs, neurons, state, and events where they are known."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from math import ceil, prod

import msgspec

from ecmt_deploy.errors import plural
from ecmt_deploy.placement import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.layers import divided, grouped
from ecmt_deploy.program.parameters import network_parameters, state_bits
from ecmt_deploy.shown import Tabular

#: rows that leave room on a screen for what goes with them
SCREEN = 22


class SummaryRow(msgspec.Struct, frozen=True):
    """A module, or all of them together.

    Attributes
    ----------
    module : its path in the ``nn.Module``, or the first parts of it; ``(model)`` is the model itself
    nodes : nodes of the program
    parameters : numbers in weights, biases, constants and functions, as the network has them, and not those of neurons; of an
        integer program tables of functions, too
    macs : multiply-accumulates of the network for one sample
    neurons : multi-threshold neurons
    state_bytes : membranes, accumulators and running sums, as wide as the program computes them
    events : synaptic events of an inference, or of a frame, mean of a run; ``None`` where there was none
    cores : on a chip; ``None`` where the program is placed on none
    """

    module: str
    nodes: int
    parameters: int
    macs: int
    neurons: int
    state_bytes: int
    events: float | None = None
    cores: int | None = None


class Summary(Tabular, msgspec.Struct, frozen=True):
    """A program, module by module; ``print()`` shows it as a table.

    Attributes
    ----------
    title : the program in a line
    rows : module by module, in the order of the program
    total : all of them together
    timesteps : steps T that the events are of
    events_per_mac : synaptic events per MAC of the network, the encoding layer left out of both; ``None`` where unknown
    events_of : what counted them, ``run`` or ``calibration``; ``None`` where unknown
    """

    title: str
    rows: tuple[SummaryRow, ...]
    total: SummaryRow
    timesteps: int
    events_per_mac: float | None = None
    events_of: str | None = None

    def __repr__(self) -> str:
        return f"Summary({self.title}; print() shows its {plural(len(self.rows), 'module')})"

    def __str__(self) -> str:
        from ecmt_deploy.report.tables.programs import summarised
        from ecmt_deploy.untrusted.terminal import Terminal

        console = Terminal(
            file=io.StringIO(), width=Terminal().width, force_jupyter=False
        )  # which would show it, not return it
        console.print(summarised(self, console.width))
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


def summarised(
    program: Program, activity: Activity | None = None, depth: int | None = None, placed: Placement | None = None
) -> Summary:
    """Add up a program module by module.

    Parameters
    ----------
    activity : counts of a run of it, for the events
    depth : how many parts of a module's path tell it from others; by default as many as leave a screen of modules
    placed : the program on a chip, for the cores
    """
    modules = grouped(program.nodes, SCREEN) if depth is None else divided(program.nodes, depth)
    units = {} if placed is None else {unit.name: unit.cores for unit in placed.units}
    rows = tuple(_row(program, module, names, activity, None if placed is None else units) for module, names in modules.items())
    total = _row(program, "total", program.nodes, activity, None if placed is None else units)
    tuned = program.provenance.tuning
    if activity is not None:
        rate, of, steps = activity.events_per_mac(program.encoding), "run", activity.timesteps
    elif tuned is not None:
        rate, of, steps = tuned.events_per_mac, "calibration", tuned.timesteps
    else:
        rate, of, steps = None, None, program.timesteps
    return Summary(program.summary, rows, total, steps, rate, of)


def _row(
    program: Program, module: str, names: Iterable[str], activity: Activity | None, cores: Mapping[str, int] | None
) -> SummaryRow:
    names = list(names)
    return SummaryRow(
        module,
        nodes=len(names),
        parameters=sum(network_parameters(program, name) for name in names),
        macs=sum(program.network_macs(name) for name in names),
        neurons=sum(prod(program.shapes[name]) for name in names if program.nodes[name].role == "neuron"),
        state_bytes=ceil(sum(state_bits(program, name) for name in names) / 8),
        events=None if activity is None else sum(activity[name].synops for name in names) / activity.n_samples,
        cores=None if cores is None else sum(cores.get(name, 0) for name in names),
    )
