"""From a placed program to what its cores hold: shares of nodes, axon tables, constants, rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from ecmt_deploy.estimation.routing import packets_per_message
from ecmt_deploy.placement.placed import Placed, Population
from ecmt_deploy.placement.routes import board
from ecmt_deploy.program import Program

from .layout import Axon, Constants, Group, Hosted, Inlet, Layout, Node, Shape

_NONE = Constants(np.zeros(0, np.int64), np.zeros(0, np.int64))
#: of an operand: values and events that constants bring at a step, or ``None`` where there are none
Background = Callable[[str, int], tuple[np.ndarray, np.ndarray] | None]


def layout(placed: Placed) -> Layout:
    """What every core holds of a placed program, all of whose nodes are on cores."""
    program, mesh = placed.program, placed.terms.mesh
    background = _background(program)
    axons: dict[tuple[str, int], dict[str, Axon]] = defaultdict(dict)
    for emitter, consumer, operand, elements, slots, _ in placed.axons:
        axons[consumer, operand][emitter] = Axon(elements, slots)
    macs = program.provenance.network_macs or {}
    nodes = {
        name: Node(
            role=node.role,
            shape=program.shapes[name],
            place=placed.places.get(name, 0),
            extra=placed.extra.get(name, 0),
            packets=packets_per_message(node, placed.hardware),
            encoding=name in program.encoding,
            network_macs=macs.get(name),
            always=node.role == "constant" and node.sends == "always",
        )
        for name, node in program.nodes.items()
    }
    return Layout(
        hardware=placed.hardware.name,
        nodes=nodes,
        groups={name: _groups(program, population, axons, background) for name, population in placed.populations.items()},
        host=_hosted(program),
        where=placed.where,
        mesh=None if mesh is None else (mesh.columns, mesh.rows, mesh.cores),
        chip_columns=board(placed.where[0], placed.terms),
    )


def _hosted(program: Program) -> dict[str, Hosted]:
    """What enters from outside, and whatever that is made of."""
    needed: set[str] = set()
    for name, operands in reversed(list(program.operands.items())):
        if name in program.outside or name in needed:
            needed.update((name, *operands))
    return {
        name: Hosted(node, program.operands[name], name in program.exact)
        for name, node in program.nodes.items()
        if name in needed
    }


def _groups(
    program: Program, population: Population, axons: dict[tuple[str, int], dict[str, Axon]], background: Background
) -> tuple[Group, ...]:
    """A node core by core."""
    name, shares = population.name, population.shares
    ndim, node = len(program.shapes[name]), program.nodes[name]
    columns: list[list[Inlet]] = []
    for k, operand in enumerate(population.operands):
        source = program.operands[name][k]
        columns.append(
            _inlets(
                [share.operands[k] for share in shares],
                axons[name, k],
                source in program.spiking,
                [_constants(background(source, t)) for t in (1, 2)],
                _rows(operand.shape, node.together(k, ndim)),
                node.role in ("function", "product"),
                source in program.exact,
            )
        )
    own = _rows(program.shapes[name], node.together(None, ndim))
    return tuple(
        Group(core, name, share.node, share.elements, tuple(inlets), None if own is None else own[share.elements])
        for core, share, *inlets in zip(population.cores, shares, *columns, strict=True)
    )


def _inlets(
    taken: list[np.ndarray], axons: dict[str, Axon], spiking: bool, constants: list[np.ndarray | None],
    rows: np.ndarray | None, kept: bool, once: bool,
) -> list[Inlet]:  # fmt: skip
    """One operand, core by core.

    Parameters
    ----------
    taken : elements of the operand that each core needs, in the shape of its share
    axons : by the node that emits, over the slots of all cores
    constants : what they bring at t = 1 and later, (2, elements): whether there is any, and its value
    rows : number of the row of each element
    kept : whether a core keeps a sum of each, so that a copy may saturate
    once : whether it is exact
    """
    ends = np.cumsum([each.size for each in taken])
    bounds = {name: np.searchsorted(axon.slots, [0, *ends]) for name, axon in axons.items()}
    positions = np.concatenate([each.ravel() for each in taken])
    counted = np.zeros(len(positions), bool)
    counted[np.unique(positions, return_index=True)[1]] = True
    made = []
    for i, (each, end) in enumerate(zip(taken, ends.tolist(), strict=True)):
        start, flat = end - each.size, each.ravel()
        mine = {}
        for name, axon in axons.items():
            a, b = bounds[name][i : i + 2]
            if b > a:
                mine[name] = Axon(axon.elements[a:b], axon.slots[a:b] - start)
        first, later = (_slots(constant, flat) for constant in constants)
        here = counted[start:end].reshape(each.shape)
        made.append(
            Inlet(
                each.shape, spiking, mine, first, later, None if rows is None else rows[each],
                here if kept and not here.all() else None, each, once,
            )
        )  # fmt: skip
    return made


def _slots(constant: np.ndarray | None, taken: np.ndarray) -> Constants:
    """What constants put into slots that hold these elements."""
    if constant is None:
        return _NONE
    there = np.flatnonzero(constant[0, taken])
    return Constants(there, constant[1, taken[there]])


def _constants(found: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray | None:
    """Whether a constant brings something to each element, and what: (2, elements); ``None`` where none does."""
    if found is None:
        return None
    value, event = found
    return np.stack([event.ravel().astype(np.int64), value.ravel().astype(np.int64)])


def _background(program: Program) -> Background:
    """What constants alone bring to a stream of wiring at a step: its values and where there is an event."""

    @cache
    def brought(name: str, t: int) -> tuple[np.ndarray, np.ndarray] | None:
        node, shape = program.nodes[name], program.shapes[name]
        if node.role == "constant":
            there = t == 1 or node.sends == "always"
            return (np.asarray(node.value, np.int64), np.ones(shape, bool)) if there else None
        if node.role != "movement":
            return None
        sources = program.operands[name]
        parts = [brought(source, t) for source in sources]
        if not any(part is not None for part in parts):
            return None
        values = [_or_nothing(part, 0, program.shapes[s], np.int64) for part, s in zip(parts, sources, strict=True)]
        events = [_or_nothing(part, 1, program.shapes[s], bool) for part, s in zip(parts, sources, strict=True)]
        return node.rewire(*values), node.rewire(*events)

    return brought


def _or_nothing(part: tuple[np.ndarray, np.ndarray] | None, which: int, shape: Shape, dtype: type) -> np.ndarray:
    return np.zeros(shape, dtype) if part is None else part[which]


def _rows(shape: Shape, axes: tuple[int, ...]) -> np.ndarray | None:
    """For each element (flat) the number of its row, rows lying along ``axes``; ``None`` where each is a row of its own."""
    axes = tuple(axis for axis in axes if -axis <= len(shape) and shape[axis] > 1)
    if not axes:
        return None
    numbers = np.arange(prod(shape)).reshape(shape)
    first = tuple(slice(0, 1) if axis - len(shape) in axes else slice(None) for axis in range(len(shape)))
    return np.broadcast_to(numbers[first], shape).ravel()
