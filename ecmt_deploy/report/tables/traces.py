"""What the terminal shows of a trace: whether the spiking network follows the ANN, and which nodes are furthest from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecmt_deploy.errors import plural
from ecmt_deploy.program.layers import grouped
from ecmt_deploy.report import units
from ecmt_deploy.report.tables.plain import PlainTable
from ecmt_deploy.simulation.traces import NodeTrace, Trace

#: a relative error that is rounding; one that is worth a look; and one at which little of the ANN's value is left
EXACT, LARGE, LOST = 1e-5, 0.1, 0.5
#: layers of which the terminal shows the worst node
WORST = 10


def traced(measured: Trace, details: bool) -> tuple[str, Callable[[int], PlainTable], str]:
    """The answer, the table of the worst node of the worst layers, with ``details`` of all nodes, and how to see the others."""
    found, every = _worst(measured), _inexact(measured)
    if details or len(found) == len(every):
        return answer(measured), lambda width: trace(measured, width), ""
    title = f"Relative error in % at the worst node of {'each layer' if len(found) < WORST else f'the {WORST} worst layers'}"
    rest = f"({plural(len(every) - len(found), 'node')} more: --details, or --out FILE.csv)"
    return answer(measured), lambda width: _table(title, found, measured, width), rest


def answer(measured: Trace) -> str:
    """Whether the readout follows the ANN's, at which node errors become large, and where they are largest."""
    if not measured.nodes:
        return "no node of the program computes anything that could be compared"
    end, last = measured.nodes[-1], measured.timesteps
    worst = max(measured.nodes, key=lambda node: node.relative_error[-1])
    if worst.relative_error[-1] <= EXACT:
        return f"The spiking network computes the ANN's values at every node after T = {last}."
    follows = "does not follow" if end.relative_error[-1] > LOST else "follows"
    single = f", {_percent(end.worst[-1])} % in the worst of {plural(measured.n_samples, 'sample')}" if end.worst else ""
    begin = f", and {_percent(end.relative_error[0])} % after T = 1" if last > 1 else ""
    lines = [
        f"The spiking network {follows} the ANN: its readout differs by {_percent(end.relative_error[-1])} % after T = {last}"
        f"{single}{begin}."
    ]
    first = next((node for node in measured.nodes if node.relative_error[-1] > LARGE), None)
    at = f"{_percent(worst.relative_error[-1])} % at {worst.node}"
    large = f"node that differs by more than {100 * LARGE:.0f} %"
    where = "" if first is None else f"The first {large} is {first.node}, with {_percent(first.relative_error[-1])} %"
    lines.append(f"{where or f'There is no {large}'}; the largest error is {at}.")
    return "\n".join([*lines, *filter(None, [breaks(measured)])])


def breaks(measured: Trace) -> str:
    """Of an integer program, a line that names the nodes which add the largest errors by themselves, the worst first."""
    worst = measured.breaking[:3]
    if not worst:
        return ""
    named = ", ".join(f"{node.node} ({node.kind}) {_percent(node.own_error or 0.0)} %" for node in worst)
    return f"largest errors that nodes add by themselves, given their operands: {named}"


def trace(measured: Trace, width: int = 1000) -> PlainTable:
    """Relative error of every node after every step, over all samples, and after the last step also of single samples.

    Neurons have their spikes too, and the share that fired the highest level. Nodes before the first neuron have no error and
    are left out.
    """
    return _table("Relative error in % of every node", _inexact(measured), measured, width)


def _inexact(measured: Trace) -> list[NodeTrace]:
    return [node for node in measured.nodes if max(node.relative_error) > EXACT]


def _worst(measured: Trace) -> list[NodeTrace]:
    """The worst node of the worst layers after the last step, the worst first."""
    nodes = {node.node: node for node in _inexact(measured)}
    worst = [max((nodes[name] for name in names), key=_last) for names in grouped(nodes).values()]
    return sorted(worst, key=_last, reverse=True)[:WORST]


def _last(node: NodeTrace) -> float:
    return node.relative_error[-1]


def _table(title: str, nodes: Sequence[NodeTrace], measured: Trace, width: int) -> PlainTable:
    """A row a node; names are whole, so that they can be pasted: a narrow terminal shows fewer columns."""
    last = measured.timesteps
    columns: dict[str, Callable[[NodeTrace], str]] = {
        **{f"T={t}": lambda node, t=t: _percent(node.relative_error[t - 1]) for t in _shown_steps(last)},  # type: ignore[misc]
        "95th": lambda node: _percent(node.percentile_95[-1]) if node.percentile_95 else "",
        "worst": lambda node: _percent(node.worst[-1]) if node.worst else "",
        "spikes": lambda node: units.per_neuron(sum(node.spike_rate)) if node.spike_rate else "",
        "top %": lambda node: _percent(sum(node.saturation)) if node.saturation else "",
    }
    cells = {heading: [cell(node) for node in nodes] for heading, cell in columns.items()}
    # what a narrow terminal does without, the least first
    spare = ["top %", "95th", *(f"T={t}" for t in reversed(_shown_steps(last)[1:-1])), "spikes", "worst", "T=1"]
    room = width - max((len(node.node) for node in nodes), default=0)
    for heading in spare:
        if sum(max(map(len, (name, *column))) + 1 for name, column in cells.items()) <= room:
            break
        if len(cells) > 1:
            cells.pop(heading, None)
    legend = {
        "95th": f"95th: one sample in twenty is worse, T={last}",
        "worst": f"worst: of the samples, T={last}",
        "spikes": "spikes: per neuron over all steps",
        "top %": "top %: neurons and steps that fired the highest level",
    }
    over = f"{measured.coding} coding, {plural(measured.n_samples, 'sample')}"
    caption = "   ".join(words for heading, words in legend.items() if heading in cells)
    table = PlainTable(f"{title}, {over}", "node", *cells, caption=caption, show_edge=False)
    for node, *row in zip(nodes, *cells.values(), strict=True):
        table.add_row(node.node, *row)
    return table


def _percent(share: float) -> str:
    """A share in per cent, without the sign."""
    return units.in_column(100 * share) if share else "0"


def _shown_steps(timesteps: int) -> list[int]:
    """At most four steps, the last among them; the JSON has all."""
    if timesteps <= 4:
        return list(range(1, timesteps + 1))
    return sorted({1, 2, 4, *(t for t in (8, 16, 32, 64) if t < timesteps), timesteps})[-4:]
