"""Folding expectations into a program: a neuron spikes what was not expected, and its consumers add what was.

A neuron whose membrane starts at minus the expected operand mu sends spikes that sum to x - mu. A weight node is linear, so
it lacks W mu, a constant that joins its bias; a product starts with mu in its accumulator. The analog program stays the same
mathematics, and nothing but the spikes of what differs from the expectation crosses the synapses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.program import Program, ops, verify
from ecmt_deploy.program.graph import edges, reconnect, unrepeated
from ecmt_deploy.program.ops import Op

FLOAT64 = np.dtype(np.float64)


def with_expectations(program: Program, neurons: Mapping[str, ops.MultiThreshold]) -> Program:
    """``program`` with ``neurons`` in place of its own, whose initial membranes are made up for at their consumers.

    ``neurons`` names every neuron of ``program``; the program's own are without expectation.
    """
    nodes: dict[str, Op] = {**program.nodes, **neurons}
    operands, dtype = dict(program.operands), program.dtype
    last_taker = {source: name for name, sources in program.operands.items() for source in sources}
    lacking: dict[str, np.ndarray] = {}  # by stream of spikes: what its consumers have yet to add, float64
    for name, node in program.nodes.items():
        sources = program.operands[name]
        if name in neurons:
            lacking[name] = np.broadcast_to(-neurons[name].initial_membrane.astype(FLOAT64), program.shapes[name])
        elif not any(source in lacking for source in sources):
            continue
        elif node.role == "product":
            # a stream without neurons, which an exact operand is, lacks nothing
            expected = (lacking.get(source, np.zeros(program.shapes[source])) for source in sources)
            left, right = (unrepeated(value).astype(dtype) for value in expected)
            nodes[name] = ops.ECMProduct(node.operands, node.product, node.coding, left, right)
        else:
            moved = kernel(node, Site.of(program, name), FLOAT64, identity_neurons=True)  # a correction is of what is sent
            values = [Stream(lacking[source], np.ones(program.shapes[source], bool)) for source in sources]
            result = moved.advance(1, *values).value
            if node.role == "movement":
                lacking[name] = result
            else:
                add_constant(nodes, operands, name, result.astype(dtype))
        for source in sources:
            if last_taker[source] == name:
                lacking.pop(source, None)
    return verify(nodes, edges(operands), program.provenance)


def add_constant(nodes: dict[str, Op], operands: dict[str, tuple[str, ...]], name: str, value: np.ndarray) -> None:
    """Add ``value`` to the stream of ``name``, in the constant of its bias where it has one."""
    takers = [other for other, sources in operands.items() if name in sources]
    if len(takers) == 1 and nodes[takers[0]].kind == "Add":
        for source in operands[takers[0]]:
            shared = sum(source in sources for sources in operands.values()) > 1
            constant = nodes[source]
            if constant.role == "constant" and not shared and constant.schedule == "first":
                nodes[source] = ops.Constant(constant.value + value, "first")
                return
    constant_name, sum_name = f"{name}.expected", f"{name}.expected_add"
    reconnect(nodes, operands, name, sum_name)
    nodes[constant_name], operands[constant_name] = ops.Constant(value, "first"), ()
    nodes[sum_name], operands[sum_name] = ops.Add((name, constant_name)), (name, constant_name)
