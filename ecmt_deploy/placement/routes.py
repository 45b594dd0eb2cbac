"""Where messages go: packets between cores, and their way over the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np

from ecmt_deploy.placement.layers import Reach, elementwise
from ecmt_deploy.placement.paths import distances, on_board
from ecmt_deploy.placement.result import Route
from ecmt_deploy.placement.terms import Terms
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


class Flow(NamedTuple):
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


def flows(drafts: Drafts) -> Iterator[Flow]:
    """All messages that leave their core, by emitting node and operand."""
    for link in links(drafts):
        tile_of, reach = drafts.tile_of(link.emitter), _reach(drafts, link)
        if tile_of is None or reach is None:
            continue
        elements, group = _paired(link, reach)
        if len(elements) > len(tile_of) or np.bincount(elements, minlength=1).max() > 1:
            elements, targets = _once(elements, group, reach)
            tiles, targets, counts = _histogram(tile_of[elements], targets, int(reach.tiles.max()) + 1)
        else:
            tiles, groups, counts = _histogram(tile_of[elements], group, len(reach.sizes))
            which, targets = _members(groups, reach)
            tiles, counts = tiles[which], counts[which]
        sources = drafts.unit_of(link.emitter).first_core + tiles
        targets = drafts.unit_of(link.consumer).first_core + targets
        leaves = sources != targets
        if leaves.any():
            yield Flow(link.emitter, link.consumer, sources[leaves], targets[leaves], counts[leaves])


def _reach(drafts: Drafts, link: Link) -> Reach | None:
    """Which tiles of the consumer's unit need each element of what it reads; ``None`` where the unit has no cores."""
    unit = drafts.unit_of(link.consumer)
    if unit.tile is not None and link.consumer == unit.names[0]:
        return unit.demand.layer.reach(unit.tile, link.operand)
    tile_of = drafts.tile_of(link.consumer)
    return None if tile_of is None else _elementwise(drafts, link, tile_of, unit.cores)


def _elementwise(drafts: Drafts, link: Link, tile_of: np.ndarray, cores: int) -> Reach:
    program, name = drafts.program, link.consumer
    return elementwise(program.nodes[name], tile_of, program.shapes[name], link.shape, cores)


def _paired(link: Link, reach: Reach) -> tuple[np.ndarray, np.ndarray]:
    """Elements of the emitter, and the group of tiles that needs each, flat; an element that is repeated is there again."""
    full = np.broadcast_shapes(link.shape, reach.group.shape)
    elements = np.arange(prod(link.shape)).reshape(link.shape) if link.places is None else link.places
    elements, group = (np.broadcast_to(array, full).ravel() for array in (elements, reach.group))
    if elements.min(initial=0) < 0:
        elements, group = elements[elements >= 0], group[elements >= 0]
    return elements, group


def leaving(drafts: Drafts, unit: int, terms: Terms) -> np.ndarray:
    """Output axons by element of a unit's first node: one for each core that a message leaves for, at most.

    The units after it must have their tiles. A consumer that joined this unit, or an earlier one, takes one core.
    """
    shapes = drafts.program.shapes
    total = np.zeros(prod(shapes[drafts.units[unit].names[0]]), np.int64)
    for link in links(drafts):
        emitter = link.emitter
        if drafts.home[emitter] != unit:
            continue
        if drafts.home[link.consumer] <= unit:
            reach: Reach | None = _elementwise(drafts, link, np.zeros(shapes[link.consumer], np.int64), 1)
        else:
            reach = _reach(drafts, link)
        if reach is None:
            continue
        elements, group = _paired(link, reach)
        axons = np.bincount(elements, weights=reach.sizes[group], minlength=prod(shapes[emitter]))
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


def positions(cores: int, terms: Terms) -> np.ndarray:
    """Chip of each core, and column (over all chips) and row of its tile, (3, cores); zeros where that is unknown.

    Cores fill a tile, tiles a row, to and fro; chips stand in a row, or fill the rows of a board, to and fro as well.
    """
    core, mesh, unknown = np.arange(cores), terms.mesh, np.zeros(cores, np.int64)
    chip, core = np.divmod(core, terms.cores_per_chip) if terms.cores_per_chip else (unknown, core)
    if mesh is None:
        return np.stack([chip, unknown, unknown])
    row, column = np.divmod(core // mesh.cores, mesh.columns)
    column = np.where(row % 2, mesh.columns - 1 - column, column)
    across, down = on_board(chip, board(chip, terms))
    return np.stack([chip, across * mesh.columns + column, down * mesh.rows + row])


def board(chip: np.ndarray, terms: Terms) -> int:
    """Chips side by side: those of a board, or all, where that is unknown; ``chip`` of each core."""
    return terms.chip_columns or int(chip.max(initial=0)) + 1


def route(flow: Flow, elements: int, where: np.ndarray, terms: Terms) -> Route:
    """Packets and hops of a flow, per message of the node that emits (of ``elements``).

    Parameters
    ----------
    where : as :func:`positions` gives it
    """
    chips, east_west, north_south = distances(where, flow.sources, flow.targets, board(where[0], terms))
    within = (east_west + north_south == 0) & (terms.mesh is not None)

    def average(values: np.ndarray | int) -> float:
        return float((flow.counts * values).sum() / elements)

    return Route(
        flow.emitter, flow.consumer, packets=average(1), within_tile=average(within), hops_ew=average(east_west),
        hops_ns=average(north_south), chip_crossings=average(chips),
    )  # fmt: skip
