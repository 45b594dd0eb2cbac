"""Wiring folded into its consumers: every process receives the streams of other processes and rewires them itself."""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np

from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.kernels import Stream
from ecmt_deploy.kernels.wiring import rewire

#: most streams a process receives: every number of ports is a class of its own to Lava
MAX_PORTS = 16


@dataclass(frozen=True)
class Wire:
    """An operand as an expression: a port, or a wiring node over such expressions.

    Attributes
    ----------
    port : number of the port it reads; ``None`` for a wiring node
    node, inputs : the wiring node and its operands
    """

    port: int | None = None
    node: nir.NIRNode | None = None
    inputs: tuple[Wire, ...] = ()

    def stream(self, received: list[Stream]) -> Stream:
        """The operand's stream, from what the ports received in this step."""
        if self.port is not None:
            return received[self.port]
        values, masks = zip(*(wire.stream(received) for wire in self.inputs), strict=True)
        return Stream(rewire(self.node, *values), rewire(self.node, *masks))


def sources(program: Program, name: str) -> tuple[list[str], list[Wire]]:
    """The nodes whose streams ``name`` receives, one port each, and its operands as expressions over them."""
    ports: list[str] = []

    def wire(source: str) -> Wire:
        node = program.nodes[source]
        if isinstance(node, n.WIRING):
            return Wire(node=node, inputs=tuple(wire(operand) for operand in program.operands[source]))
        if source not in ports:
            ports.append(source)
        return Wire(port=ports.index(source))

    wires = [wire(operand) for operand in program.operands[name]]
    return ports, wires


def pack(stream: Stream, spikes: bool) -> np.ndarray:
    """A message: spikes as they are; an analog stream as (2, *shape), its values and where they changed."""
    return stream.value.astype(float) if spikes else np.stack([stream.value, stream.changed]).astype(float)


def unpack(message: np.ndarray, spikes: bool, dtype: np.dtype) -> Stream:
    """The stream in a message."""
    if spikes:
        value = message.astype(dtype)
        return Stream(value, value != 0)
    return Stream(message[0].astype(dtype), message[1] != 0)
