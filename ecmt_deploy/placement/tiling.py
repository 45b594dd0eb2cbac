"""How much a core holds: what a tile of a unit uses of each resource, and the tile that takes the fewest cores."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from ecmt_deploy.placement.layers import Layer, layer, varies
from ecmt_deploy.placement.streams import Operand
from ecmt_deploy.placement.sums import summing
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.tiles import Load, Tile, halved_rows, row_choices
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
    sum_weights : weights of synapses that sum over rows, where each pair stores its own
    coupled : whether nodes joined it that need whole rows on one core
    """

    layer: Layer
    weight_bits: int
    sum_bits: int
    neurons: Load
    state_bits: Load
    input_axons: Load
    output_axons: Load
    sum_weights: Load
    coupled: bool

    def use(self, tile: Tile, terms: Terms) -> dict[str, int]:
        """Need of the fullest core, by resource."""
        weights: float = self.layer.weights(tile, terms.sharing) * self.weight_bits
        weights *= terms.overhead_shared if terms.sharing and self.layer.repeats else terms.overhead_dense
        weights += self.sum_weights.most(tile) * self.weight_bits * terms.overhead_dense
        states, sums = self.state_bits.most(tile), self.layer.sums(tile) * self.sum_bits
        if terms.sums_as_states:
            states += sums
        else:
            weights += sums
        used = {
            "neurons": self.neurons.most(tile),
            "synaptic_memory_bytes": ceil(weights / 8),
            "state_memory_bytes": ceil(states / 8),
            "input_axons": self.layer.input_axons(tile, terms.axon_sharing) + self.input_axons.most(tile),
            "output_axons": self.output_axons.most(tile),
            "fan_in": self.layer.fan_in,
        }
        if "memory_bytes" in terms.limits:
            used["memory_bytes"] = used["synaptic_memory_bytes"] + used["state_memory_bytes"]
        return used


def demand(drafts: Drafts, names: list[str], terms: Terms, leaving: np.ndarray | int) -> Demand:
    """What a unit asks of its cores; ``leaving`` is the number of output axons by element of its first node."""
    program, first = drafts.program, names[0]
    axons = tuple(operand_axons(program, operand, terms) for operand in drafts.read[first])
    shapes = tuple(operand.shape for operand in drafts.read[first])
    made = layer(program.nodes[first], program.shapes[first], shapes, axons, terms.halving)
    origins = {id(drafts.origin[name]): drafts.origin[name] for name in names}  # nodes that follow one another share it
    by_origin = {key: _count(origin, prod(made.grid.shape)) for key, origin in origins.items()}
    count = {name: by_origin[id(drafts.origin[name])] for name in names}
    nodes = {name: program.nodes[name] for name in names}
    spiking = [name for name in names if nodes[name].emits == "spikes"]
    emitting = sum(count[name] * terms.levels_of(nodes[name]) for name in spiking)
    computing = (count[name] for name in names if name not in spiking)
    summed, sums = summing(drafts, names, terms, prod(made.grid.shape))
    return Demand(
        made,
        terms.weight_bits_of(nodes[first]),
        terms.state_bits_of(nodes[first]),
        neurons=Load(made.grid, np.max(np.broadcast_arrays(1, emitting, *computing), axis=0) + sums),
        state_bits=Load(
            made.grid, sum(count[name] * _state_bits(drafts, name, terms) for name in names) + sums * terms.state_bits
        ),
        input_axons=Load(made.grid, sum(count[name] * _arriving(drafts, name, terms) for name in names[1:]) + summed + sums),
        output_axons=Load(made.grid, leaving),
        sum_weights=Load(made.grid, 0 if terms.sharing else 2 * summed),
        coupled=any(name in drafts.rows for name in names),
    )


def _count(origin: np.ndarray | None, size: int) -> np.ndarray | int:
    """How many elements of a stream stand beside each element of a unit's first node; an int where it is the same of all."""
    if origin is None:
        return 1
    count = np.bincount(origin, minlength=size)
    return int(count[0]) if (count == count[0]).all() else count


def _state_bits(drafts: Drafts, name: str, terms: Terms) -> int:
    """Bits of state of one element of a node, and of what it holds before the first step where that differs from element to
    element: a reset needs it again. Running sums of a product of matrices are the layer's."""
    node, shapes = drafts.program.nodes[name], (operand.shape for operand in drafts.read[name])
    kept = 0 if node.layer == "matmul" else sum(map(varies, node.initials))
    words = node.words(drafts.program.shapes[name], *shapes) + kept
    return int(words * terms.levels_of(node) * terms.state_bits_of(node))


