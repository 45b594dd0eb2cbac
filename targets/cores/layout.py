"""A placed program as a loader takes it: for every core its groups of neurons, their parameters and their axon tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ecmt_deploy.program.inputs import Inputs, NamedInput

Shape = tuple[int, ...]
Link = tuple[int, int, int, int, int]


class Axon(NamedTuple):
    """Where a core puts down the messages of one node: element ``elements[i]`` into slot ``slots[i]``."""

    elements: np.ndarray
    slots: np.ndarray


class Constants(NamedTuple):
    """What stands in slots without any message: ``values[i]`` in slot ``slots[i]``, an event in itself."""

    slots: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Inlet:
    """One operand of a group, as its core holds it: a slot for every element it needs.

    Attributes
    ----------
    shape : of the share's operand; slots are numbered in its order
    spiking : whether nothing but spikes comes
    once : whether what comes is exact, so that it enters at t = 1 alone
    axons : by the name of the node that emits (or of the program's input)
    first, later : constants at t = 1, and at every step after it
    together : number of a row for each slot: one event in a row counts for all slots of that number, on whatever core of the
        node; ``None`` where an event counts for its own slot
    counted : of slots that other cores have too, those whose saturations count here; ``None``: all
    positions : which element of the whole operand stands in each slot; ``None`` where nobody asked
    """

    shape: Shape
    spiking: bool
    axons: Mapping[str, Axon]
    first: Constants
    later: Constants
    together: np.ndarray | None = None
    counted: np.ndarray | None = None
    positions: np.ndarray | None = None
    once: bool = False

    @property
    def size(self) -> int:
        """How many slots."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Group:
    """A group of neurons: what one core computes of one node.

    Attributes
    ----------
    core, node : number of the core, name of the node
    op : the share of the node, whose kernel the core runs
    elements : which elements of the node's stream it makes (flat), in the shape of the share's stream
    inlets : its operands
    together : as of :class:`Inlet`, of its own stream
    """

    core: int
    node: str
    op: Any
    elements: np.ndarray
    inlets: tuple[Inlet, ...]
    together: np.ndarray | None = None


class Node(NamedTuple):
    """A node of the program, as all its cores know it.

    Attributes
    ----------
    role, shape : as in the program
    place : in the pipeline, from 1; 0 where no core computes it
    extra : steps that pass before its messages leave, beside its own
    packets : packets that one of its messages takes
    encoding : whether it takes the analog image
    network_macs : multiply-accumulates that the network spends on it, where they are not all of the node's
    always : of a constant, whether it is sent at every step, not at the first alone
    """

    role: str
    shape: Shape
    place: int = 0
    extra: int = 0
    packets: int = 1
    encoding: bool = False
    network_macs: int | None = None
    always: bool = False

    @property
    def size(self) -> int:
        """Elements of its stream."""
        return prod(self.shape)


class Hosted(NamedTuple):
    """A node that whoever presents the sample computes.

    Attributes
    ----------
    op, operands : the op, and the names of its operands, which are such nodes too
    exact : whether its stream is
    """

    op: Any
    operands: tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True, eq=False)
class Layout:
    """A placed program.

    Attributes
    ----------
    hardware : name of the chip
    nodes : every node of the program, in its order
    groups : by node, core after core
    host : what enters from outside, by node, operands first: the inputs, and what is computed of them before a core is
    where : of each core its chip, and column and row of its tile over all chips, (3, cores)
    mesh : tile columns, tile rows, cores per tile of a chip; ``None`` where unknown
    chip_columns : chips side by side
    """

    hardware: str
    nodes: Mapping[str, Node]
    groups: Mapping[str, tuple[Group, ...]]
    host: Mapping[str, Hosted]
    where: np.ndarray
    mesh: tuple[int, int, int] | None
    chip_columns: int

    @cached_property
    def core_of(self) -> dict[str, np.ndarray]:
        """Core of each element of every node's stream, flat."""
        found = {}
        for name, groups in self.groups.items():
            found[name] = np.zeros(self.nodes[name].size, np.int64)
            for group in groups:
                found[name][group.elements.ravel()] = group.core
        return found

    @cached_property
    def inputs(self) -> Inputs:
        """What a sample is made of."""
        found = {name: node.op for name, node in self.host.items() if node.op.role == "input"}
        return Inputs(tuple(NamedInput(name, self.nodes[name].shape, op.holds, op.limit) for name, op in found.items()))

    @property
    def cores(self) -> int:
        """How many cores hold something."""
        return int(self.where.shape[1])

    @property
    def depth(self) -> int:
        """Steps of the chip from the first node to the last."""
        return max((node.place + node.extra for node in self.nodes.values()), default=0)

    def of_role(self, role: str) -> str:
        """Name of the only node of a role."""
        (name,) = (name for name, node in self.nodes.items() if node.role == role)
        return name
