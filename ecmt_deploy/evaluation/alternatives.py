"""What else could be done with a clip: the honest rows beside a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.evaluation import gates, gating
from ecmt_deploy.evaluation.alternative import Alternative, Kind
from ecmt_deploy.evaluation.streams import Answers, fidelity, frozen, held
from ecmt_deploy.program.activity import Activity, empty

#: the network runs on every so many frames, and its answer is held in between
EVERY = (2, 4, 8)
#: frames that a program computes at once where each begins anew
_BATCH = 16
#: token gating with gates as of :func:`ecmt_deploy.evaluation.gates.calibrated`: closest to the published method, and with
#: gates as wide as what the answer minds
GATINGS = {"token gating": False, "token gating, tuned": True}


def fewer_frames(network: np.ndarray) -> dict[tuple[str, Kind], Answers]:
    """The network on every frame, on every so many, and on the first alone, by name and kind.

    Parameters
    ----------
    network : (F, classes), the network's own answers
    """
    reference, frames = Answers(network[:, None], np.ones((len(network), 1))), len(network)
    found: dict[tuple[str, Kind], Answers] = {("the network, every frame", "network"): reference}
    found |= {(f"the network, every {k} frames", "held"): held(reference, k) for k in EVERY if k < frames}
    return found | {("the network's first answer", "frozen"): frozen(reference)}


def token_gating(model: SpikingModel, frames: Tensor, tuned: bool) -> list[Answers]:
    """Token gating at all thresholds, calibrated on the clip itself, which is to its advantage.

    Parameters
    ----------
    model : the program, whose analog network is gated
    frames : (F, *input_shape) of one clip, two frames at least
    tuned : as of :func:`ecmt_deploy.evaluation.gates.calibrated`

    Raises
    ------
    ConfigError
        if there is one frame, or nothing to gate.
    """
    clip = frames[:, None]
    return [point.answers for point in gating.sweep(model, gates.calibrated(model, clip, tuned), clip)]


def equally_good(found: list[Answers], network: np.ndarray, wanted: float | None) -> Answers | None:
    """Of several answers to a clip, those of the fewest multiply-accumulates among the ones that are as good as wanted.

    Parameters
    ----------
    network : (F, classes), the network's own answers
    wanted : the least cosine, centred over the clip; ``None``, where it is unknown: the network's class in every frame

    Returns
    -------
    ``None`` where none is.
    """
    good = []
    for answers in found:
        measured = fidelity(answers.values[:, 0], network)
        reached = measured.agreement == 1 if wanted is None else measured.cosine is not None and measured.cosine >= wanted
        if reached:
            good.append(answers)
    return min(good, key=lambda answers: float(answers.macs.mean()), default=None)


def reset_each(model: SpikingModel, frames: Tensor) -> tuple[np.ndarray, Activity]:
    """The program on every frame by itself, for the steps it was converted for: readouts (F, classes), and the counts."""
    steps, parts = model.program.timesteps, []
    activity = empty(model.program.nodes, steps)
    for part in frames.split(_BATCH):
        outputs, counted = model.count(part, steps)
        parts.append(outputs[-1])
        activity = activity + counted
    return torch.cat(parts).numpy(), activity


def rated(
    name: str, kind: Kind, answers: np.ndarray, network: np.ndarray, per_mac: float | None, pj: float | None,
    steady: float | None = None,
) -> Alternative:  # fmt: skip
    """A row of answers (F, classes), held against the network's own."""
    found = fidelity(answers, network)
    return Alternative(name, kind, per_mac, pj, found.cosine, found.agreement, found.agreement_interval, steady)


def alternatives(
    model: SpikingModel, frames: Tensor, network: np.ndarray, wanted: float | None, memory_pj: Callable[[Activity], float],
    ann_pj: float,
    say: Callable[[str], None],
) -> Iterator[Alternative]:  # fmt: skip
    """What else could have been done with a clip.

    Parameters
    ----------
    model : the program
    frames : (F, *input_shape)
    network : (F, classes), the network's own answers
    wanted : cosine that token gating is to reach; ``None`` as of :func:`equally_good`
    memory_pj : energy of an inference with memory, view (c), from its counts
    ann_pj : energy of the network on a frame there; with fewer operations it takes as much less
    say : told what is being run
    """
    say("comparison: every frame by itself")
    alone, counted = reset_each(model, frames)
    events = counted.events_per_mac(model.program.encoding)
    yield rated("the program, reset for every frame", "reset", alone, network, events, memory_pj(counted))
    found: dict[tuple[str, Kind], Answers | None] = {**fewer_frames(network)}
    for name, tuned in GATINGS.items() if len(frames) > 1 else ():
        say(f"comparison: {name}")
        found[f"{name}, as good as this stream", "gating"] = equally_good(token_gating(model, frames, tuned), network, wanted)
    for (name, kind), answers in found.items():
        if answers is not None:
            share = float(answers.macs.mean())
            yield rated(name, kind, answers.values[:, 0], network, share, share * ann_pj)
