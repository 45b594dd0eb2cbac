"""How much every node computes: multiply-accumulates, weight accesses of a spike, elements; a rule for every type of node."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, gcd, prod
from typing import NamedTuple

import nir
import numpy as np

from ecmt_deploy.program import fixed as f
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.graph import Program
from ecmt_deploy.program.shapes import Shape, convolution


class Work(NamedTuple):
    """What one node computes for one sample.

    Attributes
    ----------
    dense_macs : multiply-accumulates of the network's node, padding excluded; 0 where it has no weights and is no product
    fan_out : least and most weight accesses (of a product: output terms) that one spike of each operand takes part in; empty
        where the node has no weights and is no product
    kind, elements : the kind under which its elementwise work is counted, and the elements of a whole step; ``None`` and 0
        where it has none
    """

    dense_macs: int = 0
    fan_out: tuple[tuple[int, int], ...] = ()
    kind: str | None = None
    elements: int = 0


def work(program: Program, name: str) -> Work:
    """The work of node ``name``.

    Raises
    ------
    TypeError
        if there is no rule for its type: a node that nobody counts would cost nothing.
    """
    node = program.nodes[name]
    return rule(type(node))(node, program.shapes[name], *(program.shapes[source] for source in program.operands[name]))


def rule(kind: type) -> Callable[..., Work]:
    """The rule for a type of node, called with the node, its shape and those of its operands."""
    if kind not in _RULES:
        raise TypeError(f"there is no rule for the work of a {kind.__name__}; add one to ecmt_deploy/program/work.py")
    return _RULES[kind]


def _linear(node: nir.NIRNode, shape: Shape, x: Shape) -> Work:
    out = node.weight.shape[0]
    return Work(prod(x[:-1]) * node.weight.size, ((out, out),))


def _conv(node: nir.NIRNode, shape: Shape, x: Shape) -> Work:
    p = convolution(node)
    per_group = node.weight.shape[0] // p["groups"]
    taps, most = x[0] * per_group, per_group
    for size, out, kernel, stride, padding, dilation in zip(
        x[1:], shape[1:], node.weight.shape[2:], p["stride"], p["padding"], p["dilation"], strict=True
    ):
        starts = np.arange(kernel) * dilation - padding  # where a tap looks from the first window
        first, last = np.maximum(-(starts // stride), 0), np.minimum((size - 1 - starts) // stride, out - 1)
        taps *= int(np.maximum(last - first + 1, 0).sum())
        most *= ceil(kernel * gcd(stride, dilation) / stride)  # the taps of one position stand so far apart
    return Work(taps, ((0, most),))


def _product(node: n.ECMProduct, shape: Shape, a: Shape, b: Shape) -> Work:
    dense = prod(shape) * (a[-1] if node.product == "matmul" else 1)
    fan_out = tuple((dense // max(prod(x), 1),) * 2 for x in (a, b))
    return Work(dense, fan_out, "product_readout", prod(shape))


def _function(node: n.ECM, shape: Shape, *xs: Shape) -> Work:
    return Work(kind=node.function, elements=prod(np.broadcast_shapes(*xs)))


def _add(node: n.Add, shape: Shape, *xs: Shape) -> Work:
    return Work(kind="add", elements=prod(shape) * (len(xs) - 1))


def _elements(kind: str) -> Callable[..., Work]:
    return lambda node, shape, x: Work(kind=kind, elements=prod(x))


def _nothing(node: nir.NIRNode, shape: Shape, *xs: Shape) -> Work:
    return Work()


_RULES: dict[type, Callable[..., Work]] = {
    **dict.fromkeys((nir.Linear, n.LastAxisLinear, f.FixedLinear), _linear),
    **dict.fromkeys((nir.Conv1d, nir.Conv2d, f.FixedConv), _conv),
    **dict.fromkeys((n.ECMProduct, f.FixedECMProduct), _product),
    **dict.fromkeys((n.ECM, f.FixedECM), _function),
    **dict.fromkeys((n.Add, f.FixedAdd), _add),
    **dict.fromkeys((*n.SCALING, f.FixedScale), _elements("scale")),
    **dict.fromkeys((n.Mean, f.FixedMean), _elements("mean")),
    **dict.fromkeys((n.Hold, f.FixedHold), _elements("hold")),
    **dict.fromkeys((n.Readout, f.FixedReadout), _elements("readout")),
    **dict.fromkeys((nir.Input, f.FixedInput, nir.Output, n.Constant, f.FixedConstant), _nothing),
    **dict.fromkeys((n.MultiThreshold, f.FixedMultiThreshold, *n.WIRING), _nothing),
}
