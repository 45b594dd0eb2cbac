"""Sums over rows (of softmax, of norms) where only synapses sum: neurons, axons and steps that they take.

Each element sends its value to a neuron that sums its row, and gets the sum back: two synapses an element and sum, a neuron a
row and sum, two steps of the chip a sum. A row lies whole on its core, so that none of it leaves that.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.placement.units import Drafts

#: there and back
STEPS_PER_SUM = 2


def summing(drafts: Drafts, names: Iterable[str], terms: Terms, size: int) -> tuple[np.ndarray | int, np.ndarray | int]:
    """By element of a unit's first node (of ``size``): how often it is summed, and how many sums stand beside it (those of a
    row beside its first element)."""
    summed: np.ndarray | int = 0
    sums: np.ndarray | int = 0
    for name in names:
        reductions = drafts.program.nodes[name].reductions
        if not terms.summing or not reductions:
            continue
        rows, axes = _elements(drafts, name)
        first = rows[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(rows.ndim))]
        summed = summed + reductions * np.bincount(rows.ravel(), minlength=size)
        sums = sums + reductions * np.bincount(first.ravel(), minlength=size)
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
    """Steps of the chip that the sums of a unit's nodes take, one function after the other."""
    return STEPS_PER_SUM * sum(drafts.program.nodes[name].reductions for name in names) if terms.summing else 0