def _arriving(drafts: Drafts, name: str, terms: Terms) -> int:
    """Axons that reach one element of a joined node from elsewhere."""
    read = drafts.read[name]
    if drafts.program.nodes[name].coupling(max((len(operand.shape) for operand in read), default=0)):
        return 0
    return sum(operand_axons(drafts.program, operand, terms) for operand in read if not _local(drafts, name, operand))


def _local(drafts: Drafts, name: str, operand: Operand) -> bool:
    """Whether each element of an operand is computed where the node needs it."""
    if operand.from_input or {drafts.home[emitter] for emitter in operand.sources} != {drafts.home[name]}:
        return False
    theirs, mine, shape = inherited(drafts, operand), drafts.origin[name], drafts.program.shapes[name]
    if theirs is mine:
        return True
    identity = np.arange(prod(shape))
    theirs = np.broadcast_to((identity if theirs is None else theirs).reshape(operand.shape), shape).ravel()
    return np.array_equal(theirs, identity if mine is None else mine)


def operand_axons(program: Program, operand: Operand, terms: Terms) -> int:
    """Axons of one element of an operand: the most of the nodes it comes from; none where it is constant."""
    return max([int(operand.from_input), *(terms.levels_of(program.nodes[emitter]) for emitter in operand.sources)])


def smallest(demand: Demand) -> Tile:
    """The smallest tile a unit can be divided into."""
    grid = demand.layer.grid
    return Tile(grid, 1, grid.columns if demand.layer.whole else 1)


def fewest_cores(demand: Demand, terms: Terms, resources: Collection[str] | None = None) -> Tile | None:
    """The tile that takes the fewest cores under the limits of ``resources`` (all); ``None`` where not even the smallest fits.

    Of those with equally few, one with whole rows if nodes joined that need them; then the one with the smallest sum of rows
    and columns; then the one with more rows. Where layers are halved, the first that fits.
    """
    resources = terms.limits if resources is None else resources
    if terms.halving:
        return _halved(demand, terms, resources)
    grid, best = demand.layer.grid, None
    for rows in row_choices(grid):
        row_tiles = Tile(grid, rows, grid.columns).row_tiles
        if best is not None and row_tiles > best.cores:
            break  # the fewer rows a tile has, the more of them there are
        most = grid.columns if best is None else min(best.cores // row_tiles, grid.columns)
        tile = _widest(demand, terms, resources, rows, most)
        if tile is not None and (best is None or _rank(demand, tile) < _rank(demand, best)):
            best = tile
    return best


def _halved(demand: Demand, terms: Terms, resources: Collection[str]) -> Tile | None:
    """Rows are halved as long as that helps; where not even one fits, the columns too."""
    grid = demand.layer.grid
    for halves in range(1 if demand.layer.whole else (grid.columns - 1).bit_length() + 1):
        for rows in halved_rows(grid):
            tile = Tile(grid, rows, ceil(grid.columns / 2**halves))
            if _fits(demand, terms, resources, tile):
                return tile
    return None


def _fits(demand: Demand, terms: Terms, resources: Collection[str], tile: Tile) -> bool:
    used = demand.use(tile, terms)
    return all(used[resource] <= terms.limits[resource] for resource in resources)


def _rank(demand: Demand, tile: Tile) -> tuple[int, int, int, int]:
    return tile.cores, tile.column_tiles if demand.coupled else 0, tile.rows + tile.columns, -tile.rows


def _widest(demand: Demand, terms: Terms, resources: Collection[str], rows: int, most: int) -> Tile | None:
    """Of tiles with so many rows, the one with the most columns that fits; no more than ``most`` column tiles."""
    grid = demand.layer.grid

    def fitting(column_tiles: int) -> Tile | None:
        tile = Tile(grid, rows, ceil(grid.columns / column_tiles))
        return tile if _fits(demand, terms, resources, tile) else None

    found = fitting(1)
    if found is not None or demand.layer.whole or fitting(most) is None:
        return found
    fewer = range(most - 1, 1, -1)
    return fitting(most - bisect(fewer, False, key=lambda column_tiles: fitting(column_tiles) is None))


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
