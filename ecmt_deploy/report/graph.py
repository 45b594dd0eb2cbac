"""The graph of a program as a drawing: modules, or every node, from top to bottom in the order in which they are evaluated.

Transformers are nearly chains. So boxes stand in one column, each edge to the next box is an arrow, and every other edge, such
as a residual connection, is an arc beside the column. Graphviz lays out the ``.dot`` file itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from math import prod

from ecmt_deploy.errors import plural
from ecmt_deploy.program import Program
from ecmt_deploy.program.graph import named_parameters
from ecmt_deploy.program.layers import grouped
from ecmt_deploy.report.charts.palette import INK, LINE, PALE, SOFT, VERMILION
from ecmt_deploy.report.charts.svg import elided

#: pixels of a box, of the gap beneath it, of a margin, and between arcs
WIDTH, HEIGHT, GAP, MARGIN, LANE = 460, 40, 18, 24, 14
#: characters of a title, and of what stands beneath it
_LONGEST, _DETAIL = 56, 94
_SPIKES, _ANALOG = VERMILION, SOFT
#: roles of nodes, by how much they say about a module
_COMPUTES = (
    "synapse", "neuron", "product", "function", "input", "readout", "output", "arithmetic", "constant", "movement",
)  # fmt: skip


@dataclass(frozen=True)
class Box:
    """One box: a module, or a node.

    Attributes
    ----------
    title : name of the module or node
    kinds, sizes : types of its nodes; their weights and neurons, and the shape of what leaves it
    module : module that it belongs to
    spiking : whether neurons are in it
    """

    title: str
    kinds: str
    sizes: str
    module: str
    spiking: bool


@dataclass(frozen=True)
class Drawing:
    """Boxes in order, and edges (from, to, whether it carries spikes) between them by their number, each forward."""

    title: str
    boxes: Sequence[Box]
    edges: Sequence[tuple[int, int, bool]]


def drawing(program: Program, every_node: bool = False) -> Drawing:
    """The modules of a program, or all its nodes; a module that others interrupt has a box for each of its stretches."""
    module_of = {name: module for module, names in grouped(program.nodes).items() for name in names}
    stretches = [(module, list(names)) for module, names in groupby(program.nodes, module_of.__getitem__)]
    parts = [(module, [name]) for module, names in stretches for name in names] if every_node else stretches
    place = {name: i for i, (_, names) in enumerate(parts) for name in names}
    edges = {
        (place[source], place[name], source in program.spiking)
        for name, sources in program.operands.items()
        for source in sources
        if place[source] != place[name]
    }
    boxes = [
        Box(
            names[0] if every_node else module,
            _kinds(program, names),
            _sizes(program, names),
            module,
            any(name in program.neurons for name in names),
        )
        for module, names in parts
    ]
    return Drawing(program.summary, boxes, sorted(edges))


def _kinds(program: Program, names: Sequence[str]) -> str:
    """Types of the nodes and how many, those that compute before those that only move or hold values."""
    kinds = Counter(program.nodes[n].kind for n in sorted(names, key=lambda n: _COMPUTES.index(program.nodes[n].role)))
    return ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in kinds.items())


def _sizes(program: Program, names: Sequence[str]) -> str:
    """Weights, neurons, and the shape of what leaves the last node."""
    held = [named_parameters(program.nodes[name])["weight"].size for name in names if program.nodes[name].role == "synapse"]
    neurons = [prod(program.shapes[name]) for name in names if name in program.neurons]
    amounts = [plural(sum(of), what) for what, of in (("weight", held), ("neuron", neurons)) if of]
    return ", ".join([*amounts, f"gives {' x '.join(map(str, program.shapes[names[-1]])) or 'one number'}"])


def _first(text: str, most: int) -> str:
    """What stands first in a list that is too long."""
    return text if len(text) <= most else f"{text[: most - 2].rpartition(', ')[0]}, …"


def dot(drawn: Drawing) -> str:
    """The drawing in Graphviz's language, a cluster for neighbouring boxes of one module."""
    lines = ["digraph program {", f"  label={_quoted(drawn.title)}; labelloc=t; fontname=sans;"]
    lines += ["  node [shape=box, fontname=sans, fontsize=10];"]
    for i, (module, boxes) in enumerate(groupby(enumerate(drawn.boxes), lambda item: item[1].module)):
        made = [_dot_box(number, box) for number, box in boxes]
        if len(made) == 1:
            lines += [f"  {line}" for line in made]
        else:
            lines += [f"  subgraph cluster_{i} {{", f"    label={_quoted(module)};", *(f"    {line}" for line in made), "  }"]
    for source, taker, spikes in drawn.edges:
        lines.append(f'  n{source} -> n{taker} [color="{_SPIKES if spikes else _ANALOG}"];')
    return "\n".join([*lines, "}", ""])


