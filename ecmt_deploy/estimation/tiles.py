"""The memories that view (c) prices: those of the cores that hold a node, or of tiles of a stated size, and the room of both.

A memory costs by its size, however little of it is used. Both sides of the comparison lie in the same tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, prod
from typing import Literal, NamedTuple

from ecmt_deploy.chips import Abilities, Ability, Figure, Hardware, Limits
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.placement import Placement, Unit, place
from ecmt_deploy.placement.layers import layer
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.tiles import Tile
from ecmt_deploy.program import Program

#: memory of a tile where a program is on no chip: a size that Horowitz's table gives itself, and in the range of published
#: cores, from 13 KiB (TrueNorth) to 192 kB (Loihi 2)
TILE_BYTES = 32 * 1024
#: memory of all tiles together there, an assumption: a large die of its time
ON_CHIP_BYTES = 8 * 1024 * 1024
#: sizes of tiles that can be asked for, and those of the curve of break-even
SMALLEST_TILE, LARGEST_TILE = 256, 1 << 30
CURVE_BYTES = tuple(1024 * kib for kib in (8, 16, 32, 64, 128, 256, 512, 1024))


class Memories(NamedTuple):
    """The memories of a tile that holds a node, in bytes.

    Attributes
    ----------
    weights, states : memory that weights, and states, are in
    sums : memory that the running sums of a product's operands are in
    operands : memory that operands and spikes that arrived wait in; ``None`` where it holds no more than those of the node
    reached : elements of each operand that reach the fullest tile
    deliveries : how often an element of each operand is written into a tile, where all are delivered once: elements times the
        tiles that need them
    """

    weights: int
    states: int
    sums: int
    operands: int | None
    reached: tuple[int, ...]
    deliveries: tuple[int, ...]

    def buffer(self, operand: int, bits: float) -> float:
        """Size of the memory that an operand of so many bits an element waits in."""
        return self.reached[operand] * bits / 8 if self.operands is None else self.operands


class Room(NamedTuple):
    """Memory of a whole system, in bytes; ``None`` where it is unknown, and so as large as it takes.

    Attributes
    ----------
    weights, states : where these have memories of their own
    shared : where they share one
    """

    weights: float | None = None
    states: float | None = None
    shared: float | None = None

    def beyond(self, weights: float, states: float) -> tuple[float, float]:
        """Shares of so many bytes of weights and of states that do not fit; in a shared memory weights, which every inference
        needs again, have their place first."""
        if self.shared is not None:
            return _beyond(weights, self.shared), _beyond(states, max(self.shared - weights, 0.0))
        return _beyond(weights, self.weights), _beyond(states, self.states)


def _beyond(need: float, room: float | None) -> float:
    return 0.0 if room is None or need <= room else 1 - room / need


class Tiles(NamedTuple):
    """Where the synapses and products of a program lie.

    Attributes
    ----------
    tile_bytes : size of every tile; ``None`` where they are the cores of a chip
    nodes : by name
    room : what all tiles hold
    """

    tile_bytes: int | None
    nodes: Mapping[str, Memories]
    room: Room


def placed_tiles(program: Program, hardware: Hardware, placement: Placement) -> Tiles:
    """The tiles of a program on a chip: its cores."""
    return Tiles(None, _memories(program, hardware, placement), _room(hardware))


def stated_tiles(program: Program, hardware: Hardware, tile_bytes: int | None = None) -> Tiles:
    """The tiles of a program on no chip: as many of ``tile_bytes`` as it takes, each with one memory for all it holds.

    Parameters
    ----------
    hardware : says how wide weights and states of a float program are, where it says so
    tile_bytes : :data:`TILE_BYTES` by default; a node of which the smallest part is larger takes tiles as large as that

    Raises
    ------
    ConfigError
        if ``tile_bytes`` is no size of a tile.
    """
    size = TILE_BYTES if tile_bytes is None else tile_bytes
    if not (hasattr(size, "__index__") and SMALLEST_TILE <= size <= LARGEST_TILE):
        raise ConfigError(
            f"tile_bytes is {size}; a tile has {SMALLEST_TILE} to {LARGEST_TILE:,} bytes, for example {TILE_BYTES}"
        )
    chip = _tiled(hardware, int(size))
    return Tiles(int(size), _memories(program, chip, place(program, chip)), Room(shared=float(max(ON_CHIP_BYTES, size))))


def _tiled(hardware: Hardware, tile_bytes: int) -> Hardware:
    """A chip of nothing but tiles of that size; rows and positions share the weights of a tile."""
    said: Literal["assumed"] = "assumed"
    size = Figure(value=tile_bytes, unit="byte", source=(said,), method=said, grade="D")
    shared = Ability(value=True, source=(said,), method=said, grade="D")
    widths = {name: getattr(hardware.limits, name) for name in ("weight_bits", "state_bits")}
    return Hardware(
        name=f"{hardware.name}, tiles of {tile_bytes} bytes", title=hardware.title, description="tiles", sources={}, prices={},
        limits=Limits(memory_bytes_per_core=size, **widths), abilities=Abilities(weight_sharing=shared),
    )  # fmt: skip


def _room(hardware: Hardware) -> Room:
    """Memory of the largest system of a chip."""
    terms = Terms.of(hardware)
    if terms.cores_per_chip is None or terms.chips is None:
        return Room()
    cores, limits = terms.cores_per_chip * terms.chips, terms.limits
    kinds = ("synaptic_memory_bytes", "state_memory_bytes", "memory_bytes")
    return Room(*(cores * limits[kind] if kind in limits else None for kind in kinds))


def _memories(program: Program, hardware: Hardware, placement: Placement) -> dict[str, Memories]:
    terms, home = Terms.of(hardware), {name: unit for unit in placement.units for name in unit.nodes}
    found = {}
    for name in (name for name in program.of_role("synapse", "product") if name not in program.outside):
        unit = home[name]
        least = ceil(unit.rows_per_core * unit.columns_per_core * terms.state_bits_of(program.nodes[name]) / 8)
        weights = _size(unit, "synaptic_memory_bytes", terms)
        states = max(_size(unit, "state_memory_bytes", terms), least)  # what joins the states of another unit is added up here
        operands = terms.limits.get("memory_bytes", terms.limits.get("state_memory_bytes"))
        reached, deliveries = _delivered(program, name, unit)
        sums = states if terms.sums_as_states else weights
        found[name] = Memories(weights, states, sums, operands and max(operands, states), reached, deliveries)
    return found


def _size(unit: Unit, kind: str, terms: Terms) -> int:
    """Size of a core's memory: that of the chip, or of the smallest part of the unit where this is larger; where the chip says
    nothing, what the fullest core stores."""
    held = "memory_bytes" if "memory_bytes" in terms.limits else kind
    return max(unit.use[held].used, terms.limits.get(held, 0))


def _delivered(program: Program, name: str, unit: Unit) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Elements of each operand that reach the fullest tile of a node, and that are delivered to all of its tiles together."""
    shapes = [program.shapes[operand] for operand in program.operands[name]]
    sizes = tuple(map(prod, shapes))
    if name != unit.name:  # elementwise, where its main operand is computed: each element goes to one tile
        return tuple(-(-size // max(unit.cores, 1)) for size in sizes), sizes
    reached = []
    for operand in range(len(shapes)):
        axons = tuple(int(i == operand) for i in range(len(shapes)))
        made = layer(program.nodes[name], program.shapes[name], tuple(shapes), axons)
        tile = Tile(made.grid, unit.rows_per_core, unit.columns_per_core)
        reached.append(min(made.input_axons(tile, sharing=False), sizes[operand]))
    whole = [max(each * tile.cores, size) for each, size in zip(reached, sizes, strict=True)]
    return tuple(reached), tuple(whole)


def needs(program: Program, weight_bits: int, state_bits: int) -> tuple[float, float]:
    """Bytes of the weights of a program, each once, and of all that it remembers from step to step; tables that the host looks
    rows up in are not on the chip.

    Parameters
    ----------
    weight_bits, state_bits : widths of a float program
    """
    weights = states = 0.0
    for name in (name for name in program.nodes if name not in program.outside):
        node = program.nodes[name]
        if node.role == "synapse":
            weights += node.weight.size * int(getattr(node.format, "weight_bits", weight_bits)) / 8
        if node.role not in ("input", "output", "constant", "movement"):
            bits = state_bits if node.format is None else int(node.format.state_bits)
            states += elements(program.state(name).values()) * bits / 8
    return weights, states


def elements(shapes: Iterable[tuple[int, ...]]) -> int:
    """How many elements so many arrays have."""
    return sum(map(prod, shapes))
