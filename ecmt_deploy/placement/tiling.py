"""How much a core holds: what a tile of a unit uses of each resource, and the tile that takes the fewest cores."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np

from ecmt_deploy.placement.layers import Layer
from ecmt_deploy.placement.streams import Operand
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.tiles import Load, Tile, row_choices
from ecmt_deploy.placement.units import Drafts, inherited
from ecmt_deploy.program import Program


@dataclass(frozen=True, eq=False)
class Demand:
    """What a unit asks of its cores.

    Attributes
    ----------
    layer : its first node
    weight_bits, sum_bits : width of a weight, and of a running sum of a product's operand
    neurons, state_bits, input_axons, output_axons : of all its nodes, by element of the first; input axons besides the layer's
    coupled : whether nodes joined it that need whole rows on one core
    """

    layer: Layer
    weight_bits: int
    sum_bits: int
    neurons: Load
    state_bits: Load
    input_axons: Load
    output_axons: Load
    coupled: bool

    def use(self, tile: Tile, terms: Terms) -> dict[str, int]:
        """Need of the fullest core, by resource."""
        weights = self.layer.weights(tile, terms.sharing) * self.weight_bits
        states, sums = self.state_bits.most(tile), self.layer.sums(tile) * self.sum_bits
        if terms.sums_as_states:
            states += sums
        else:
            weights += sums
        used = {
            "neurons": self.neurons.most(tile),
            "synaptic_memory_bytes": ceil(weights / 8),
            "state_memory_bytes": ceil(states / 8),
            "input_axons": self.layer.input_axons(tile) + self.input_axons.most(tile),
            "output_axons": self.output_axons.most(tile),
            "fan_in": self.layer.fan_in,
        }
        if "memory_bytes" in terms.limits:
            used["memory_bytes"] = used["synaptic_memory_bytes"] + used["state_memory_bytes"]
        return used


def demand(
    program: Program, read: Mapping[str, tuple[Operand, ...]], drafts: Drafts, unit: int, layer: Layer, terms: Terms,
    leaving: np.ndarray | int,
) -> Demand:  # fmt: skip
    """What a unit asks of its cores; ``leaving`` is the number of output axons by element of its first node."""
    names = drafts.units[unit]
    size = int(np.prod(layer.grid.shape))
    every = _Counter(size)
    emitting: np.ndarray | int = 0
    computing: np.ndarray | int = 1
    state_bits: np.ndarray | int = 0
    arriving: np.ndarray | int = 0
    for name in names:
        node, count = program.nodes[name], every.count(drafts.origin[name])
        neurons = terms.levels_of(node)
        if node.emits == "spikes":
            emitting = emitting + count * neurons
        else:
            computing = np.maximum(computing, count)
        words = node.words(program.shapes[name], *(operand.shape for operand in read[name]))
        state_bits = state_bits + count * (words * neurons * terms.state_bits_of(node))
        if name != names[0]:
            arriving = arriving + count * _arriving(program, read[name], drafts, name, terms)
    first = program.nodes[names[0]]
    return Demand(
        layer,
        terms.weight_bits_of(first),
        terms.state_bits_of(first),
        neurons=Load(layer.grid, np.maximum(computing, emitting)),
        state_bits=Load(layer.grid, state_bits),
        input_axons=Load(layer.grid, arriving),
        output_axons=Load(layer.grid, leaving),
        coupled=any(name in drafts.rows for name in names),
    )


class _Counter:
    """How many elements of a stream stand beside each element of a unit's first node; an int where it is the same of all."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.known: dict[int, np.ndarray | int] = {}  # by origin: nodes that follow one another share the array

    def count(self, origin: np.ndarray | None) -> np.ndarray | int:
        if origin is None:
            return 1
        if id(origin) not in self.known:
            count = np.bincount(origin, minlength=self.size)
            self.known[id(origin)] = int(count[0]) if (count == count[0]).all() else count
        return self.known[id(origin)]


