"""Where messages go: packets between cores, and their way over the mesh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ecmt_deploy.placement.layers import Layer, Reach, elementwise
from ecmt_deploy.placement.result import Route
from ecmt_deploy.placement.streams import Operand
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.tiles import Tile
from ecmt_deploy.placement.units import Drafts
from ecmt_deploy.program import Program

#: histograms with at most so many bins are counted by index, larger ones by sorting
MOST_BINS = 2**22


@dataclass(frozen=True, eq=False)
class Placed:
    """Units on their tiles.

    Attributes
    ----------
    layers, tiles : by unit; no tile where it could not be divided
    tile_of : by unit, tile of each element of its first node (flat)
    first_core : by unit
    """

    drafts: Drafts
    layers: list[Layer]
    tiles: list[Tile | None]
    tile_of: list[np.ndarray | None]
    first_core: list[int]

    def of_elements(self, name: str) -> np.ndarray | None:
        """Tile of each element of a node's stream (flat), within its unit."""
        unit = self.drafts.home[name]
        tile_of, origin = self.tile_of[unit], self.drafts.origin[name]
        return tile_of if tile_of is None or origin is None else tile_of[origin]

    def reach(self, program: Program, name: str, operand: int, shape: tuple[int, ...]) -> Reach | None:
        """Which tiles of its unit need each element of an operand of ``name``; ``None`` where the unit has no cores."""
        unit = self.drafts.home[name]
        tile = self.tiles[unit]
        if tile is None:
            return None
        if name == self.drafts.units[unit][0]:
            return self.layers[unit].reach(tile, operand)
        tile_of = self.of_elements(name)
        assert tile_of is not None
        return elementwise(program.nodes[name], tile_of, program.shapes[name], shape, tile.cores)


@dataclass(frozen=True, eq=False)
class Flow:
    """Messages of one node to another, from one core to another: ``counts[i]`` elements from ``sources[i]`` to ``targets[i]``.

    Attributes
    ----------
    emitter, consumer : names of the nodes
    """

    emitter: str
    consumer: str
    sources: np.ndarray
    targets: np.ndarray
    counts: np.ndarray


def flows(program: Program, read: Mapping[str, tuple[Operand, ...]], placed: Placed) -> Iterator[Flow]:
    """All messages that leave their core, by emitting node and operand."""
    drafts = placed.drafts
    for name in drafts.home:
        for k, operand in enumerate(read[name]):
            for emitter, places in operand.sources.items():
                if _beside(drafts, emitter, name, places):
                    continue
                found = _between(program, placed, emitter, name, k, operand.shape, places)
                if found is not None and len(found.counts):
                    yield found


def _beside(drafts: Drafts, emitter: str, name: str, places: np.ndarray | None) -> bool:
    """Whether every element obviously stays on its core."""
    return places is None and drafts.home[emitter] == drafts.home[name] and drafts.origin[emitter] is drafts.origin[name]


def _between(
    program: Program, placed: Placed, emitter: str, name: str, k: int, shape: tuple[int, ...], places: np.ndarray | None
) -> Flow | None:
    drafts = placed.drafts
    tile_of, reach = placed.of_elements(emitter), placed.reach(program, name, k, shape)
    if tile_of is None or reach is None:
        return None
    elements, group = _paired(shape, places, reach)
    if len(elements) > len(tile_of) or np.bincount(elements, minlength=1).max() > 1:
        elements, targets = _once(elements, group, reach)
        tiles, targets, counts = _histogram(tile_of[elements], targets, int(reach.tiles.max()) + 1)
    else:
        tiles, groups, counts = _histogram(tile_of[elements], group, len(reach.sizes))
        which, targets = _members(groups, reach)
        tiles, counts = tiles[which], counts[which]
    sources = placed.first_core[drafts.home[emitter]] + tiles
    targets = placed.first_core[drafts.home[name]] + targets
    leaves = sources != targets
    return Flow(emitter, name, sources[leaves], targets[leaves], counts[leaves])


def _paired(shape: tuple[int, ...], places: np.ndarray | None, reach: Reach) -> tuple[np.ndarray, np.ndarray]:
    """Elements of the emitter, and the group of tiles that needs each, flat; an element that is repeated is there again."""
    full = np.broadcast_shapes(shape, reach.group.shape)
    elements = np.arange(int(np.prod(shape))).reshape(shape) if places is None else places
    elements, group = (np.broadcast_to(array, full).ravel() for array in (elements, reach.group))
    if elements.min(initial=0) < 0:
        elements, group = elements[elements >= 0], group[elements >= 0]
    return elements, group


