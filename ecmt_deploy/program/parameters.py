"""What a node holds: parameters of the network, written out several times where a module has them once, and state."""

from __future__ import annotations

from math import prod

import numpy as np

from ecmt_deploy.program.graph import Program

#: nodes that hold parameters of the network: weights, what is added, factors, and those of functions
_HELD = ("synapse", "constant", "arithmetic", "function")


def network_parameters(program: Program, name: str) -> int:
    """Numbers that the network has as parameters in this node; a ``bias`` beside weights is NIR's, and zero."""
    node = program.nodes[name]
    if node.role not in _HELD or name in program.masked:
        return 0
    fields = [field for field, kind in node.fields.items() if kind in ("floats", "parameters")]
    held = [getattr(node, field) for field in fields if field != "bias" or node.role != "synapse"]
    arrays = [array for value in held for array in (value.values() if isinstance(value, dict) else [value])]
    size = sum(array.size for array in arrays if isinstance(array, np.ndarray) and array.ndim)
    return min(size, _channels(program, name) or size) if node.role == "constant" else size


def _channels(program: Program, constant: str) -> int | None:
    """Of a constant that is added to what weights give, their outputs: a bias is written out along all other axes."""
    for taker in program.takers[constant]:
        others = [program.nodes[other] for other in program.operands[taker] if other != constant]
        if program.nodes[taker].role == "arithmetic" and others and all(other.role == "synapse" for other in others):
            return int(others[0].weight.shape[0])
    return None


def state_bits(program: Program, name: str) -> int:
    """Bits of all that a node remembers of one sample; the remainder of an integer node has a width of its own."""
    form = program.nodes[name].format
    word = 8 * program.dtype.itemsize if form is None else form.state_bits
    wide = {} if form is None else {"remainder": form.remainder_bits}
    return sum(prod(shape) * wide.get(part, word) for part, shape in program.state(name).items())
