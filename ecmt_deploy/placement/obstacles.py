"""What does not fit, and the nearest thing that would help."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from math import ceil

from ecmt_deploy.chips import Hardware
from ecmt_deploy.config import DEFAULT_PRESET
from ecmt_deploy.errors import plural
from ecmt_deploy.placement.layers import Layer, Linear, Product
from ecmt_deploy.placement.result import Obstacle
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.tiling import smallest
from ecmt_deploy.placement.units import Draft
from ecmt_deploy.program import Program
from ecmt_deploy.program.ops import Op

_CONNECTIONS = "a chip with connections other than convolutions"

#: by ability: what would help where a chip lacks it, and the kind of a node that needs it
_ABILITIES: tuple[tuple[str, str, Callable[[Op], str | None]], ...] = (
    ("programmable_neurons", "a chip whose neurons run code", lambda node: node.needs_code),
    ("dense_connections", _CONNECTIONS, lambda node: "linear" if node.layer == "linear" else None),
    ("dense_connections", _CONNECTIONS, lambda node: "product" if node.layer == "matmul" else None),
    ("stream_products", "a chip that multiplies two streams", lambda node: "product" if node.role == "product" else None),
)


def abilities(program: Program, hardware: Hardware) -> Iterator[Obstacle]:
    """What the chip cannot do, once for each kind of node."""
    for ability, mend, kind_of in _ABILITIES:
        can, kinds = getattr(hardware.abilities, ability), defaultdict(list)
        for name, node in program.nodes.items():
            if name not in program.outside:
                kinds[kind_of(node)].append(name)
        for kind, names in kinds.items():
            if can is not None and not can.value and kind is not None:
                yield Obstacle(names[0], ability, None, None, f"{mend}, for {plural(len(names), 'node')} of kind {kind}")


def widths(program: Program, hardware: Hardware, terms: Terms) -> Iterator[Obstacle]:
    """Widths of an integer program that are more than the chip's, once for each.

    Of what the host computes, only values that enter a core have a width that matters.
    """
    for what in ("weight", "state", "payload"):
        resource = "graded_payload_bits" if what == "payload" else f"{what}_bits"
        limit = getattr(hardware.limits, resource)
        if limit is None or (what == "payload" and terms.binary):
            continue
        elsewhere = program.outside - program.entering if what == "payload" else program.outside
        held = {name: node.format for name, node in program.nodes.items() if name not in elsewhere}
        found = {name: int(getattr(form, f"{what}_bits", 0)) for name, form in held.items()}
        wide = {name: bits for name, bits in found.items() if bits > limit.value}
        if wide:
            mend = f"fewer {what} bits: quantize the program for this chip ({plural(len(wide), 'node')})"
            yield Obstacle(next(iter(wide)), resource, max(wide.values()), int(limit.value), mend)


def payloads(program: Program, hardware: Hardware) -> Iterator[Obstacle]:
    """Neurons whose spikes carry graded payloads, of a float program too, that are wider than those of the chip's spikes.

    Levels are not among them: where spikes carry nothing, each level is a neuron of its own.
    """
    limit = hardware.limits.graded_payload_bits
    if limit is None:
        return
    found = {name: bits for name in program.neurons if (bits := program.payload_bits(name)) is not None}
    wide = {name: bits for name, bits in found.items() if bits > limit.value}
    if wide:
        binary = limit.value == 1
        mend = f"--preset {DEFAULT_PRESET}" if binary else f"--payload-bits {int(limit.value)}"
        what = "binary spikes carry no payload" if binary else "narrower payloads"
        widest = max(wide, key=lambda name: wide[name])
        yield Obstacle(
            widest, "graded_payload_bits", wide[widest], int(limit.value),
            f"{what}, for {plural(len(wide), 'node')}: convert with {mend}",
        )  # fmt: skip


def analog(program: Program, emitters: Iterable[str], terms: Terms) -> Iterator[Obstacle]:
    """Nodes that send analog values to other cores (of ``emitters``, which do) on a chip whose spikes carry none."""
    names = [name for name in dict.fromkeys(emitters) if program.nodes[name].emits != "spikes"]
    if terms.binary and names:
        yield Obstacle(
            names[0], "graded_payload_bits", max(terms.state_bits_of(program.nodes[name]) for name in names), 1,
            f"a chip with graded spikes, for {plural(len(names), 'node')} that send analog values to other cores",
        )  # fmt: skip


def untiled(drafts: Iterable[Draft], terms: Terms) -> Iterator[Obstacle]:
    """Units whose smallest tile is too much for a core; equal needs once."""
    alike: dict[tuple[str, int, str], list[str]] = defaultdict(list)
    for draft in drafts:
        layer, used = draft.demand.layer, draft.demand.use(smallest(draft.demand), terms)
        for resource, limit in terms.limits.items():
            if used[resource] > limit:
                alike[resource, used[resource], _mend(layer, resource, used[resource], limit)].append(draft.names[0])
    for (resource, need, mend), names in alike.items():
        others = f"; {len(names) - 1} more like it" if len(names) > 1 else ""
        yield Obstacle(names[0], resource, need, terms.limits[resource], mend + others)


def _mend(layer: Layer, resource: str, need: int, limit: int) -> str:
    parts = ceil(need / limit)
    if resource == "output_axons":
        return "a chip with larger cores, so that messages go to fewer"
    if layer.whole:
        return f"a chip with larger cores: the {layer.grid.columns:,} elements of a row belong on one"
    if resource == "neurons":
        return "fewer levels, or a chip with more neurons per core"
    if resource in ("fan_in", "input_axons") or isinstance(layer, Product):
        return f"split the fan-in into partial sums over {parts} cores"
    if "memory" in resource and isinstance(layer, Linear):
        return f"fewer weight bits, or split the fan-in into partial sums over {parts} cores"
    return "a chip with larger cores"


def size(cores: int, terms: Terms) -> Iterator[Obstacle]:
    """More cores than the largest system has."""
    if terms.cores_per_chip is None or terms.chips is None or cores <= terms.cores_per_chip * terms.chips:
        return
    chips = ceil(cores / terms.cores_per_chip)
    mend = f"more chips: {chips:,}, where the largest system has {terms.chips:,}"
    yield Obstacle("", "cores", cores, terms.cores_per_chip * terms.chips, mend)
