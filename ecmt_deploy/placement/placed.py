"""A program on its cores as data: what each core computes of each node, what it needs for it, and whom its messages reach.

The numbers of a placement (:func:`ecmt_deploy.placement.place`) and whatever runs a placed program are made from the same units
and tiles; this is the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ecmt_deploy.chips import Hardware
from ecmt_deploy.placement.pipeline import places
from ecmt_deploy.placement.routes import positions
from ecmt_deploy.placement.settling import settle
from ecmt_deploy.placement.streams import Operand, operands
from ecmt_deploy.placement.sums import extra_steps
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.units import Drafts
from ecmt_deploy.program import Program
from ecmt_deploy.program.ops.share import Share


@dataclass(frozen=True, eq=False)
class Population:
    """A node on its cores.

    Attributes
    ----------
    name, unit : of the node, and the first node of the unit it belongs to
    cores : cores that compute some of it, ascending
    shares : what each of them computes
    core_of : core of each element of its stream, (elements,)
    operands : its operands, by the streams they are made of
    """

    name: str
    unit: str
    cores: tuple[int, ...]
    shares: tuple[Share, ...]
    core_of: np.ndarray
    operands: tuple[Operand, ...]


class Axons(NamedTuple):
    """How messages of one node reach an operand of another: element ``elements[i]`` of the emitter's stream is put down in
    slot ``slots[i]`` of the operand.

    Attributes
    ----------
    emitter, consumer, operand : names of the nodes, and number of the operand; the emitter may be the program's input
    elements, slots : (entries,); the slots of an operand are the elements of :attr:`Share.operands`, core after core
    targets : core of each slot, (entries,)
    """

    emitter: str
    consumer: str
    operand: int
    elements: np.ndarray
    slots: np.ndarray
    targets: np.ndarray


class Packets(NamedTuple):
    """Messages that leave their core: element ``elements[i]`` goes from core ``sources[i]`` to core ``targets[i]``, once.

    Attributes
    ----------
    emitter, consumer, operand : as of :class:`Axons`
    """

    emitter: str
    consumer: str
    operand: int
    elements: np.ndarray
    sources: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Placed:
    """A program on the cores of a chip.

    Attributes
    ----------
    program, hardware, terms : what was placed where
    populations : by node, in the order of the program; wiring, constants, input and output are on no core
    homeless : nodes that no core can hold
    cores : how many cores it takes
    where : of each core its chip, and column and row of its tile over all chips, (3, cores); zeros where unknown
    extra : by node, steps that pass before its messages leave, beside its own: sums over rows where only synapses sum
    """

    program: Program
    hardware: Hardware
    terms: Terms
    populations: dict[str, Population]
    homeless: tuple[str, ...]
    cores: int
    where: np.ndarray
    extra: dict[str, int]

    @cached_property
    def axons(self) -> tuple[Axons, ...]:
        """All of them, by consumer and operand; what constants and padding put into a slot needs none."""
        return tuple(self._axons())

    def _axons(self) -> Iterator[Axons]:
        for name, population in self.populations.items():
            for k, operand in enumerate(population.operands):
                places_in = np.concatenate([share.operands[k].ravel() for share in population.shares])
                targets = np.repeat(population.cores, [share.operands[k].size for share in population.shares])
                for emitter, places_of in (*operand.sources.items(), *operand.image.items()):
                    elements = places_in if places_of is None else places_of.ravel()[places_in]
                    slots = np.flatnonzero(elements >= 0)
                    yield Axons(emitter, name, k, elements[slots], slots, targets[slots])

    @cached_property
    def packets(self) -> tuple[Packets, ...]:
        """What leaves its core, by consumer and operand: an element goes to each core once, whatever wiring makes of it."""
        return tuple(self._packets())

    def _packets(self) -> Iterator[Packets]:
        for emitter, consumer, operand, elements, _, targets in self.axons:
            if emitter not in self.populations:  # the image comes from outside
                continue
            pairs = np.unique(elements * self.cores + targets)
            once, to = np.divmod(pairs, self.cores)
            sources = self.populations[emitter].core_of[once]
            leaves = sources != to
            if leaves.any():
                yield Packets(emitter, consumer, operand, once[leaves], sources[leaves], to[leaves])

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of each node in the pipeline (:func:`ecmt_deploy.placement.pipeline.places`)."""
        leaving = {(sent.emitter, sent.consumer) for sent in self.packets}
        unit = {name: population.unit for name, population in self.populations.items()}
        return places(self.program, self.populations, lambda a, b: unit[a] != unit[b] or (a, b) in leaving, self.extra)

    @property
    def depth(self) -> int:
        """Steps of the chip from the first node to the last."""
        return max((place + self.extra[name] for name, place in self.places.items()), default=0)


def placed(program: Program, hardware: Hardware) -> Placed:
    """A program on the cores of a chip, node by node and core by core.

    Raises
    ------
    HardwareError
        if the limits of the chip contradict one another.
    """
    terms, read = Terms.of(hardware), operands(program)
    drafts = settle(program, read, terms)
    cores = sum(draft.cores for draft in drafts.units)
    found = {name: _population(drafts, name) for name in program.nodes if name in drafts.home}
    return Placed(
        program=program, hardware=hardware, terms=terms, cores=cores, where=positions(cores, terms),
        populations={name: population for name, population in found.items() if population is not None},
        extra={name: extra_steps(drafts, drafts.unit_of(name).names, terms) for name in found},
        homeless=tuple(name for name, population in found.items() if population is None),
    )  # fmt: skip


def _population(drafts: Drafts, name: str) -> Population | None:
    """A node on its cores; ``None`` where its unit has none."""
    tile_of, unit, program = drafts.tile_of(name), drafts.unit_of(name), drafts.program
    if tile_of is None:
        return None
    core_of = unit.first_core + tile_of
    order = np.argsort(core_of, kind="stable")
    cores, first = np.unique(core_of[order], return_index=True)
    node, shape, read = program.nodes[name], program.shapes[name], drafts.read[name]
    shapes = [operand.shape for operand in read]
    shares = tuple(node.share(elements, shape, *shapes) for elements in np.split(order, first[1:]))
    return Population(name, unit.names[0], tuple(cores.tolist()), shares, core_of, read)
