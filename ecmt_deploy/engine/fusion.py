"""What the nodes of a program may do for each other, found once: who adds a constant early, writes in place, shows spikes.

Nothing of this changes a stream; where somebody watches the streams, or gradients are taken, it is not done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ecmt_deploy.engine.base import TorchOp
from ecmt_deploy.engine.compensation import ECM, Product
from ecmt_deploy.engine.elementwise import Add, Mean, Scale
from ecmt_deploy.engine.functions import IN_PLACE
from ecmt_deploy.engine.neuron import Neuron
from ecmt_deploy.engine.signal import MEAN, SUM
from ecmt_deploy.engine.synapses import Linear, Synapses
from ecmt_deploy.engine.wiring import Wiring
from ecmt_deploy.program import Program
from ecmt_deploy.program.ops import Constant, MultiThreshold

#: at most this share of the rows is picked out of them
FEW_ROWS = 0.75
#: ops whose result is memory of its own
_FRESH = (Synapses, Product, ECM, Add, Scale, Mean)


def fuse(program: Program, ops: Mapping[str, TorchOp]) -> None:
    """Tell each op what it may do; ``ops`` by name, in topological order."""
    takers: dict[str, list[str]] = {name: [] for name in program.nodes}
    for name, sources in program.operands.items():
        for source in sources:
            takers[source].append(name)
    _show_spikes(program, ops)
    for name, op in ops.items():
        sources = program.operands[name]
        alone = [takers[source] == [name] for source in sources]
        if isinstance(op, Add):
            own = (i for i, source in enumerate(sources) if alone[i] and isinstance(ops[source], _FRESH))
            op.overwrites = next((i for i in own if program.shapes[sources[i]] == op.shape), None)
            linear = ops[sources[0]]
            constant = program.nodes[sources[-1]]
            if len(sources) == 2 and alone[0] and isinstance(linear, Linear) and constant.role == "constant":
                _take_bias(linear, constant)
        elif isinstance(op, ECM):
            op.overwrites = op.node.function in IN_PLACE and alone[0] and isinstance(ops[sources[0]], _FRESH)
        elif isinstance(op, Linear):
            fires: Any = program.nodes[sources[0]]
            if fires.role == "neuron":
                _skip_silent_rows(op, fires)
        elif isinstance(op, Product) and op.form == SUM:
            for i, source in enumerate(sources):
                neuron = ops[source]
                if op.moved[i] and alone[i] and isinstance(neuron, Neuron):
                    neuron.take_offset((op.left, op.right)[i])


def _take_bias(linear: Linear, constant: Constant) -> None:
    """Let a linear node add the constant that follows it, where that is one vector for all rows, and no mask."""
    if np.isinf(constant.value).any():
        return
    rows = constant.value.reshape(-1, constant.value.shape[-1]) if constant.value.ndim else constant.value.reshape(1, 1)
    if rows.shape[-1] == linear.weight.shape[0] and np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape)):
        linear.register_buffer("bias", torch.from_numpy(rows[0].copy()), persistent=False)
        linear.bias_form = MEAN if constant.schedule == "every" else SUM


def _skip_silent_rows(linear: Linear, neuron: MultiThreshold) -> None:
    """Let a linear node compute only rows in which a neuron has a level to fire, as where the readout takes one row of many."""
    shape = linear.operand_shapes[0]
    rows = np.broadcast_to(neuron.lowest_level < neuron.levels, shape).any(axis=-1)
    if rows.ndim and rows.sum() <= FEW_ROWS * rows.size:
        linear.firing_rows = torch.from_numpy(rows)


def _show_spikes(program: Program, ops: Mapping[str, TorchOp]) -> None:
    """Let neurons give the spikes of single steps where somebody downstream counts by elements."""
    wanted: set[str] = set()
    for name, op in reversed(list(ops.items())):
        if isinstance(op, Neuron):
            op.shows_spikes = name in wanted
        if name in wanted if isinstance(op, Wiring) and op.keeps_rows else op.takes_elements:
            wanted.update(source for source in program.operands[name] if source in program.spiking)
