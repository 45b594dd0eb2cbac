"""How many cores a node needs at least: the first question of a placement."""

from __future__ import annotations

from math import ceil, prod

from ecmt_deploy.chips import Hardware
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.graph.fixed import FixedConv


def cores_needed(program: Program, name: str, hardware: Hardware) -> int | None:
    """Lower bound of the cores for one node: neurons by the neuron limit, weights by the synaptic memory.

    ``None`` where the node needs neither, or the chip does not say its limits.
    """
    node, limits = program.nodes[name], hardware.limits
    if isinstance(node, n.MultiThreshold) and limits.neurons_per_core:
        return ceil(prod(program.shapes[name]) / limits.neurons_per_core.value)
    if isinstance(node, (*n.LINEAR, FixedConv)) and limits.synaptic_memory_bytes_per_core and limits.weight_bits:
        memory = node.weight.size * limits.weight_bits.value / 8
        return ceil(memory / limits.synaptic_memory_bytes_per_core.value)
    return None
