"""Where messages go: packets between cores, and their way over the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from ecmt_deploy.placement.layers import Layer, Reach, elementwise
from ecmt_deploy.placement.result import Route
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.tiles import Tile
from ecmt_deploy.placement.units import Drafts

#: histograms with at most so many bins are counted by index, larger ones by sorting
MOST_BINS = 2**22


class Link(NamedTuple):
    """A stream that a node reads, not obviously from its own core.

    Attributes
    ----------
    emitter, consumer : names of the nodes
    operand, shape : number of the operand, and its shape
    places : which elements of the stream stand where in it, as in :class:`Operand`
    """

    emitter: str
    consumer: str
    operand: int
    shape: tuple[int, ...]
    places: np.ndarray | None


def links(drafts: Drafts) -> Iterator[Link]:
    """Every link, by consumer and operand."""
    home, origin = drafts.home, drafts.origin
    for name in home:
        for k, operand in enumerate(drafts.read[name]):
            for emitter, places in operand.sources.items():
                if places is not None or home[emitter] != home[name] or origin[emitter] is not origin[name]:
                    yield Link(emitter, name, k, operand.shape, places)


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

    def reach(self, link: Link) -> Reach | None:
        """Which tiles of its unit need each element of what a consumer reads; ``None`` where the unit has no cores."""
        unit = self.drafts.home[link.consumer]
        tile = self.tiles[unit]
        if tile is None:
            return None
        if link.consumer == self.drafts.units[unit][0]:
            return self.layers[unit].reach(tile, link.operand)
        return self._elementwise(link, self.of_elements(link.consumer), tile.cores)

    def anywhere(self, link: Link) -> Reach:
        """The same of a consumer in a unit whose tiles do not matter: one core needs every element."""
        return self._elementwise(link, np.zeros(self.drafts.program.shapes[link.consumer], np.int64), 1)

    def _elementwise(self, link: Link, tile_of: np.ndarray | None, cores: int) -> Reach:
        assert tile_of is not None
        program, name = self.drafts.program, link.consumer
        return elementwise(program.nodes[name], tile_of, program.shapes[name], link.shape, cores)


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


def flows(placed: Placed) -> Iterator[Flow]:
    """All messages that leave their core, by emitting node and operand."""
    for link in links(placed.drafts):
        found = _between(placed, link)
        if found is not None and len(found.counts):
            yield found


def _between(placed: Placed, link: Link) -> Flow | None:
    home = placed.drafts.home
    tile_of, reach = placed.of_elements(link.emitter), placed.reach(link)
    if tile_of is None or reach is None:
        return None
    elements, group = _paired(link, reach)
    if len(elements) > len(tile_of) or np.bincount(elements, minlength=1).max() > 1:
        elements, targets = _once(elements, group, reach)
        tiles, targets, counts = _histogram(tile_of[elements], targets, int(reach.tiles.max()) + 1)
    else:
        tiles, groups, counts = _histogram(tile_of[elements], group, len(reach.sizes))
        which, targets = _members(groups, reach)
        tiles, counts = tiles[which], counts[which]
    sources = placed.first_core[home[link.emitter]] + tiles
    targets = placed.first_core[home[link.consumer]] + targets
    leaves = sources != targets
    return Flow(link.emitter, link.consumer, sources[leaves], targets[leaves], counts[leaves])


def _paired(link: Link, reach: Reach) -> tuple[np.ndarray, np.ndarray]:
    """Elements of the emitter, and the group of tiles that needs each, flat; an element that is repeated is there again."""
    full = np.broadcast_shapes(link.shape, reach.group.shape)
    elements = np.arange(prod(link.shape)).reshape(link.shape) if link.places is None else link.places
    elements, group = (np.broadcast_to(array, full).ravel() for array in (elements, reach.group))
    if elements.min(initial=0) < 0:
        elements, group = elements[elements >= 0], group[elements >= 0]
    return elements, group


def leaving(placed: Placed, unit: int, terms: Terms) -> np.ndarray:
    """Output axons by element of a unit's first node: one for each core that a message leaves for, at most.

    The units after it must have their tiles. A consumer that joined this unit, or an earlier one, takes one core.
    """
    drafts = placed.drafts
    total = np.zeros(prod(placed.layers[unit].grid.shape), np.int64)
    for link in links(drafts):
        emitter = link.emitter
        if drafts.home[emitter] != unit:
            continue
        reach = placed.anywhere(link) if drafts.home[link.consumer] <= unit else placed.reach(link)
        if reach is None:
            continue
        elements, group = _paired(link, reach)
        axons = np.bincount(elements, weights=reach.sizes[group], minlength=prod(drafts.program.shapes[emitter]))
        if (origin := drafts.origin[emitter]) is not None:
            axons = np.bincount(origin, weights=axons, minlength=len(total))
        total += axons.astype(np.int64) * terms.levels_of(drafts.program.nodes[emitter])
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
