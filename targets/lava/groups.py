"""Which nodes share a Lava process, and how streams reach them.

A node with a memory (neuron, ECM, product, hold, readout) is a process of its own, and so are input and output. A node
without one (weights, constants, sums, scales, means), or with none but the remainder of its rounding, joins the process of
its consumer where it has only that one: its result then needs no message. Wiring is folded into whatever consumes it. So
every group has one output, the last member's, and the graph of groups has no cycle.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ecmt_deploy.kernels import Site, Stream
from ecmt_deploy.program import Program
from ecmt_deploy.program.ops import Op

#: most streams a process receives
MAX_PORTS = 16


@dataclass(frozen=True)
class Wire:
    """An operand as an expression: a stream by name, or a wiring node over such expressions.

    Attributes
    ----------
    source : name of the node whose stream it is; ``None`` for a wiring node
    node, inputs : the wiring node and its operands
    """

    source: str | None = None
    node: Any = None
    inputs: tuple[Wire, ...] = ()

    @property
    def sources(self) -> list[str]:
        """Names of the streams it reads."""
        return [self.source] if self.source is not None else [s for wire in self.inputs for s in wire.sources]

    def stream(self, streams: dict[str, Stream]) -> Stream:
        """The operand's stream, from the streams of this step."""
        if self.source is not None:
            return streams[self.source]
        values, masks = zip(*(wire.stream(streams) for wire in self.inputs), strict=True)
        return Stream(self.node.rewire(*values), self.node.rewire(*masks))


@dataclass(frozen=True)
class Member:
    """A node of a group, where it stands, and its operands as expressions."""

    name: str
    node: Op
    site: Site
    operands: tuple[Wire, ...]


@dataclass(frozen=True)
class Group:
    """Nodes that share a process.

    Attributes
    ----------
    members : in the order of the program; the last is the output and gives the group its name
    ports : names of the other groups' streams it receives
    """

    members: tuple[Member, ...]
    ports: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the last member."""
        return self.members[-1].name


def groups(program: Program) -> dict[str, Group]:
    """The groups of ``program`` by name, operands first."""
    wires = {
        name: tuple(_wire(program, operand) for operand in program.operands[name])
        for name, node in program.nodes.items()
        if node.role != "movement"
    }
    consumers: defaultdict[str, set[str]] = defaultdict(set)
    for name, operands in wires.items():
        for wire in operands:
            for source in wire.sources:
                consumers[source].add(name)
    home: dict[str, str] = {}  # node to the name of its group
    members: dict[str, list[str]] = {}
    for name in reversed(wires):
        homes = {home[consumer] for consumer in consumers[name]}
        joins = _joins(program, name) and len(homes) == 1
        if joins and len(_ports(wires, [name, *members[next(iter(homes))]])) > MAX_PORTS:
            joins = False
        home[name] = homes.pop() if joins else name
        members.setdefault(home[name], []).insert(0, name)
    return {
        group: Group(
            tuple(Member(name, program.nodes[name], Site.of(program, name), wires[name]) for name in members[group]),
            _ports(wires, members[group]),
        )
        for group in wires
        if group in members
    }


def _joins(program: Program, name: str) -> bool:
    """Whether a node has no memory of its own besides the remainder of its rounding, so that it can share a process."""
    node = program.nodes[name]
    return node.role not in ("input", "output") and not node.kernel.memory


def _wire(program: Program, source: str) -> Wire:
    node = program.nodes[source]
    if node.role != "movement":
        return Wire(source=source)
    return Wire(node=node, inputs=tuple(_wire(program, operand) for operand in program.operands[source]))


def _ports(wires: dict[str, tuple[Wire, ...]], members: list[str]) -> tuple[str, ...]:
    read = [source for name in members for wire in wires[name] for source in wire.sources]
    return tuple(dict.fromkeys(source for source in read if source not in members))


# --- messages ---------------------------------------------------------------------------------------------------------


def message_dtype(dtype: np.dtype) -> np.dtype:
    """What travels in a run of ``dtype``: floats as they are, integers as 32 bits."""
    return np.dtype(np.int32) if np.dtype(dtype).kind == "i" else np.dtype(dtype)


def message_shape(shape: tuple[int, ...], spikes: bool, dtype: np.dtype) -> tuple[int, ...]:
    """Spikes travel as they are; an analog stream as its values, then a bit for each: whether an event reached it."""
    return (shape or (1,)) if spikes else (prod(shape) + _words(prod(shape), dtype),)


def _words(bits: int, dtype: np.dtype) -> int:
    """Elements of a message that hold so many bits."""
    return -(-bits // (8 * message_dtype(dtype).itemsize))


def pack(stream: Stream, spikes: bool, dtype: np.dtype) -> np.ndarray:
    """The message for a stream."""
    if spikes:
        return np.atleast_1d(stream.value).astype(dtype, copy=False)
    bits = np.packbits(stream.changed.ravel())
    mask = np.zeros(_words(stream.changed.size, dtype) * dtype.itemsize, np.uint8)
    mask[: bits.size] = bits
    return np.concatenate([stream.value.ravel().astype(dtype, copy=False), mask.view(dtype)])


def unpack(message: np.ndarray, shape: tuple[int, ...], spikes: bool, dtype: np.dtype) -> Stream:
    """The stream in a message, in the dtype of the run."""
    if spikes:
        value = message.reshape(shape).astype(dtype, copy=False)
        return Stream(value, value != 0)
    size = prod(shape)
    changed = np.unpackbits(message[size:].view(np.uint8), count=size).astype(bool).reshape(shape)
    return Stream(message[:size].reshape(shape).astype(dtype, copy=False), changed)
