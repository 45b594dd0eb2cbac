"""Weights that make up for what dead zones keep back, as far as what is sent foretells it.

A neuron sends s of its membrane v and keeps r = v - s. Over samples, r and s are not independent: an operand whose large elements
were sent says something of its small ones. With H the ridge regression of r on s, W (s + H^T s) is nearer to W v than W s is, and
W + W H^T is a weight like any other, without one event more. Errors of layers in front are in r as well, so that each layer also
makes up for those. It is learnt layer after layer, in one pass in which every sample is there twice: as in the analog network,
and as in the spiking one.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program, ops

#: weight of the ridge, in mean eigenvalues of the covariance of what is sent: samples are few
RIDGE = 2.0


def corrected(program: Program, x: Tensor, timesteps: int) -> Program:
    """The program with every linear layer behind neurons corrected; those whose neurons feed other nodes too stay as they are.

    Parameters
    ----------
    program : a spiking program
    x : samples (N, *input shape) to learn from, of which at least one is needed
    timesteps : steps T in which neurons send what they get
    """
    engine, layers = SpikingModel(program), _layers(program)
    foretells: dict[str, Tensor] = {}
    initials = {name: torch.as_tensor(program.nodes[name].initial) for name in program.neurons}

    def passing(name: str, operand: Tensor) -> Tensor:
        initial = initials[name].to(operand)
        whole, arrived = (operand + initial).chunk(2)
        sent = engine.sent(name, arrived)
        for _ in range(1, timesteps):
            sent = sent + engine.sent(name, arrived - sent)
        if name in layers:
            rows = sent.flatten(0, -2)
            foretells[name] = _ridge(rows, (whole - sent).flatten(0, -2))
            sent = sent + sent @ foretells[name]
        return torch.cat([operand[: len(x)], sent - initial])

    engine.analog(torch.cat([x, x]), passing=passing)
    return with_nodes(program, {
        layer: _corrected(program.nodes[layer], foretells[neuron]) for neuron, names in layers.items() for layer in names
    })  # fmt: skip


def _layers(program: Program) -> dict[str, list[str]]:
    """By neuron, the linear layers behind it, where there are no other nodes."""
    takers: defaultdict[str, list[str]] = defaultdict(list)
    for name, sources in program.operands.items():
        for source in set(sources):
            takers[source].append(name)
    return {
        name: takers[name] for name in program.neurons if all(program.nodes[taker].layer == "linear" for taker in takers[name])
    }


def _ridge(sent: Tensor, kept: Tensor) -> Tensor:
    """The matrix H (d, d) for which ``sent`` H is nearest to ``kept``, both (rows, d)."""
    gram = sent.T @ sent
    scale = gram.trace() / len(gram)
    if not scale > 0:  # nothing is sent
        return torch.zeros_like(gram)
    gram.diagonal().add_(RIDGE * scale)
    return torch.linalg.solve(gram, sent.T @ kept)


def _corrected(node: ops.LastAxisLinear, foretells: Tensor) -> ops.CorrectedLinear:
    own = node.weight
    change = own @ foretells.T.cpu().numpy()
    half = change.astype(np.float16)  # what the analog network takes off again need not be exact, only the same
    kept = half if np.isfinite(half).all() else change
    return ops.CorrectedLinear((own + kept.astype(own.dtype)), kept)