def _dot_box(number: int, box: Box) -> str:
    return f"n{number} [label={_quoted(box.title, box.kinds, box.sizes)}];"


def _quoted(*lines: str) -> str:
    """Lines as a string of DOT: quotes would end it, and a backslash begins an escape."""
    inner = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return f'"{inner}"'


def svg(drawn: Drawing) -> str:
    """The drawing as one SVG, on white."""
    jumps = [(a, b, spikes) for a, b, spikes in drawn.edges if b > a + 1]
    lanes = _lanes([(a, b) for a, b, _ in jumps])
    width = 2 * MARGIN + WIDTH + LANE * (max(lanes, default=-1) + 2)
    top = MARGIN + 44
    height = top + len(drawn.boxes) * (HEIGHT + GAP) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' style="background: white" font-family="sans-serif" role="img">',
        f"<title>{escape(drawn.title)}</title>",
        "<defs>", _arrow("spikes", _SPIKES), _arrow("analog", _ANALOG), "</defs>",
        _text(MARGIN, MARGIN, elided(drawn.title, 88), 11, INK),
        _text(MARGIN, MARGIN + 18, "spikes, and who sends them", 11, _SPIKES),
        _text(MARGIN + 160, MARGIN + 18, "analog values", 11, _ANALOG),
    ]  # fmt: skip
    for a, _, spikes in (edge for edge in drawn.edges if edge[1] == edge[0] + 1):
        x, y = MARGIN + WIDTH // 2, top + a * (HEIGHT + GAP) + HEIGHT
        parts.append(_path(f"M{x} {y}V{y + GAP - 3}", spikes))
    for (a, b, spikes), lane in zip(jumps, lanes, strict=True):
        x, out = MARGIN + WIDTH, MARGIN + WIDTH + LANE * (lane + 1)
        y, end = top + a * (HEIGHT + GAP) + HEIGHT - 10, top + b * (HEIGHT + GAP) + 10
        parts.append(_path(f"M{x} {y}H{out - 6}q6 0 6 6V{end - 6}q0 6 -6 6H{x + 3}", spikes))
    parts += [_box(box, top + i * (HEIGHT + GAP)) for i, box in enumerate(drawn.boxes)]
    return "\n".join([*parts, "</svg>", ""])


def _lanes(jumps: Iterable[tuple[int, int]]) -> list[int]:
    """A lane for each jump, so that those which pass the same box never share one; short jumps stay near the column."""
    taken: list[list[tuple[int, int]]] = []
    found: dict[int, int] = {}
    for i, (a, b) in sorted(enumerate(jumps), key=lambda item: (item[1][1] - item[1][0], item[1])):
        lane = next((k for k, held in enumerate(taken) if all(b < c or d < a for c, d in held)), len(taken))
        taken += [[]] if lane == len(taken) else []
        taken[lane].append((a, b))
        found[i] = lane
    return [found[i] for i in range(len(found))]


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 6 6" refX="3" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path d="M0 0L6 3L0 6z" fill="{colour}"/></marker>'
    )


def _path(line: str, spikes: bool) -> str:
    name, colour = ("spikes", _SPIKES) if spikes else ("analog", _ANALOG)
    return f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="1.4" marker-end="url(#{name})"/>'


def _text(x: int, y: int, text: str, size: int, colour: str, weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}">{escape(text)}</text>'


def _box(box: Box, y: int) -> str:
    edge = f'<rect x="{MARGIN}" y="{y}" width="4" height="{HEIGHT}" fill="{_SPIKES if box.spiking else LINE}"/>'
    return (
        f"<g><title>{escape(box.title)}: {escape(box.kinds)}; {escape(box.sizes)}</title>"
        f'<rect x="{MARGIN}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="3" fill="{PALE}" stroke="{LINE}"/>{edge}'
        f"{_text(MARGIN + 12, y + 16, elided(box.title, _LONGEST), 12, INK, '600')}"
        f"{_text(MARGIN + 12, y + 31, f'{_first(box.kinds, _DETAIL - len(box.sizes))}; {box.sizes}', 10, SOFT)}</g>"
    )
