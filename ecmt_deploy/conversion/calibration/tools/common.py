"""What all rows of an operand have in common, apart from what each has of its own.

Attention spreads a change over all tokens, and much of what it spreads is the same for all of them: their mean. With rows x_t
written as m + d_t, m their mean, a linear layer gives W m + W d_t: what is common is sent once, and its events are paid once
and not for every row. The same holds for the left operand of a product. Of keys, which a softmax compares with each other, what
is common changes nothing and need not be sent at all; of values, which are averaged with weights that sum to one, it comes out
as it went in. It is the same mathematics, with one row more in front of a layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.answers import analog_readouts, readout_variance, samples_at_once
from ecmt_deploy.conversion.calibration.tools.survey import survey
from ecmt_deploy.conversion.lowering import Lowered
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.program import Program, ops, verify
from ecmt_deploy.program.graph import edges, reconnect
from ecmt_deploy.program.ops import Op

#: share of what the answer minds of an operand that must be common to its rows for it to be taken apart: the mean takes MACs
#: and events of its own
WORTHWHILE = 0.15
#: and at least so many rows' worth, as the mean is one row more: of few rows it is too much of each
LEAST_ROWS = 2


class Operand(NamedTuple):
    """An operand whose rows may be taken apart.

    Attributes
    ----------
    neuron : in front of it
    axis : along which its rows follow each other
    given_back : ``row`` where the mean becomes a row of its own, ``value`` where a product gives it out as it is, ``none``
        where nothing depends on it
    """

    neuron: str
    axis: int
    given_back: str


def operands(program: Program) -> list[Operand]:
    """The operands of an analog program whose rows may be taken apart, in the order in which that can be done."""
    found = []
    for name in program.neurons:
        shape, takers = program.shapes[name], program.takers[name]
        if len(shape) < 2:
            continue
        rows, product = len(shape) - 2, program.nodes[takers[0]].role == "product" and len(takers) == 1
        if program.feeds_linear_alone(name):
            found.append(Operand(name, rows, "row"))
        elif product and program.nodes[takers[0]].product == "matmul":
            left, right = program.operands[takers[0]]
            if left == right:
                continue
            if name == left:
                found.append(Operand(name, rows, "row"))
            elif _compared(program, takers[0]):
                found.append(Operand(name, rows + 1, "none"))
            elif _sums_to_one(program, left):
                found.append(Operand(name, rows, "value"))
    return sorted(found, key=lambda each: each.given_back == "row")  # which gives products one row more


def with_rows_apart(lowered: Lowered, x: Tensor) -> Lowered:
    """The same mathematics, with what rows have in common apart where it is much of what the answer minds.

    Parameters
    ----------
    lowered : an analog program with the places of its neurons
    x : samples (N, *input shape)
    """
    found = operands(lowered.program)
    shares = common_shares(lowered.program, found, x)
    for operand in found:
        if shares[operand.neuron] > max(WORTHWHILE, LEAST_ROWS / lowered.program.shapes[operand.neuron][operand.axis]):
            lowered = _apart(lowered, operand)
    return lowered


def common_shares(program: Program, found: list[Operand], x: Tensor) -> dict[str, float]:
    """By neuron, how much of what the answer minds of its operand, about its mean over samples, is common to all rows."""
    engine, axes = SpikingModel(program), {each.neuron: each.axis for each in found}
    sums: dict[str, Any] = dict.fromkeys(axes, 0.0)
    common, whole = sums.copy(), sums.copy()  # sums of squares: of the mean over rows, and of the rows

    def observe(name: str, operand: Tensor) -> None:
        if name in axes:
            rows, axis = operand.double(), axes[name]
            sums[name] = sums[name] + rows.sum(dim=0)
            common[name] = common[name] + rows.mean(dim=axis + 1).square().sum(dim=0)
            whole[name] = whole[name] + rows.square().sum(dim=(0, axis + 1))

    for part in x.split(samples_at_once(program)):
        engine.analog(part, observe=observe)
    seen = survey(engine, x, readout_variance(analog_readouts(engine, x)), lambda samples: None)
    shares = {}
    for name, axis in axes.items():
        minded = torch.from_numpy(seen[name].sensitivity).double().mean(dim=axis)
        mean = sums[name].mean(dim=axis)
        own = common[name] - mean.square() / len(x)
        varies = whole[name] - sums[name].square().sum(dim=axis) / len(x)
        varying = float((minded * varies).sum())
        shares[name] = float((minded * own).sum()) * sums[name].shape[axis] / varying if varying > 0 else 0.0
    return shares


def _sums_to_one(program: Program, stream: str) -> bool:
    """Whether the rows of a product's left operand are those of a softmax."""
    (source,) = program.operands[stream] if program.nodes[stream].role == "neuron" else (stream,)
    return _softmax(program, source)


