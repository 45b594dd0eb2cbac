"""Placement: which cores of a chip hold which nodes of a program, how full they are, and where messages go.

Pure arithmetic on a program and a chip: no input, no output, the same result for the same arguments. ``docs/placement.md``
gives the model and every formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import numpy as np

from ecmt_deploy.chips import Hardware
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.placement import obstacles
from ecmt_deploy.placement.layers import layer
from ecmt_deploy.placement.result import Obstacle, Placement, Route, Unit, Use
from ecmt_deploy.placement.routes import Flow, Placed, flows, leaving, route
from ecmt_deploy.placement.streams import Operand, operands
from ecmt_deploy.placement.terms import Terms, assumptions
from ecmt_deploy.placement.tiling import Demand, binding, demand, fewest_cores, operand_axons, smallest
from ecmt_deploy.placement.units import Drafts, gather, split_rows

__all__ = ["Obstacle", "Placement", "Route", "Unit", "Use", "place"]


def place(program: Program, hardware: Hardware) -> Placement:
    """Cores, tiles and routes of a program on a chip, and what does not fit.

    Raises
    ------
    HardwareError
        if the limits of the chip contradict one another.
    """
    terms, read = Terms.of(hardware), operands(program)
    placed, demands = _settle(program, read, terms)
    found = list(flows(program, read, placed))
    units = _units(program, placed, demands, found, terms)
    cores = sum(unit.cores for unit in units)
    chips = ceil(cores / terms.cores_per_chip) if terms.cores_per_chip else None
    narrow = {
        unit.name: (asked.layer, {name: use.used for name, use in unit.use.items()})
        for unit, asked in zip(units, demands, strict=True)
        if not unit.cores
    }
    return Placement(
        hardware=hardware.name,
        title=hardware.title,
        units=units,
        routes=tuple(route(flow, int(np.prod(program.shapes[flow.emitter])), terms) for flow in found),
        cores=cores,
        chips=chips,
        mesh=None if terms.mesh is None else (terms.mesh.columns, terms.mesh.rows, terms.mesh.cores),
        obstacles=(
            *obstacles.abilities(program, hardware),
            *obstacles.widths(program, hardware, terms),
            *obstacles.analog(program, [flow.emitter for flow in found], terms),
            *obstacles.untiled(narrow, terms),
            *obstacles.size(cores, terms),
        ),
        assumptions=assumptions(program, hardware, terms, chips),
    )


def _settle(program: Program, read: Mapping[str, tuple[Operand, ...]], terms: Terms) -> tuple[Placed, list[Demand]]:
    """Units and their tiles.

    Functions of whole rows join the unit they follow, until one is found whose rows its tiles divide: it begins a unit of its
    own, and everything is settled anew. The same for the neurons after such a function, where a core cannot hold both.
    """
    alone: set[str | None] = set()
    while True:
        drafts = gather(program, read, alone)
        placed, demands = _tile(program, read, drafts, terms)
        apart: set[str | None] = set()
        for unit, tile_of in enumerate(placed.tile_of):
            apart.add(split_rows(drafts, program, unit, tile_of))
            if tile_of is None and demands[unit].layer.whole:
                neurons = (name for name in drafts.units[unit] if isinstance(program.nodes[name], n.MultiThreshold))
                apart.add(next(neurons, None))
        apart.discard(None)
        if not apart:
            return placed, demands
        alone |= apart


def _tile(
    program: Program, read: Mapping[str, tuple[Operand, ...]], drafts: Drafts, terms: Terms
) -> tuple[Placed, list[Demand]]:  # fmt: skip
    """The tile of every unit, the last first: how many cores a message goes to is known when its consumers have theirs."""
    layers = []
    for first, *_ in drafts.units:
        axons = tuple(operand_axons(program, operand, terms) for operand in read[first])
        shapes = tuple(operand.shape for operand in read[first])
        layers.append(layer(program.nodes[first], program.shapes[first], shapes, axons))
    nothing = [None] * len(layers)
    placed = Placed(drafts, layers, [*nothing], [*nothing], [0] * len(layers))
    demands: list[Demand] = []
    for unit in reversed(range(len(layers))):
        out = leaving(program, read, placed, unit, terms) if "output_axons" in terms.limits else 0
        asked = demand(program, read, drafts, unit, layers[unit], terms, out)
        tile = fewest_cores(asked, terms)
        if tile is not None:
            placed.tiles[unit], placed.tile_of[unit] = tile, tile.of_elements()
        demands.insert(0, asked)
    for unit in range(1, len(layers)):
        before = placed.tiles[unit - 1]
        placed.first_core[unit] = placed.first_core[unit - 1] + (before.cores if before else 0)
    return placed, demands


def _units(program: Program, placed: Placed, demands: list[Demand], found: list[Flow], terms: Terms) -> tuple[Unit, ...]:
    cores = sum(tile.cores for tile in placed.tiles if tile)
    leaving_axons = np.zeros(cores, np.int64)  # by core
    for flow in found:
        levels = terms.levels_of(program.nodes[flow.emitter])
        leaving_axons += np.bincount(flow.sources, weights=flow.counts * levels, minlength=cores).astype(np.int64)
    units = []
    for names, asked, tile, first in zip(placed.drafts.units, demands, placed.tiles, placed.first_core, strict=True):
        shown = tile or smallest(asked)
        used = asked.use(shown, terms)
        if tile is not None:
            used["output_axons"] = int(leaving_axons[first : first + tile.cores].max())
        units.append(
            Unit(
                name=names[0],
                nodes=tuple(names),
                first_core=first,
                cores=tile.cores if tile else 0,
                rows_per_core=shown.rows,
                columns_per_core=shown.columns,
                use={name: Use(amount, terms.limits.get(name)) for name, amount in used.items()},
                binding=binding(asked, terms, tile, used) if tile else None,
            )
        )
    return tuple(units)
