"""Sums (of softmax, of norms) and maxima over rows where a neuron knows only what its synapses bring: what these take.

Each element sends its value to a neuron that sums its row, and gets the sum back: two synapses an element and sum, a neuron a
row and sum, two steps of the chip a sum. A maximum is no sum: pairs meet in neurons that keep the larger value, the winners of
those in others, until one is left. A row of n takes n - 1 neurons of two synapses, one step of the chip for each halving.
A row lies whole on its core, so that none of it leaves that.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.units import Drafts
from ecmt_deploy.program.ops import Op
from ecmt_deploy.program.ops.base import Shape

#: there and back
STEPS_PER_SUM = 2


def summing(drafts: Drafts, names: Iterable[str], terms: Terms, size: int) -> tuple[np.ndarray | int, np.ndarray | int]:
    """By element of a unit's first node (of ``size``): axons that its reductions take, half of the synapses, and neurons that
    stand beside it: a sum's beside the first element of its row, a maximum's beside all others."""
    summed: np.ndarray | int = 0
    sums: np.ndarray | int = 0
    for name in names:
        node = drafts.program.nodes[name]
        if not terms.summing or not (node.reductions or node.maxima):
            continue
        rows, axes = _elements(drafts, name)
        first = rows[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(rows.ndim))]
        elements, firsts = (np.bincount(part.ravel(), minlength=size) for part in (rows, first))
        pairs = node.maxima * (elements - firsts)
        summed = summed + node.reductions * elements + pairs
        sums = sums + node.reductions * firsts + pairs
    return summed, sums


def _elements(drafts: Drafts, name: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """For each element of a function's operand the element of the unit's first node beside which it is; the axes of a row."""
    operand = drafts.read[name][0].shape
    axes = drafts.program.nodes[name].coupling(len(operand))
    if name in drafts.rows:
        return drafts.rows[name], axes
    shape = drafts.program.shapes[name]  # it begins its unit
    return np.broadcast_to(np.arange(int(np.prod(shape))).reshape(shape), operand), axes


def extra_steps(drafts: Drafts, names: Iterable[str], terms: Terms) -> int:
    """Steps of the chip that the sums and maxima of a unit's nodes take, one function after the other."""
    nodes = [(drafts.program.nodes[name], drafts.read[name][0].shape) for name in names] if terms.summing else []
    return sum(STEPS_PER_SUM * node.reductions + node.maxima * halvings(row_size(node, shape)) for node, shape in nodes)


def row_size(node: Op, operand: Shape) -> int:
    """Elements of the operand that one element of the result depends on."""
    return prod(operand[axis] for axis in node.coupling(len(operand)))


def halvings(size: int) -> int:
    """Rounds in which pairs of ``size`` elements leave one."""
    return (size - 1).bit_length()