def _softmax(program: Program, name: str) -> bool:
    """Whether a node is the softmax of its rows."""
    node = program.nodes[name]
    last = len(program.shapes[name]) - 1
    return node.role == "function" and node.definition.sums_to_one and int(node.parameters["axis"]) % (last + 1) == last


def _compared(program: Program, product: str) -> bool:
    """Whether what a product gives ends in the softmax of its rows alone, so that what is added to all of a row is lost."""
    shape = program.shapes[product]
    reached = {product: np.broadcast_to(1.0 + np.arange(np.prod(shape[:-1])).reshape(*shape[:-1], 1), shape)}
    compared = False
    for name, sources in program.operands.items():
        given = [reached.get(source) for source in sources]
        if all(value is None for value in given):
            continue
        if _softmax(program, name):
            compared = True
            continue
        node = program.nodes[name]
        values = [np.zeros(program.shapes[s]) if value is None else value for s, value in zip(sources, given, strict=True)]
        if node.role == "movement":
            made = node.rewire(*values)
        elif node.role == "arithmetic":
            streams = [Stream(value, np.ones(value.shape, bool)) for value in values]
            made = kernel(node, Site.of(program, name), np.dtype(np.float64)).advance(1, *streams).value
        else:
            return False
        if not made.ndim or not np.allclose(made, made[..., :1], rtol=1e-12, atol=0):
            return False
        reached[name] = made
    return compared


def _apart(lowered: Lowered, operand: Operand) -> Lowered:
    """One operand's rows as their differences from their mean, which goes where it belongs."""
    program, name, axis = lowered.program, operand.neuron, operand.axis
    nodes, made = dict(program.nodes), dict(program.operands)
    (source,), shape = program.operands[name], program.shapes[name]

    def add(of: str, suffix: str, node: Op, *sources: str) -> str:
        made_name = f"{of}.{suffix}"
        nodes[made_name], made[made_name] = node, sources
        return made_name

    mean = add(name, "mean", ops.Mean(np.array([axis]), True), source)
    negative = add(name, "less", ops.BroadcastScale(np.array(-1.0, program.dtype)), mean)
    less = add(name, "less_all", ops.Expand(np.array(shape)), negative)
    own = add(name, "own", ops.Add((source, less)), source, less)
    if operand.given_back == "row":
        own = add(name, "rows", ops.Concat((mean, own), axis), mean, own)
    reconnect(nodes, made, source, own, [name])
    for taker in program.takers[name] if operand.given_back != "none" else []:
        out = program.shapes[taker]
        outside = program.takers[taker]
        if operand.given_back == "row":
            rows = len(out) - 2
            each = add(taker, "each", ops.Slice(rows, 1, out[rows] + 1, 1), taker)
            common = add(taker, "common", ops.Slice(rows, 0, 1, 1), taker)
        else:
            each, common = taker, mean
        spread = add(taker, f"{operand.given_back}_all", ops.Expand(np.array(out)), common)
        whole = add(taker, f"{operand.given_back}_sum", ops.Add((each, spread)), each, spread)
        reconnect(nodes, made, taker, whole, outside)
    known = dict(program.provenance.network_macs or {})
    if operand.given_back == "row":  # the row in front is none of the network's
        known |= {taker: program.network_macs(taker) for taker in program.takers[name]}
    provenance = msgspec.structs.replace(program.provenance, network_macs=known or None)
    return replace(lowered, program=verify(nodes, edges(made), provenance))
