"""Weights that make up for what dead zones keep back, as far as what is sent foretells it.

A neuron sends s of its membrane v and keeps r = v - s. Over samples, r and s are not independent: an operand whose large
elements were sent says something of its small ones. With H the ridge regression of r on s, W (s + H^T s) is nearer to W v
than W s is, and W + W H^T is a weight like any other, without one event more. Errors of layers in front are in r as well,
so that each layer also makes up for those. It is learnt layer after layer, in one pass in which every sample is there
twice: as in the analog network, and as in the spiking one.
"""

from __future__ import annotations

from math import inf

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.config import MEMORY_BYTES
from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.ops import Op

#: weights of the ridge that are worth trying, in mean eigenvalues of the covariance of what is sent; infinity is no correction
RIDGES = (4.0, 32.0, inf)
#: what half precision may change, of the largest correction: beyond, it is out of that range
HALF_PRECISION = 1e-3


def corrected(program: Program, x: Tensor, timesteps: int, ridge: float) -> Program:
    """The program with every linear layer behind neurons corrected; those whose neurons feed other nodes too stay as they are.

    Parameters
    ----------
    program : a spiking program
    x : samples (N, *input shape) to learn from, of which at least one is needed; as many are taken as there is memory for
    timesteps : steps in which neurons send
    ridge : weight of the ridge, in mean eigenvalues
    """
    engine = SpikingModel(program)
    layers = {name: program.takers[name] for name in program.neurons if program.feeds_linear_alone(name)}
    initials = {name: torch.as_tensor(program.nodes[name].initial) for name in program.neurons}
    made: dict[str, Op] = {}
    x = x[: max(MEMORY_BYTES // (2 * engine.step_bytes), 1)]

    def passing(name: str, operand: Tensor) -> Tensor:
        initial = initials[name].to(operand)
        whole, arrived = (operand + initial).chunk(2)
        sent = engine.sent(name, arrived)
        for _ in range(1, timesteps):  # what a payload was too narrow for
            sent = sent + engine.sent(name, arrived - sent)
        if name in layers:
            foretells = regression(sent.flatten(0, -2), (whole - sent).flatten(0, -2), ridge)
            made.update({layer: with_correction(program.nodes[layer], foretells) for layer in layers[name]})
            sent = sent + sent @ foretells
        return torch.cat([operand[: len(x)], sent - initial])

    engine.analog(torch.cat([x, x]), passing=passing)
    return with_nodes(program, made)


def regression(sent: Tensor, kept: Tensor, ridge: float) -> Tensor:
    """The matrix H (d, d) for which ``sent`` H is nearest to ``kept``, both (rows, d)."""
    largest = sent.abs().max()
    if not largest > 0:  # nothing is sent
        return sent.new_zeros(sent.shape[1], sent.shape[1])
    sent, kept = sent / largest, kept / largest  # squares of large numbers would leave the range of the dtype
    gram = sent.T @ sent
    gram.diagonal().add_(ridge * gram.trace() / len(gram))
    return torch.linalg.solve(gram, sent.T @ kept)


def with_correction(node: ops.LastAxisLinear, foretells: Tensor) -> Op:
    """The layer with its correction, in half precision where that has the digits: what the analog network takes off again need
    not be exact, only the same."""
    own = node.weight
    change = own @ foretells.T.cpu().numpy().astype(own.dtype)
    with np.errstate(over="ignore"):
        kept = change.astype(np.float16)
    if not np.abs(kept - change).max() <= HALF_PRECISION * np.abs(change).max():
        kept = change
    return ops.CorrectedLinear(own + kept.astype(own.dtype), kept)
