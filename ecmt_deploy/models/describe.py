"""What a program should remember of a timm model: preprocessing, class names, number of outputs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import timm.data
import torch
from torch import nn

from ecmt_deploy.errors import DataError, ModelError
from ecmt_deploy.models.build import first_line
from ecmt_deploy.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)


def preprocessing_of(name: str, module: nn.Module, args: Mapping[str, Any], overrides: Mapping[str, Any]) -> Preprocessing:
    """What the pretrained configuration says, for the input size the model was really built with.

    Parameters
    ----------
    args
        What the model was built with.
    overrides
        Preprocessing fields that the user set; a single ``mean`` or ``std`` counts for every channel.

    Raises
    ------
    ModelError
        If a field makes no sense.
    """
    cfg = timm.data.resolve_data_config(pretrained_cfg=getattr(module, "pretrained_cfg", None) or {}, model=module)
    built = {**getattr(module, "_model_args", {}), **args}
    channels = int(built.get("in_chans") or cfg["input_size"][0])
    size = getattr(getattr(module, "patch_embed", None), "img_size", None) or built.get("img_size")
    size = size or cfg["input_size"][1:]
    height, width = (size, size) if isinstance(size, int) else size
    for key in ("mean", "std"):
        if len(cfg[key]) != channels:
            average = sum(cfg[key]) / len(cfg[key])
            cfg[key] = (average,) * channels
            if key not in overrides:
                _logger.warning(
                    "%s: %s %.4g assumed for %d channel(s); if it was trained with another, say --model-arg %s=VALUE",
                    name, key, average, channels, key,
                )  # fmt: skip
    try:
        return Preprocessing(
            input_size=(channels, int(height), int(width)),
            mean=_per_channel(overrides.get("mean", cfg["mean"]), channels),
            std=_per_channel(overrides.get("std", cfg["std"]), channels),
            interpolation=str(overrides.get("interpolation", cfg["interpolation"])),
            crop_pct=float(overrides.get("crop_pct", cfg["crop_pct"])),
            crop_mode=str(overrides.get("crop_mode", cfg["crop_mode"])),
        )
    except (DataError, TypeError, ValueError) as error:
        raise ModelError(f"{name}: {first_line(error)}") from error


def _per_channel(value: Any, channels: int) -> tuple[float, ...]:
    """A number for every channel, or the list as it is (its length is checked where it is used)."""
    if isinstance(value, list | tuple):
        return tuple(float(v) for v in value)
    return (float(value),) * channels


def count_outputs(name: str, module: nn.Module, preprocessing: Preprocessing) -> int:
    """Length of the output vector, from one inference on zeros.

    Raises
    ------
    ModelError
        If the model does not run on its own input size, or gives anything but one vector per sample.
    """
    try:
        with torch.no_grad():
            output = module(torch.zeros(1, *preprocessing.input_size))
    except Exception as error:  # anything a model can raise
        size = " x ".join(str(n) for n in preprocessing.input_size)
        raise ModelError(f"{name}: does not run on {size} inputs ({first_line(error)})") from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(f"{name}: expected one vector per sample, found {found}; choose a classification model")
    return int(output.shape[1])


def class_names_of(module: nn.Module) -> tuple[str, ...] | None:
    """Names of the outputs, where the pretrained configuration tells which label set they are of."""
    cfg = getattr(module, "pretrained_cfg", None) or {}
    n_classes = getattr(module, "num_classes", None)
    if not n_classes or n_classes != cfg.get("num_classes"):
        return None
    labels = cfg.get("label_names")
    if labels is not None and len(labels) == n_classes:
        descriptions = cfg.get("label_descriptions") or {}
        return tuple(str(descriptions.get(label, label)) for label in labels)
    subset = timm.data.infer_imagenet_subset({"num_classes": n_classes})
    return None if subset is None else tuple(timm.data.ImageNetInfo(subset).label_descriptions())
