"""How good answers over a clip are, and what the network itself would answer if it ran on fewer frames.

A clip hardly changes, so that what does not move at all seems good: the answer to its first frame, kept for ever, is close to
every frame's. What counts is whether answers follow what changes, and so both are centred over the clip: with r_f the
network's answer to frame f, a_f the answer that is judged and m = mean_f r_f,

    cosine = sum_f <a_f - m, r_f - m> / sqrt(sum_f |a_f - m|^2  sum_f |r_f - m|^2)
    error  = sqrt(sum_f |a_f - r_f|^2 / sum_f |r_f - m|^2)

For any answer a that stays as it is, the numerator is <a - m, sum_f (r_f - m)> = 0. Several clips are each centred over itself,
and the sums run over all of them. Sums, not the mean of each frame's cosine, because that counts frames in which nothing
happens, where r_f - m has no direction but that of noise, as much as those in which something does.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.evaluation.intervals import interval
from ecmt_deploy.shown import Brief

#: a network's answers do not vary where they are this many roundings apart, of the largest of them
ROUNDINGS = 32


class Fidelity(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How answers over a clip compare with the network's own on the same frames.

    Attributes
    ----------
    frames : answers compared, over all clips
    cosine : centred over the clip, see above; 1 for the network itself, 0 for any answer that stays as it is. ``None`` where
        it is unknown: the network's answers do not vary, or all answers lie on their mean
    agreement : share of the frames whose top class is the network's; ``None`` where there is but one output. It means
        something for classes, not for features
    agreement_interval : 95 % Wilson interval of it. Frames of one clip are not independent, so that the agreement on other
        clips is less sure than it says
    error : RMS distance from the network's answer over the RMS distance of that from its mean; ``None`` where that is zero
    errors : the same in every frame, over the same spread: their RMS is ``error``
    relative_error : RMS distance from the network's answer over the RMS norm of that: where nothing but noise changes, this
        says whether the answer stays; ``None`` where that is zero
    """

    frames: int
    cosine: float | None
    agreement: float | None
    agreement_interval: tuple[float, float] | None
    error: float | None
    errors: tuple[float, ...] | None
    relative_error: float | None


def fidelity(answers: np.ndarray, reference: np.ndarray) -> Fidelity:
    """Compare answers over a clip with the network's own.

    Parameters
    ----------
    answers, reference : (F, classes), or (F, B, classes) of B independent clips

    Raises
    ------
    DataError
        if shapes differ or are others, there are no frames, or something is no number.
    """
    a, r = (np.asarray(x, np.float64) for x in (answers, reference))
    if a.shape != r.shape or r.ndim not in (2, 3) or r.size == 0:
        raise DataError(
            f"answers of shape {a.shape} and the network's of {r.shape}; expected (frames, [clips,] classes), twice"
        )
    if not (np.isfinite(a).all() and np.isfinite(r).all()):
        raise DataError("answers over a clip hold infinities or no numbers; compare finite ones")
    mean = r.mean(axis=0)
    spread, own, apart = r - mean, a - mean, np.square(a - r)
    frames = r.size // r.shape[-1]
    agreement = float((a.argmax(axis=-1) == r.argmax(axis=-1)).mean()) if r.shape[-1] > 1 else None
    same = None if agreement is None else interval(agreement, frames)
    norm = np.linalg.norm(r)
    relative = float(np.sqrt(apart.sum()) / norm) if norm else None
    if np.abs(spread).max() <= ROUNDINGS * np.finfo(_floating(reference)).eps * np.abs(r).max():
        return Fidelity(frames, None, agreement, same, None, None, relative)
    norms = np.linalg.norm(own) * np.linalg.norm(spread)
    total = np.square(spread).sum()
    errors = np.sqrt(apart.reshape(len(r), -1).sum(axis=-1) * len(r) / total)
    cosine = float((own * spread).sum() / norms) if norms else None
    return Fidelity(frames, cosine, agreement, same, float(np.sqrt(apart.sum() / total)), tuple(errors.tolist()), relative)


def _floating(array: np.ndarray) -> np.dtype:
    dtype = np.asarray(array).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


class Answers(NamedTuple):
    """What something answered to every frame of B clips, and what that took.

    Attributes
    ----------
    values : (F, B, classes)
    macs : (F, B), multiply-accumulates of each frame over those of the network, the encoding layer left out of both: what
        :meth:`~ecmt_deploy.program.activity.Activity.events_per_mac` is for a program
    """

    values: np.ndarray
    macs: np.ndarray


def require_clip(model: SpikingModel, frames: Tensor) -> None:
    """Refuse what is no clip of a model, (F, B, *input_shape) with a frame at least, with a :class:`DataError`."""
    expected = model.program.input_shape
    if frames.ndim < 2 or tuple(frames.shape[2:]) != expected or 0 in frames.shape[:2]:
        raise DataError(
            f"a clip of shape {tuple(frames.shape)}; the program expects (frames, clips, {', '.join(map(str, expected))}),"
            " with a frame and a clip at least"
        )


def network(model: SpikingModel, frames: Tensor) -> Answers:
    """The network itself on every frame: the reference, at 1 of its MACs.

    Frame by frame, so that equal frames have answers equal to the bit.

    Parameters
    ----------
    frames : (F, B, *input_shape) of B independent clips
    """
    require_clip(model, frames)
    values = torch.stack([model.analog(frame).cpu() for frame in frames]).numpy()
    return Answers(values, np.ones(values.shape[:2]))


def held(reference: Answers, every: int) -> Answers:
    """The network on the first of every so many frames, its answer held in between.

    Parameters
    ----------
    reference : the network on every frame
    every : k; the clip's length or more is the first frame's answer, frozen

    Raises
    ------
    ConfigError
        if it is below 1.
    """
    if every < 1:
        raise ConfigError(f"every is {every}; the network runs on every k-th frame, k at least 1")
    index = np.arange(len(reference.values))
    runs = index % every == 0
    return Answers(reference.values[index - index % every], reference.macs * runs[:, None])


def frozen(reference: Answers) -> Answers:
    """The answer to the first frame, for ever."""
    return held(reference, len(reference.values))
