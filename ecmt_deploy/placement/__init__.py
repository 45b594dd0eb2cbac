"""Placement: which cores of a chip hold which nodes of a program, how full they are, and where messages go.

Pure arithmetic on a program and a chip: no input, no output, the same result for the same arguments. ``docs/placement.md``
gives the model and every formula.
"""

from __future__ import annotations

from math import ceil, prod

import numpy as np

from ecmt_deploy.door import ChipLike, ProgramLike, as_chip, as_program
from ecmt_deploy.placement import obstacles
from ecmt_deploy.placement.result import Obstacle, Placement, Route, Unit, Use
from ecmt_deploy.placement.routes import Map, Placed, flows, route
from ecmt_deploy.placement.settling import settle
from ecmt_deploy.placement.streams import operands
from ecmt_deploy.placement.terms import Terms, assumptions
from ecmt_deploy.placement.tiling import Demand, binding, smallest

__all__ = ["Obstacle", "Placement", "Route", "Unit", "Use", "place"]


def place(program: ProgramLike, hardware: ChipLike) -> Placement:
    """Cores, tiles and routes of a program on a chip, and what does not fit.

    Parameters
    ----------
    program : a ``Program``, the path of its file, or a ``SpikingModel`` or ``Run`` that carries one
    hardware : the chip, its name or file

    Raises
    ------
    ConfigError, ProgramError
        if there is no program.
    HardwareError
        if there is no such chip, or its limits contradict one another.
    """
    program, hardware = as_program(program), as_chip(hardware)
    terms = Terms.of(hardware)
    placed, demands = settle(program, operands(program), terms)
    cores = sum(tile.cores for tile in placed.tiles if tile)
    chips = ceil(cores / terms.cores_per_chip) if terms.cores_per_chip else None
    where, routes, leaving = Map.of(cores, terms), [], np.zeros(cores, np.int64)
    for flow in flows(placed):
        routes.append(route(flow, prod(program.shapes[flow.emitter]), where))
        axons = flow.counts * terms.levels_of(program.nodes[flow.emitter])
        leaving += np.bincount(flow.sources, weights=axons, minlength=cores).astype(np.int64)
    units = _units(placed, demands, leaving, terms)
    narrow = {
        unit.name: (asked.layer, {name: use.used for name, use in unit.use.items()})
        for unit, asked in zip(units, demands, strict=True)
        if not unit.cores
    }
    return Placement(
        hardware=hardware.name,
        title=hardware.title,
        units=units,
        routes=tuple(routes),
        cores=cores,
        chips=chips,
        mesh=None if terms.mesh is None else (terms.mesh.columns, terms.mesh.rows, terms.mesh.cores),
        obstacles=(
            *obstacles.abilities(program, hardware),
            *obstacles.widths(program, hardware, terms),
            *obstacles.analog(program, [sent.source for sent in routes], terms),
            *obstacles.untiled(narrow, terms),
            *obstacles.size(cores, terms),
        ),
        assumptions=assumptions(program, hardware, terms, chips),
    )


def _units(placed: Placed, demands: list[Demand], leaving: np.ndarray, terms: Terms) -> tuple[Unit, ...]:
    """Units as the result says them; ``leaving`` is the number of output axons by core."""
    units = []
    for names, asked, tile, first in zip(placed.drafts.units, demands, placed.tiles, placed.first_core, strict=True):
        shown = tile or smallest(asked)
        used = asked.use(shown, terms)
        if tile is not None:
            used["output_axons"] = int(leaving[first : first + tile.cores].max())
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