def leaving(program: Program, read: Mapping[str, tuple[Operand, ...]], placed: Placed, unit: int, terms: Terms) -> np.ndarray:
    """Output axons by element of a unit's first node: one for each core that a message leaves for, at most.

    The units after it must have their tiles. A consumer that joined this unit, or an earlier one, takes one core.
    """
    drafts = placed.drafts
    total = np.zeros(int(np.prod(placed.layers[unit].grid.shape)), np.int64)
    for name, home in drafts.home.items():
        for k, operand in enumerate(read[name]):
            for emitter, places in operand.sources.items():
                if drafts.home[emitter] != unit or _beside(drafts, emitter, name, places):
                    continue
                if home <= unit:
                    anywhere = np.zeros(program.shapes[name], np.int64)
                    reach: Reach | None = elementwise(program.nodes[name], anywhere, program.shapes[name], operand.shape, 1)
                else:
                    reach = placed.reach(program, name, k, operand.shape)
                if reach is None:
                    continue
                elements, group = _paired(operand.shape, places, reach)
                axons = np.bincount(elements, weights=reach.sizes[group], minlength=int(np.prod(program.shapes[emitter])))
                origin = drafts.origin[emitter]
                if origin is not None:
                    axons = np.bincount(origin, weights=axons, minlength=len(total))
                total += axons.astype(np.int64) * terms.levels_of(program.nodes[emitter])
    return total


def _members(groups: np.ndarray, reach: Reach) -> tuple[np.ndarray, np.ndarray]:
    """Every tile of each group: ``(index into groups, tile)``."""
    sizes = reach.sizes[groups]
    which = np.repeat(np.arange(len(groups)), sizes)
    within = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return which, reach.tiles[reach.starts[groups][which] + within]


def _once(elements: np.ndarray, group: np.ndarray, reach: Reach) -> tuple[np.ndarray, np.ndarray]:
    """``(element, tile)`` each once, where wiring repeats elements: a core takes a message once."""
    which, tiles = _members(group, reach)
    most = int(reach.tiles.max()) + 1
    elements, tiles = np.divmod(np.unique(elements[which] * most + tiles), most)
    return elements, tiles


def _histogram(a: np.ndarray, b: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Different pairs of ``a`` and ``b`` (< ``most``), and how often each is there."""
    pairs = a * most + b
    if int(pairs.max(initial=0)) < MOST_BINS:
        counts = np.bincount(pairs)
        pairs = np.flatnonzero(counts)
        counts = counts[pairs]
    else:
        pairs, counts = np.unique(pairs, return_counts=True)
    return pairs // most, pairs % most, counts


@dataclass(frozen=True, eq=False)
class Map:
    """Where cores are: chip, and column (over all chips) and row of their tile; zeros where that is unknown."""

    chip: np.ndarray
    x: np.ndarray
    y: np.ndarray
    tiled: bool

    @classmethod
    def of(cls, cores: int, terms: Terms) -> Map:
        """Cores fill a tile, tiles a row, to and fro; chips stand in a row."""
        core, mesh = np.arange(cores), terms.mesh
        chip, core = np.divmod(core, terms.cores_per_chip) if terms.cores_per_chip else (np.zeros_like(core), core)
        if mesh is None:
            return cls(chip, np.zeros_like(core), np.zeros_like(core), False)
        row, column = np.divmod(core // mesh.cores, mesh.columns)
        column = np.where(row % 2, mesh.columns - 1 - column, column)
        return cls(chip, chip * mesh.columns + column, row, True)


def route(flow: Flow, elements: int, where: Map) -> Route:
    """Packets and hops of a flow, per message of the node that emits (of ``elements``)."""
    east_west, north_south, chips = (np.abs(at[flow.sources] - at[flow.targets]) for at in (where.x, where.y, where.chip))
    within = (east_west + north_south == 0) if where.tiled else np.zeros(1, bool)

    def average(values: np.ndarray | int) -> float:
        return float((flow.counts * values).sum() / elements)

    return Route(
        flow.emitter, flow.consumer, packets=average(1), within_tile=average(within), hops_ew=average(east_west),
        hops_ns=average(north_south), chip_crossings=average(chips),
    )  # fmt: skip
