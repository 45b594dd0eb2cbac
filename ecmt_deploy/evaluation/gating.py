"""Token gating: the network computes anew only what changed enough since it was last sent. A baseline that a stream must beat.

Our rendering of the idea of Eventful Transformers (Dutson, Li, Gupta, ICCV 2023). At every operand of a linear map or product,
where the program has its neurons, each token's vector is compared with the one last sent from there; where their RMS difference
exceeds a threshold it is sent anew, otherwise whoever takes it keeps the old one. Everything else (norms, softmax, sums) is
computed densely and is not counted, as it is not for a program, nor are the comparisons.

Counted are the multiply-accumulates in which something that was sent takes part, each once: of a linear map those of the
vectors sent; of a product of matrices A (M, K) and B (K, N) the terms a_ik b_kj, of M K N, with either factor sent; of a
convolution the share of positions sent. An operand without a neuron counts as sent in every frame.

Where the baseline could have been built in several ways, it is built in the strongest that was found: see
:mod:`~ecmt_deploy.evaluation.gates` for what a threshold is multiplied by, and along which axis tokens lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.gates import Gate, rms
from ecmt_deploy.evaluation.streams import Answers, fidelity, network, require_clip
from ecmt_deploy.program import Program

#: thresholds that are tried: about at the spread of what passes the gate and far to both sides
THRESHOLDS: tuple[float, ...] = tuple(2.0 ** (k / 2) for k in range(-16, 9))
#: how often the search divides the interval that holds the threshold, and into how many parts: they are run as one batch
ROUNDS, PARTS = 2, 8


class TokenGate:
    """What was sent last, of every neuron: state of B independent streams, given to ``SpikingModel.analog`` as ``passing``.

    Parameters
    ----------
    program : of the network
    gates : by neuron
    thresholds : (B,), one a stream; it is multiplied by the scale of each gate

    Raises
    ------
    ConfigError
        if the program has no multiply-accumulates behind its encoding layers.
    """

    def __init__(self, program: Program, gates: Mapping[str, Gate], thresholds: Tensor) -> None:
        self.program, self.gates, self.thresholds = program, gates, thresholds.double()
        self.layers = {
            name: program.network_macs(name) for name in program.of_role("synapse", "product") if name not in program.encoding
        }
        if not any(self.layers.values()):
            raise ConfigError(
                "the program has no linear map and no product behind its encoding layers, so no gate saves anything"
            )
        self.sent: dict[str, Tensor] = {}
        self.changed: dict[str, Tensor] = {}

    def __call__(self, name: str, operand: Tensor) -> Tensor:
        """What is there after the operand (B, ...) of a neuron has passed its gate."""
        gate, sent = self.gates[name], self.sent.get(name)
        limits = self.thresholds.to(operand.device).reshape(-1, *[1] * (operand.ndim - 1)) * gate.scale.to(operand.device)
        if sent is None:
            self.sent[name], self.changed[name] = operand, torch.ones_like(rms(operand, gate.axis), dtype=torch.bool)
        else:
            self.changed[name] = rms(operand - sent, gate.axis) > limits
            self.sent[name] = torch.where(self.changed[name], operand, sent)
        return self.sent[name]

    def macs(self) -> np.ndarray:
        """Multiply-accumulates (B,) of the frame that has just passed, over those of the network."""
        streams, program = len(self.thresholds), self.program
        changed: dict[str, np.ndarray] = {}  # elements (B, ...) of a stream of neurons
        done = np.zeros(streams)
        for name, sources in program.operands.items():
            node, masks = program.nodes[name], [changed.get(source) for source in sources]
            if node.role == "neuron":
                changed[name] = np.broadcast_to(self.changed[name].cpu().numpy(), (streams, *program.shapes[name]))
            elif node.role == "movement" and name in program.spiking:
                changed[name] = np.stack([node.rewire(*(changed[source][b] for source in sources)) for b in range(streams)])
            elif name in self.layers and all(mask is not None for mask in masks):
                done += self.layers[name] * _share(node.layer, [mask for mask in masks if mask is not None])
            elif name in self.layers:
                done += self.layers[name]
        return done / sum(self.layers.values())


def _share(layer: str, changed: Sequence[np.ndarray]) -> np.ndarray:
    """Share (B,) of a node's multiply-accumulates in which an element that changed takes part."""
    most = max(mask.ndim for mask in changed)
    kept = [~mask.reshape(len(mask), *[1] * (most - mask.ndim), *mask.shape[1:]) for mask in changed]
    if layer == "matmul":  # a_ik b_kj is as it was where both are: of each k, so many i times so many j
        left, right = kept
        same = left.mean(axis=-2) * right.mean(axis=-1)
    else:
        same = np.asarray(prod(kept, start=np.ones((), bool)), float)
    return 1.0 - same.reshape(len(same), -1).mean(axis=-1)


