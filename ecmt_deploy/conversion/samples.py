"""Calibration samples: the batches that whatever was given comes to, what they must be, and the record of them."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from ecmt_deploy.config import Preset
from ecmt_deploy.door import batches as batches_of
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program import CalibrationRecord
from ecmt_deploy.program.preprocessing import Preprocessing

BATCH = 16
#: calibration values this many times beyond those of normalised images are another kind of data
FAR_OUTSIDE = 8.0


def calibration_batches(calibration: Any, model: nn.Module) -> list[Tensor]:
    """The samples (B, *input shape), in the dtype of the model if it has one, in the batches they come in.

    Raises
    ------
    DataError
        if there are none, if they are of several shapes, or all of one value.
    """
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    batches = [torch.from_numpy(x).to(dtype) for x, _ in batches_of(calibration) if len(x)]
    if len(batches) == 1:  # nobody divided them
        batches = list(batches[0].split(BATCH))
    if not batches:
        raise DataError("the calibration data is empty; pass at least two samples, one after the other on the first axis")
    shapes = sorted({tuple(batch.shape[1:]) for batch in batches})
    if len(shapes) > 1:
        raise DataError(f"calibration batches hold samples of shapes {shapes}; expected one shape, as the model takes it")
    first = batches[0].flatten()[0]
    if all(bool((batch == first).all()) for batch in batches):
        raise DataError(f"the calibration data is the constant {float(first):g} everywhere; pass real samples, normalised")
    return batches


def clip_frames(stream: Any, config: Preset, like: Tensor) -> Tensor:
    """The frames (F, *input shape) of a clip to tune for, as samples like ``like`` (B, *input shape).

    Raises
    ------
    ConfigError
        if the preset is not tuned for streams.
    DataError
        if there are none, or they are no such samples.
    """
    if not config.streams:
        raise ConfigError(f"preset {config.name} is not tuned for streams; use --preset graded or accurate, or no --stream")
    parts = [torch.from_numpy(x).to(like.dtype) for x, _ in batches_of(stream) if len(x)]
    found = [tuple(part.shape[1:]) for part in parts]
    if set(found) != {tuple(like.shape[1:])}:
        raise DataError(f"the clip has frames of shape {found[:1] or 'none'}; expected (F, *{tuple(like.shape[1:])})")
    return torch.cat(parts)


def require_normalised(batches: list[Tensor], model: nn.Module, preprocessing: Preprocessing | None) -> None:
    """Refuse samples far outside what the preprocessing makes, or else timm's for the model: pixels of 0 to 255, mostly."""
    configured = getattr(model, "pretrained_cfg", None) or {}
    mean, std = (getattr(preprocessing, field) if preprocessing else configured.get(field) for field in ("mean", "std"))
    if not mean or not std:
        return
    lowest = min((0 - m) / s for m, s in zip(mean, std, strict=True))
    highest = max((1 - m) / s for m, s in zip(mean, std, strict=True))
    found = max(float(batch.abs().max()) for batch in batches)
    if found > FAR_OUTSIDE * max(-lowest, highest):
        raise DataError(
            f"the calibration data reaches {found:g}; expected normalised images, about {lowest:.2g} to {highest:.2g}"
            " (pixels scaled to 0..1, minus the model's mean, over its std)"
        )


def two_samples(batches: list[Tensor]) -> Tensor:
    """Two samples that differ (2, *input shape); where there is only one, its negative is the second."""
    first = batches[0][:1]
    others = (sample for batch in batches for sample in batch.split(1) if not torch.equal(sample, first))
    return torch.cat([first, next(others, -first)])


def record_of(batches: list[Tensor], data: str | None) -> CalibrationRecord:
    """The record of samples that came as tensors, of data that goes by the name ``data``."""
    if not isinstance(data, str | None):
        raise DataError(f"data is a {type(data).__name__}; expected what to call the calibration data, such as 'folder:pets'")
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.numpy().reshape(-1).data.cast("B"))
    return CalibrationRecord(data or "array", "given", None, tuple(range(sum(map(len, batches)))), (), digest.hexdigest())
