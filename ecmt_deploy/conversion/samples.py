"""Calibration samples: the batches that whatever was given comes to, what they must be, and the record of them."""

from __future__ import annotations

import hashlib
import inspect
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy.config import Preset
from ecmt_deploy.conversion.roles import inputs_of
from ecmt_deploy.door import as_array, pieces
from ecmt_deploy.door import batches as batches_of
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program import CalibrationRecord
from ecmt_deploy.program.inputs import Inputs
from ecmt_deploy.program.preprocessing import Preprocessing

BATCH = 16
#: calibration values this many times beyond those of normalised images are another kind of data
FAR_OUTSIDE = 8.0


class Samples(NamedTuple):
    """Calibration samples.

    Attributes
    ----------
    batches : of each (B, *input shape), packed where there are several inputs
    inputs : where the samples name them or hold integers; otherwise ``None``
    booleans : the names of inputs that come as booleans, and are passed so
    """

    batches: list[Tensor]
    inputs: Inputs | None
    booleans: frozenset[str]


def calibration_batches(calibration: Any, model: nn.Module) -> Samples:
    """The samples in the dtype of the model if it has one, in the batches they come in.

    Raises
    ------
    DataError
        if there are none, if they are of several shapes, or all of one value.
    """
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    given, inputs, booleans = named_samples(calibration, model)
    batches = [torch.from_numpy(x).to(dtype) for x in given if len(x)]
    if len(batches) == 1:  # nobody divided them
        batches = list(batches[0].split(BATCH))
    if not batches:
        raise DataError("the calibration data is empty; pass at least two samples, one after the other on the first axis")
    shapes = sorted({tuple(batch.shape[1:]) for batch in batches})
    if len(shapes) > 1:
        raise DataError(f"calibration batches hold samples of shapes {shapes}; expected one shape, as the model takes it")
    first = batches[0].flatten()[0]
    if all(bool((batch == first).all()) for batch in batches):
        raise DataError(f"the calibration data is the constant {float(first):g} everywhere; pass real samples")
    return Samples(batches, inputs, booleans)


def named_samples(calibration: Any, model: nn.Module) -> tuple[list[np.ndarray], Inputs | None, frozenset[str]]:
    """Samples (N, *shape) of every batch, packed; inputs, ``None`` where nobody names any; those that come as booleans."""
    if isinstance(calibration, Iterator):
        calibration = list(calibration)  # it is looked at twice
    given = list(itertools.islice(pieces(calibration), 1))
    if not given or not _named(*given[0], model):
        return [x for x, _ in batches_of(calibration)], None, frozenset()
    found = [_named(piece, alone, model) for piece, alone in pieces(calibration)]
    names = [sorted(arrays) for arrays in found]
    if any(others != names[0] for others in names):
        raise DataError(f"calibration batches name the inputs {names[0]} and others; expected the same in every batch")
    shapes = sorted({array.shape[1:] for array in (arrays[names[0][0]] for arrays in found)})
    if len(shapes) > 1:
        raise DataError(f"{names[0][0]} has samples of shapes {shapes}; expected one shape: pad to one length")
    inputs = inputs_of({name: np.concatenate([arrays[name] for arrays in found]) for name in names[0]})
    booleans = frozenset(name for name in names[0] if found[0][name].dtype == bool)
    return [inputs.pack(arrays) for arrays in found], inputs, booleans


def _named(piece: Any, alone: bool, model: nn.Module) -> dict[str, np.ndarray]:
    """The arrays of one batch, or of one sample ``alone``, by the name of the input, without labels; none where the samples are
    one array of floating point."""
    x = piece[0] if isinstance(piece, list | tuple) and piece else piece  # a pair with labels
    if not isinstance(x, Mapping):
        array = as_array(x) if hasattr(x, "__array__") else np.zeros(())
        ids = array.dtype.kind in "iu" and array.ndim + alone == 2  # (N, L); more axes are images that nobody normalised
        found = {main_input(model): array} if ids else {}
    else:
        found = {str(name): as_array(value) for name, value in x.items() if hasattr(value, "__array__")}
    found = {name: array[None] if alone else array for name, array in found.items()}
    found = {name: array for name, array in found.items() if array.ndim > 1}
    return {} if len(found) == 1 and all(array.dtype.kind == "f" for array in found.values()) else found


def main_input(model: nn.Module) -> str:
    """What a model calls the input that it takes first."""
    names = [name for name, p in inspect.signature(model.forward).parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD]
    main = getattr(model, "main_input_name", None)
    return str(main) if main in names else next(iter(names), "input")


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


def two_samples(batches: list[Tensor], inputs: Inputs | None = None) -> Tensor:
    """Two samples that differ (2, *input shape), of samples with a mask if possible in the mask; where there is only one, its
    negative is the second, or, of ids and masks, itself."""
    first = batches[0][:1]
    others = [sample for batch in batches for sample in batch.split(1) if not torch.equal(sample, first)]
    masks = [entry.name for entry in inputs or () if entry.holds == "mask"]

    def differing(sample: Tensor) -> int:
        ours, theirs = (inputs.unpack(x) for x in (first, sample)) if inputs else ({}, {})
        return sum(not torch.equal(ours[name], theirs[name]) for name in masks)

    if not others:
        return torch.cat([first, -first if inputs is None or not inputs.integers else first])
    return torch.cat([first, max(others, key=differing)])


def record_of(batches: list[Tensor], data: str | None) -> CalibrationRecord:
    """The record of samples that came as tensors, of data that goes by the name ``data``."""
    if not isinstance(data, str | None):
        raise DataError(f"data is a {type(data).__name__}; expected what to call the calibration data, such as 'folder:pets'")
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.numpy().reshape(-1).data.cast("B"))
    return CalibrationRecord(data or "array", "given", None, tuple(range(sum(map(len, batches)))), (), digest.hexdigest())