def gated(model: SpikingModel, gates: Mapping[str, Gate], frames: Tensor, thresholds: Sequence[float]) -> list[Answers]:
    """Token gating of clips at several thresholds, all run as one batch: each threshold has all clips to itself.

    Parameters
    ----------
    gates : of :func:`~ecmt_deploy.evaluation.gates.calibrated`
    frames : (F, B, *input_shape)
    thresholds : 0 sends whatever differs at all, infinity only the first frame
    """
    require_clip(model, frames)
    clips = frames.shape[1]
    gate = TokenGate(model.program, gates, torch.tensor(thresholds, dtype=torch.float64).repeat_interleave(clips))
    values, macs = [], []
    for frame in frames:
        values.append(model.analog(frame.repeat(len(thresholds), *[1] * (frame.ndim - 1)), passing=gate).cpu().numpy())
        macs.append(gate.macs())
    every, done = np.stack(values), np.stack(macs)
    parts = [slice(i * clips, (i + 1) * clips) for i in range(len(thresholds))]
    return [Answers(every[:, part], done[:, part]) for part in parts]


class Point(NamedTuple):
    """A threshold of token gating, and what it gives."""

    threshold: float
    answers: Answers


def sweep(
    model: SpikingModel, gates: Mapping[str, Gate], frames: Tensor, thresholds: Sequence[float] = THRESHOLDS
) -> list[Point]:
    """The curve of token gating over clips, (F, B, *input_shape): from no error to a frozen answer."""
    return [Point(*point) for point in zip(thresholds, gated(model, gates, frames, thresholds), strict=True)]


def fewest_macs(
    model: SpikingModel, gates: Mapping[str, Gate], frames: Tensor, wanted: float, measure: str = "cosine"
) -> Point | None:
    """The fewest multiply-accumulates at which token gating is as good as wanted: a comparison at equal quality.

    Of every threshold on the way from none to all, then between the largest that is good enough and the next, which is
    divided again and again.

    Parameters
    ----------
    wanted : least fidelity, over all frames
    measure : ``cosine`` or ``agreement``, as of :class:`~ecmt_deploy.evaluation.streams.Fidelity`

    Returns
    -------
    ``None`` where no threshold is good enough, or the fidelity is unknown.
    """
    if measure not in ("cosine", "agreement"):
        raise ConfigError(f"measure is {measure!r}; fidelity over a clip is measured as cosine or agreement")
    reference = network(model, frames).values
    tried: list[Point] = []
    good: list[Point] = []
    thresholds: Sequence[float] = (0.0, *THRESHOLDS)
    for _ in range(1 + ROUNDS):
        for point in sweep(model, gates, frames, thresholds):
            tried.append(point)
            found = getattr(fidelity(point.answers.values, reference), measure)
            if found is not None and found >= wanted:
                good.append(point)
        if not good:
            return None
        low = max(point.threshold for point in good)
        above = [point.threshold for point in tried if point.threshold > low]
        if not above:
            break
        thresholds = np.linspace(low, min(above), PARTS + 1)[1:-1].tolist()
    return min(good, key=lambda point: float(point.answers.macs.mean()))
