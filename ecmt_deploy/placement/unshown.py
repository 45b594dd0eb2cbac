"""What a program asks of a chip that nobody has shown there: assumptions that stand beside every total."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ecmt_deploy.chips import Hardware
from ecmt_deploy.errors import plural
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.program import Program


def unshown(program: Program, hardware: Hardware, terms: Terms, emitters: Iterable[str]) -> Iterator[str]:
    """A sentence each; ``emitters`` are the nodes that send to other cores."""
    abilities = hardware.abilities
    nodes = {name: node for name, node in program.nodes.items() if name not in program.outside}
    products = [name for name, node in nodes.items() if node.role == "product"]
    sums = [name for name, node in nodes.items() if node.reductions]
    maxima = [name for name, node in nodes.items() if node.maxima]
    if products and abilities.stream_products is None:
        yield _assumed("two streams can be multiplied by each other", products)
    if sums and abilities.row_reductions is None:
        yield _assumed("cores sum over the rows that they hold", sums)
    if maxima and abilities.row_reductions is None:
        yield _assumed("cores take maxima over the rows that they hold", maxima)
    yield from _wide(program, hardware, terms, emitters)


def _wide(program: Program, hardware: Hardware, terms: Terms, emitters: Iterable[str]) -> Iterator[str]:
    """Analog values wider than the payload of a spike, where nothing says how they are cut into packets."""
    limits = hardware.limits
    room = limits.graded_payload_bits
    if room is None or terms.binary or limits.payload_bits_per_packet is not None:
        return
    analog = {name: program.nodes[name] for name in dict.fromkeys(emitters) if program.nodes[name].emits != "spikes"}
    wide = {name: bits for name, node in analog.items() if (bits := terms.state_bits_of(node)) > room.value}
    if wide:
        what = f"analog values of up to {max(wide.values())} bits travel as one spike, whose payload has {room.value:g}"
        yield _assumed(what, list(wide))


def _assumed(what: str, names: Sequence[str]) -> str:
    nodes = names[0] if len(names) == 1 else f"{plural(len(names), 'node')}, such as {names[0]}"
    return f"Assumes that {what} ({nodes}), which nobody has shown on this chip."
