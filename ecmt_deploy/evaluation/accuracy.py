"""Accuracy after every step, against the analog model, with the events it took: the verb ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.config import require_timesteps
from ecmt_deploy.door import ProgramLike, as_steps, labelled
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import ConfigError, DataError, RunError
from ecmt_deploy.evaluation.parts import Keeper, Part
from ecmt_deploy.evaluation.totals import LARGEST, RESOLUTION, Evaluation, Totals, nothing

Batches = Iterable[tuple[np.ndarray, np.ndarray]]


def evaluate(
    model: ProgramLike,
    batches: Any,
    timesteps: int | None = None,
    batch_size: int = 32,
    data: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate a program on the torch engine, in the dtype of the program, on the device the model is on.

    Parameters
    ----------
    model : the program: a ``SpikingModel``, a ``Program``, the path of a file, or a ``Run``
    batches : samples (N, *input_shape) and labels (N,): pairs of such, a ``DataLoader``, a dataset, or whatever
        :func:`ecmt_deploy.door.batches` takes
    timesteps : steps T; by default those the program was converted for
    batch_size : samples are computed in batches of this size, however they come; the last one is filled up with rows that are
        not counted, so that all are computed alike
    data : recorded in the result
    progress : called with the number of samples finished

    Raises
    ------
    ConfigError
        if ``timesteps`` or ``batch_size`` is below 1, or the readout is no vector of classes.
    DataError
        if there are no samples, they have no labels, or they are none that the program takes.
    RunError
        if the device has too little memory.
    """
    model = load(model)
    program, steps = model.program, as_steps(timesteps, model.program)
    require_batch(batch_size, steps)
    if len(program.output_shape) != 1:
        raise ConfigError(f"the program's readout has shape {program.output_shape}; accuracy is of a vector of classes")
    before = totals = nothing(program.nodes, steps)
    pairs = labelled(batches, program.input_shape, program.output_shape[-1], batch_size)
    for totals in accumulate(model, pairs, batch_size, before):
        if progress:
            progress(totals.n_samples)
    if totals.n_samples == 0:
        raise DataError(f"{data or 'the data'}: there are no samples to evaluate")
    return totals.evaluation(data, program.provenance.model)


def accumulate(model: SpikingModel, batches: Batches, batch_size: int, before: Totals) -> Iterator[Totals]:
    """Add batch after batch to the totals ``before``; yields them after each. Arguments and errors as of :func:`evaluate`."""
    require_batch(batch_size, before.activity.timesteps)
    totals = before
    for images, labels in batches:
        totals = totals + count_batch(model, images, labels, before.activity.timesteps, batch_size)
        yield totals


def count_batch(model: SpikingModel, images: np.ndarray, labels: np.ndarray, timesteps: int, batch_size: int) -> Totals:
    """The totals of one batch (b, C, H, W), computed in the shape (batch_size, C, H, W) whatever b is."""
    n = len(images)
    full = n == batch_size  # as nearly all are: nothing to copy, and pinned memory stays pinned
    filled = np.ascontiguousarray(images) if full else np.concatenate([images, np.repeat(images[-1:], batch_size - n, axis=0)])
    try:
        x = torch.from_numpy(filled).to(model.device, non_blocking=True)
        y = torch.from_numpy(labels).to(model.device)
        outputs, activity = model.count(x, timesteps, samples=n)
        readout = model.analog(x)
        analog = readout[:n].argmax(dim=-1)
        chosen = outputs[:, :n].argmax(dim=-1)
        right, agreeing = (chosen == y).sum(dim=1), (chosen == analog).sum(dim=1)
        compared = [values[:, :n].flatten() for values in compare(outputs, readout)]
        # together, so that a GPU is waited for once
        fetched = torch.cat([right, agreeing, (analog == y).sum()[None], *compared]).cpu()
    except torch.OutOfMemoryError:
        raise RunError(f"{model.device}: out of memory at batch size {batch_size}; use a smaller --batch-size") from None
    right, agreeing, (correct,), *compared = fetched.split([timesteps, timesteps, 1, timesteps * n, timesteps * n])
    cosine, error = (tuple(map(_numbers, values.reshape(timesteps, n))) for values in compared)
    return Totals(activity, tuple(right.tolist()), tuple(agreeing.tolist()), int(correct), cosine, error)


def compare(outputs: Tensor, analog: Tensor) -> tuple[Tensor, Tensor]:
    """How near readouts (T, B, ...) are to the analog ones (B, ...), after every step.

    Returns
    -------
    cosine, relative error : (T, B) whole numbers of :data:`ecmt_deploy.evaluation.totals.RESOLUTION`. What is no
        number counts as opposite and as :data:`ecmt_deploy.evaluation.totals.LARGEST`; of two readouts that are zero the cosine
        is 1, and of one it is 0.
    """
    o, a = outputs.double().flatten(2), analog.double().flatten(1)
    lengths = o.norm(dim=-1), a.norm(dim=-1).expand(len(o), -1)
    zero = [length == 0 for length in lengths]
    cosine = ((o * a).sum(dim=-1) / (lengths[0] * lengths[1])).clamp(-1, 1).nan_to_num(nan=-1.0)
    cosine = torch.where(zero[0] | zero[1], (zero[0] & zero[1]).double(), cosine)
    error = ((o - a).norm(dim=-1) / lengths[1]).nan_to_num(nan=LARGEST, posinf=LARGEST).clamp(max=LARGEST)
    error = torch.where(zero[0] & zero[1], 0.0, error)
    return (cosine / RESOLUTION).round().long(), (error / RESOLUTION).round().long()


def _numbers(values: Tensor) -> dict[int, int]:
    """How often each whole number occurs."""
    found, numbers = values.unique(return_counts=True)
    return dict(zip(found.tolist(), numbers.tolist(), strict=True))


def finish(
    model: SpikingModel,
    part: Part,
    batches: Batches,
    keeper: Keeper | None = None,
    progress: Callable[[int], None] | None = None,
) -> Part:
    """Do what is left of a part of an evaluation; whatever stops it, the batches done by then are kept.

    Parameters
    ----------
    model : the program
    part : what is done already
    batches : those that are left, of the samples ``part.remaining``
    keeper : writes the part as it grows
    progress : called with the number of samples finished here
    """
    before = part.n_samples
    try:
        for totals in accumulate(model, batches, part.origin.batch_size, part.totals):
            part = part.plus(totals)
            if keeper:
                keeper.keep(part)
            if progress:
                progress(part.n_samples - before)
    finally:
        if keeper:
            keeper.keep(part, now=True)
    return part


def require_batch(batch_size: int, timesteps: int) -> None:
    """Refuse sizes that make no sense.

    Raises
    ------
    ConfigError
        if ``timesteps`` or ``batch_size`` is below 1.
    """
    require_timesteps(timesteps)
    if batch_size < 1:
        raise ConfigError(f"batch size is {batch_size}; it must be at least 1")
