"""Units and their tiles together: what joins a unit decides its tile, and the tile decides what can join."""

from __future__ import annotations

from collections.abc import Mapping

from ecmt_deploy.placement.routes import leaving
from ecmt_deploy.placement.streams import Operand
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.tiling import demand, fewest_cores
from ecmt_deploy.placement.units import Drafts, gather, split_rows
from ecmt_deploy.program import Program


def settle(program: Program, read: Mapping[str, tuple[Operand, ...]], terms: Terms) -> Drafts:
    """Units and their tiles.

    Functions of whole rows join the unit they follow, until one is found whose rows its tiles divide: it begins a unit of its
    own, and everything is settled anew. The same for the neurons after such a function, where a core cannot hold both.
    """
    alone: set[str | None] = set()
    while True:
        drafts = gather(program, read, alone)
        _tile(drafts, terms)
        apart: set[str | None] = set()
        for unit in drafts.units:
            apart.add(split_rows(drafts, unit))
            if unit.tile is None and unit.demand.layer.whole:
                apart.add(next((name for name in unit.names if program.nodes[name].emits == "spikes"), None))
        apart.discard(None)
        if not apart:
            return drafts
        alone |= apart


def _tile(drafts: Drafts, terms: Terms) -> None:
    """The tile of every unit, the last first: how many cores a message goes to is known when its consumers have theirs."""
    for index, unit in reversed(list(enumerate(drafts.units))):
        out = leaving(drafts, index, terms) if "output_axons" in terms.limits else 0
        unit.demand = demand(drafts, unit.names, terms, out)
        unit.tile = fewest_cores(unit.demand, terms)
        unit.tile_of = unit.tile.of_elements() if unit.tile else None
    taken = 0
    for unit in drafts.units:
        unit.first_core = taken
        taken += unit.cores
