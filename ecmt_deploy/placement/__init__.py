"""Placement: which cores of a chip hold which nodes of a program, how full they are, and where messages go.

Pure arithmetic on a program and a chip: no input, no output, the same result for the same arguments. ``docs/placement.md``
gives the model and every formula.
"""

from __future__ import annotations

from math import ceil, prod

import numpy as np

from ecmt_deploy.door import ChipLike, ProgramLike, as_chip, as_program
from ecmt_deploy.placement import obstacles
from ecmt_deploy.placement.bands import PlacementBand, banded, ends
from ecmt_deploy.placement.result import Obstacle, Placement, Route, Unit, Use
from ecmt_deploy.placement.routes import flows, positions, route
from ecmt_deploy.placement.settling import settle
from ecmt_deploy.placement.streams import operands
from ecmt_deploy.placement.sums import extra_steps
from ecmt_deploy.placement.terms import Terms, assumptions
from ecmt_deploy.placement.tiling import binding, smallest
from ecmt_deploy.placement.units import Draft
from ecmt_deploy.placement.unshown import unshown

__all__ = ["Obstacle", "Placement", "PlacementBand", "Route", "Unit", "Use", "place", "place_band"]


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
    drafts = settle(program, operands(program), terms)
    cores = sum(draft.cores for draft in drafts.units)
    chips = ceil(cores / terms.cores_per_chip) if terms.cores_per_chip else None
    where, routes, leaving = positions(cores, terms), [], np.zeros(cores, np.int64)
    for flow in flows(drafts):
        routes.append(route(flow, prod(program.shapes[flow.emitter]), where, terms))
        axons = flow.counts * terms.levels_of(program.nodes[flow.emitter])
        leaving += np.bincount(flow.sources, weights=axons, minlength=cores).astype(np.int64)
    return Placement(
        hardware=hardware.name,
        title=hardware.title,
        units=tuple(_unit(draft, leaving, terms, extra_steps(drafts, draft.names, terms)) for draft in drafts.units),
        routes=tuple(routes),
        cores=cores,
        chips=chips,
        mesh=terms.mesh,
        obstacles=(
            *obstacles.payloads(program, hardware),
            *obstacles.abilities(program, hardware),
            *obstacles.widths(program, hardware, terms),
            *obstacles.analog(program, [sent.source for sent in routes], terms),
            *obstacles.untiled([draft for draft in drafts.units if not draft.tile], terms),
            *obstacles.size(cores, terms),
        ),
        assumptions=assumptions(program, hardware, terms, chips),
        unshown=tuple(unshown(program, hardware, terms, [sent.source for sent in routes])),
    )


def place_band(program: ProgramLike, hardware: ChipLike) -> PlacementBand:
    """Placements with the most room that the ranges of the chip's limits allow, as they are given, and with the least.

    The middle one says how many cores and chips that makes. Where no limit has a range, all three are the same. Arguments and
    errors as of :func:`place`.
    """
    program, hardware = as_program(program), as_chip(hardware)
    value = place(program, hardware)
    roomy, tight = (value if end is hardware else place(program, end) for end in ends(hardware))
    return banded(value, roomy, tight)


def _unit(draft: Draft, leaving: np.ndarray, terms: Terms, extra: int) -> Unit:
    """A unit as the result says it; ``leaving`` is the number of output axons by core."""
    tile = draft.tile or smallest(draft.demand)
    used = draft.demand.use(tile, terms)
    if draft.tile:
        used["output_axons"] = int(leaving[draft.first_core : draft.first_core + draft.cores].max())
    return Unit(
        name=draft.names[0],
        nodes=tuple(draft.names),
        first_core=draft.first_core,
        cores=draft.cores,
        rows_per_core=min(tile.rows, tile.grid.rows),
        columns_per_core=tile.columns,
        use={name: Use(amount, terms.limits.get(name)) for name, amount in used.items()},
        binding=binding(draft.demand, terms, tile, used) if draft.tile else None,
        extra_steps=extra,
    )
