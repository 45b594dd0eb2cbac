"""What a program should remember of a timm model: preprocessing, class names, number of outputs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import timm.data
import timm.models
import torch
from torch import nn

from ecmt_deploy.data.classes import imagenet
from ecmt_deploy.errors import DataError, ModelError, first_line, plural
from ecmt_deploy.models.build import SOURCES
from ecmt_deploy.models.zoo import Card
from ecmt_deploy.program.preprocessing import Preprocessing, preprocessing_from

_logger = logging.getLogger(__name__)


def preprocessing_of(
    name: str, module: nn.Module, args: Mapping[str, Any], size: tuple[int, ...] | None, overrides: Mapping[str, Any]
) -> tuple[Preprocessing, dict[str, str]]:
    """What the user and the pretrained configuration say, for the input size the model was really built with.

    Parameters
    ----------
    args
        What the model was built with.
    size
        Input size that the user set, (C, H, W) or (H, W).
    overrides
        Other fields that the user set; a single ``mean`` or ``std`` counts for every channel.

    Returns
    -------
    Preprocessing, and for each of its fields who said so

    Raises
    ------
    ModelError
        If a field makes no sense.
    """
    said = getattr(module, "pretrained_cfg", None) or {}
    cfg = timm.data.resolve_data_config(pretrained_cfg=said, model=module)
    own = name.startswith(SOURCES)
    tag = f".{said['tag']}" if said.get("tag") else ""
    config = "the weights' own config" if own else f"timm's config of {name.partition('.')[0]}{tag}"
    stated = _own_config(name) if own else said
    origin = {
        field: "given" if field in overrides else config if stated.get(field) else "timm's default"
        for field in Preprocessing.__struct_fields__
    }
    built = {**getattr(module, "_model_args", {}), **args}
    channels = size[0] if size and len(size) == 3 else int(built.get("in_chans") or cfg["input_size"][0])
    pixels = size[-2:] if size else getattr(getattr(module, "patch_embed", None), "img_size", None) or built.get("img_size")
    pixels = pixels or cfg["input_size"][1:]
    full = (channels, *((pixels, pixels) if isinstance(pixels, int) else pixels))
    if size or full != tuple(cfg["input_size"]):
        origin["input_size"] = "given"
    for key in ("mean", "std"):
        if len(cfg[key]) != channels and key not in overrides:
            cfg[key] = sum(cfg[key]) / len(cfg[key])
            origin[key] = f"average of {origin[key]}"
            _logger.warning(
                "%s: %s %.4g assumed for %s; if it was trained with another, say --%s VALUE",
                name, key, cfg[key], plural(channels, "channel"), key,
            )  # fmt: skip
    return preprocessing_made(name, {**cfg, "input_size": full, **overrides}), origin


def preprocessing_of_card(name: str, card: Card, overrides: Mapping[str, Any]) -> tuple[Preprocessing, dict[str, str]]:
    """What the user and the card of a bundled model say. Returns and raises as :func:`preprocessing_of`."""
    made = preprocessing_made(name, {**msgspec.structs.asdict(card.preprocessing), **overrides})
    return made, {field: "given" if field in overrides else f"the card of {name}" for field in made.__struct_fields__}


def preprocessing_made(name: str, fields: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing of these fields; a :class:`ModelError` that names the model if one makes no sense."""
    try:
        return preprocessing_from(fields)
    except DataError as error:
        raise ModelError(f"{name}: {error}") from error


def _own_config(name: str) -> Mapping[str, Any]:
    """What the configuration beside the weights says itself; timm fills in what it does not."""
    source, _, place = name.partition(":")
    if source == "local-dir":
        config = json.loads((Path(place) / "config.json").read_text())
        return dict(config.get("pretrained_cfg", config))
    return dict(timm.models.load_model_config_from_hf(place)[0])


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


def class_names_of(module: nn.Module) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Names of the outputs, and what datasets call them where that differs, if the pretrained configuration tells."""
    cfg = getattr(module, "pretrained_cfg", None) or {}
    n_classes = getattr(module, "num_classes", None)
    if not n_classes or n_classes != cfg.get("num_classes"):
        return None, None
    labels = cfg.get("label_names")
    if labels is not None and len(labels) == n_classes:
        described = cfg.get("label_descriptions") or {}
        ids = tuple(map(str, labels))
        names = tuple(str(described.get(label, label)) for label in labels)
        return names, None if names == ids else ids
    info = imagenet(n_classes)
    return (tuple(info.label_descriptions()), tuple(info.label_names())) if info else (None, None)
