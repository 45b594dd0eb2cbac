"""Accuracy after every step, against the analog model, with the events it took: the verb ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import numpy as np
import torch

from ecmt_deploy.activity import Activity, empty
from ecmt_deploy.config import require_timesteps
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, DataError


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an evaluation measured.

    Attributes
    ----------
    n_samples, timesteps : size of the evaluation
    analog_accuracy : share of samples the analog program (neurons as identity, equal to the model) gets right
    accuracy : the same of the spiking program, after every step 1..T
    agreement : share of samples on which spiking and analog program choose the same class, after every step
    activity : counts per node, after T steps
    data, model : what was evaluated, where known
    """

    n_samples: int
    timesteps: int
    analog_accuracy: float
    accuracy: tuple[float, ...]
    agreement: tuple[float, ...]
    activity: Activity
    data: str | None = None
    model: str | None = None


def evaluate(
    model: SpikingModel,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    timesteps: int | None = None,
    batch_size: int = 32,
    data: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate a program on the torch engine, in the dtype of the program.

    Parameters
    ----------
    model : the program
    batches : pairs of images (b, C, H, W) and labels (b,), b at most ``batch_size``
    timesteps : steps T; by default those the program was converted for
    batch_size : every batch is filled up to this size with rows that are not counted, so that all are computed alike
    data : recorded in the result
    progress : called with the number of samples finished

    Raises
    ------
    ConfigError
        if ``timesteps`` or ``batch_size`` is below 1.
    DataError
        if there are no samples.
    """
    steps = model.program.timesteps if timesteps is None else timesteps
    require_timesteps(steps)
    if batch_size < 1:
        raise ConfigError(f"batch size is {batch_size}; it must be at least 1")
    activity = empty(model.program.nodes, steps)
    correct, agree, analog_correct = np.zeros(steps, np.int64), np.zeros(steps, np.int64), 0
    for images, labels in batches:
        filled = np.concatenate([images, np.repeat(images[-1:], batch_size - len(images), axis=0)])
        x = torch.from_numpy(filled)
        outputs, counts = model.count(x, steps, samples=len(images))
        analog = model.analog(x)[: len(images)].argmax(dim=-1).cpu().numpy()
        chosen = outputs[:, : len(images)].argmax(dim=-1).cpu().numpy()
        correct += (chosen == labels).sum(axis=1)
        agree += (chosen == analog).sum(axis=1)
        analog_correct += int((analog == labels).sum())
        activity = activity + counts
        if progress:
            progress(activity.n_samples)
    n = activity.n_samples
    if n == 0:
        raise DataError(f"{data or 'the data'}: there are no samples to evaluate")
    return Evaluation(
        n_samples=n,
        timesteps=steps,
        analog_accuracy=analog_correct / n,
        accuracy=tuple((correct / n).tolist()),
        agreement=tuple((agree / n).tolist()),
        activity=activity,
        data=data,
        model=model.program.provenance.model,
    )
