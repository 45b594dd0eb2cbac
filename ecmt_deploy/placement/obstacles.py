"""What does not fit, and the nearest thing that would help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import ceil

from ecmt_deploy.chips import Hardware
from ecmt_deploy.placement.layers import Layer, Linear, Product
from ecmt_deploy.placement.result import Obstacle
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.program import Program


def abilities(program: Program, hardware: Hardware) -> Iterator[Obstacle]:
    """What the chip cannot do, once for each kind of node."""
    can = hardware.abilities
    if can.programmable_neurons is not None and not can.programmable_neurons.value:
        for kind, names in _by_kind(program).items():
            yield _ability(names, "programmable_neurons", kind, "a chip whose neurons run code")
    if can.dense_connections is not None and not can.dense_connections.value:
        dense = {
            "linear": [name for name, node in program.nodes.items() if node.layer == "linear"],
            "product": [name for name, node in program.nodes.items() if node.layer == "matmul"],
        }
        for kind, names in dense.items():
            if names:
                yield _ability(names, "dense_connections", kind, "a chip with connections other than convolutions")


def _by_kind(program: Program) -> dict[str, list[str]]:
    """Nodes that need neurons that run code."""
    kinds: dict[str, list[str]] = {}
    for name, node in program.nodes.items():
        if node.needs_code is not None:
            kinds.setdefault(node.needs_code, []).append(name)
    return kinds


def _ability(names: list[str], ability: str, kind: str, mend: str) -> Obstacle:
    return Obstacle(names[0], ability, None, None, f"{mend}, for {_nodes(len(names))} of kind {kind}")


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def widths(program: Program, hardware: Hardware, terms: Terms) -> Iterator[Obstacle]:
    """Widths of an integer program that are more than the chip's, once for each."""
    limits = hardware.limits
    payload = None if terms.binary else limits.graded_payload_bits
    found = (
        ("weight_bits", limits.weight_bits, "weight_bits", "fewer weight bits: quantize the program for this chip"),
        ("state_bits", limits.state_bits, "state_bits", "fewer state bits: quantize the program for this chip"),
        ("graded_payload_bits", payload, "payload_bits", "fewer payload bits: quantize the program for this chip"),
    )
    for resource, limit, attribute, mend in found:
        wide = {
            name: int(getattr(node.format, attribute))
            for name, node in program.nodes.items()
            if limit is not None and getattr(node.format, attribute, 0) > limit.value
        }
        if wide and limit is not None:
            yield Obstacle(next(iter(wide)), resource, max(wide.values()), int(limit.value), f"{mend} ({_nodes(len(wide))})")


def analog(program: Program, emitters: Iterable[str], terms: Terms) -> Iterator[Obstacle]:
    """Nodes that send analog values to other cores (of ``emitters``, which do) on a chip whose spikes carry none."""
    names = [name for name in dict.fromkeys(emitters) if program.nodes[name].emits != "spikes"]
    if terms.binary and names:
        yield Obstacle(
            names[0], "graded_payload_bits", max(terms.state_bits_of(program.nodes[name]) for name in names), 1,
            f"a chip with graded spikes, for {_nodes(len(names))} that send analog values to other cores",
        )  # fmt: skip


def untiled(found: Mapping[str, tuple[Layer, dict[str, int]]], terms: Terms) -> Iterator[Obstacle]:
    """Units whose smallest tile is too much for a core: ``found`` has their layer and its use; equal needs once."""
    alike: dict[tuple[str, int, str], list[str]] = {}
    for name, (layer, used) in found.items():
        for resource, limit in terms.limits.items():
            if used[resource] > limit:
                alike.setdefault((resource, used[resource], _mend(layer, resource, used[resource], limit)), []).append(name)
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
