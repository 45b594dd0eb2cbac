"""Units and their tiles together: what joins a unit decides its tile, and the tile decides what can join."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

from ecmt_deploy.placement.layers import layer
from ecmt_deploy.placement.routes import Placed, leaving
from ecmt_deploy.placement.streams import Operand
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.tiling import Demand, demand, fewest_cores, operand_axons
from ecmt_deploy.placement.units import Drafts, gather, split_rows
from ecmt_deploy.program import Program


def settle(program: Program, read: Mapping[str, tuple[Operand, ...]], terms: Terms) -> tuple[Placed, list[Demand]]:
    """Units and their tiles.

    Functions of whole rows join the unit they follow, until one is found whose rows its tiles divide: it begins a unit of its
    own, and everything is settled anew. The same for the neurons after such a function, where a core cannot hold both.
    """
    alone: set[str | None] = set()
    while True:
        drafts = gather(program, read, alone)
        placed, demands = _tile(drafts, terms)
        apart: set[str | None] = set()
        for unit, tile_of in enumerate(placed.tile_of):
            apart.add(split_rows(drafts, unit, tile_of))
            if tile_of is None and demands[unit].layer.whole:
                neurons = (name for name in drafts.units[unit] if program.nodes[name].emits == "spikes")
                apart.add(next(neurons, None))
        apart.discard(None)
        if not apart:
            return placed, demands
        alone |= apart


def _tile(drafts: Drafts, terms: Terms) -> tuple[Placed, list[Demand]]:
    """The tile of every unit, the last first: how many cores a message goes to is known when its consumers have theirs."""
    program, layers = drafts.program, []
    for first, *_ in drafts.units:
        axons = tuple(operand_axons(program, operand, terms) for operand in drafts.read[first])
        shapes = tuple(operand.shape for operand in drafts.read[first])
        layers.append(layer(program.nodes[first], program.shapes[first], shapes, axons))
    nothing = [None] * len(layers)
    placed = Placed(drafts, layers, [*nothing], [*nothing], [0] * len(layers))
    demands: list[Demand] = []
    for unit in reversed(range(len(layers))):
        out = leaving(placed, unit, terms) if "output_axons" in terms.limits else 0
        asked = demand(drafts, unit, layers[unit], terms, out)
        tile = fewest_cores(asked, terms)
        if tile is not None:
            placed.tiles[unit], placed.tile_of[unit] = tile, tile.of_elements()
        demands.insert(0, asked)
    taken = accumulate((tile.cores if tile else 0 for tile in placed.tiles), initial=0)
    placed.first_core[:] = list(taken)[:-1]
    return placed, demands