def _arriving(program: Program, inputs: tuple[Operand, ...], drafts: Drafts, name: str, terms: Terms) -> int:
    """Axons that reach one element of a joined node from elsewhere."""
    arriving = 0
    for operand in inputs:
        axons = operand_axons(program, operand, terms)
        if axons and not program.nodes[name].coupling(len(operand.shape)) and not _local(program, drafts, name, operand):
            arriving += axons
    return arriving


def _local(program: Program, drafts: Drafts, name: str, operand: Operand) -> bool:
    """Whether each element of an operand is computed where the node needs it."""
    if operand.from_input or any(drafts.home[emitter] != drafts.home[name] for emitter in operand.sources):
        return False
    theirs, mine, shape = inherited(drafts, operand), drafts.origin[name], program.shapes[name]
    if theirs is mine:
        return True
    identity = np.arange(int(np.prod(shape)))
    theirs = np.broadcast_to((identity if theirs is None else theirs).reshape(operand.shape), shape).ravel()
    return np.array_equal(theirs, identity if mine is None else mine)


def operand_axons(program: Program, operand: Operand, terms: Terms) -> int:
    """Axons of one element of an operand: the most of the nodes it comes from; none where it is constant."""
    axons = [terms.levels_of(program.nodes[emitter]) for emitter in operand.sources]
    return max([*axons, int(operand.from_input)])


def smallest(demand: Demand) -> Tile:
    """The smallest tile a unit can be divided into."""
    grid = demand.layer.grid
    return Tile(grid, 1, grid.columns if demand.layer.whole else 1)


def fewest_cores(demand: Demand, terms: Terms, resources: Collection[str] | None = None) -> Tile | None:
    """The tile that takes the fewest cores under the limits of ``resources`` (all); ``None`` where not even the smallest fits.

    Of those with equally few, one with whole rows if nodes joined that need them; then the one with the smallest sum of rows
    and columns; then the one with more rows.
    """
    grid, best = demand.layer.grid, None
    for rows in row_choices(grid):
        row_tiles = Tile(grid, rows, grid.columns).row_tiles
        if best is not None and row_tiles > best.cores:
            break  # the fewer rows a tile has, the more of them there are
        most = grid.columns if best is None else min(best.cores // row_tiles, grid.columns)
        tile = _widest(demand, terms, terms.limits if resources is None else resources, rows, most)
        if tile is not None and (best is None or _rank(demand, tile) < _rank(demand, best)):
            best = tile
    return best


def _rank(demand: Demand, tile: Tile) -> tuple[int, int, int, int]:
    return tile.cores, tile.column_tiles if demand.coupled else 0, tile.rows + tile.columns, -tile.rows


def _widest(demand: Demand, terms: Terms, resources: Collection[str], rows: int, most: int) -> Tile | None:
    """Of tiles with so many rows, the one with the most columns that fits; no more than ``most`` column tiles."""
    grid = demand.layer.grid

    def fitting(column_tiles: int) -> Tile | None:
        tile = Tile(grid, rows, ceil(grid.columns / column_tiles))
        used = demand.use(tile, terms)
        return tile if all(used[resource] <= terms.limits[resource] for resource in resources) else None

    found = fitting(1)
    if found is not None or demand.layer.whole:
        return found
    found = fitting(most)
    few, many = 1, most  # column tiles: so few do not fit; so many do
    while found is not None and many - few > 1:
        middle = (few + many) // 2
        tile = fitting(middle)
        if tile is None:
            few = middle
        else:
            found, many = tile, middle
    return found


def binding(demand: Demand, terms: Terms, tile: Tile, used: Mapping[str, int]) -> str | None:
    """The resource that would take the most cores if it were the only limit; of equals, the fuller one at ``tile``."""
    if tile.cores == 1:
        return None
    cores = {}
    for resource in terms.limits:
        alone = fewest_cores(demand, terms, [resource])
        assert alone is not None, "what fits under all limits fits under one"
        cores[resource] = alone.cores
    return max(cores, key=lambda resource: (cores[resource], used[resource] / terms.limits[resource]))
