"""Models by name: anything timm can build, with its pretrained weights or a file, and the bundled ones.

What comes out is ready to be converted: float32, in eval mode, attention spelled out, and with everything about it that
a program should remember (weights hash, preprocessing, class names). Random weights are never used unless asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ecmt_deploy import weights as weight_files
from ecmt_deploy import zoo
from ecmt_deploy.errors import ModelError
from ecmt_deploy.models.build import build, build_pretrained, build_with_weights, check_name
from ecmt_deploy.models.describe import class_names_of, count_outputs, preprocessing_of
from ecmt_deploy.preprocessing import Preprocessing

__all__ = ["Model", "load", "parse_literal"]

_logger = logging.getLogger(__name__)

_PREPROCESSING_ARGS = ("mean", "std", "interpolation", "crop_pct", "crop_mode")
_REFUSED_ARGS = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "features_only", "scriptable")


@dataclass(frozen=True)
class Model:
    """A model with its weights, and what a program made of it should remember.

    Attributes
    ----------
    module
        float32, in eval mode; (B, C, H, W) to (B, classes).
    name
        As it was asked for.
    weights_sha256
        See :func:`ecmt_deploy.weights.sha256`.
    preprocessing
        What its inputs must go through.
    class_names
        Names of its outputs, None where unknown.
    n_outputs
        Length of its output vector.
    model_args
        Arguments it was built with beyond the name.
    """

    module: nn.Module
    name: str
    weights_sha256: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None
    n_outputs: int
    model_args: dict[str, Any] = field(default_factory=dict)


def load(name: str, weights: Path | str | None = None, model_args: Mapping[str, Any] | None = None) -> Model:
    """Build a model by name and give it its weights.

    Parameters
    ----------
    name
        ``zoo:vit_digits``, or a name of timm's, with or without a tag (``vit_tiny_patch16_224.augreg_in21k_ft_in1k``).
    weights
        Safetensors, or what ``torch.save`` writes, with exactly this model's weights at any depth, in timm's or the original
        authors' naming where timm can translate it. Without it, timm fetches the pretrained weights.
    model_args
        For ``timm.create_model``, e.g. ``num_classes``, ``img_size``, ``in_chans``, ``patch_size``, ``embed_dim``,
        ``depth``; strings are read as literals, see :func:`parse_literal`. Also ``mean``, ``std``, ``interpolation``,
        ``crop_pct`` and ``crop_mode`` of the preprocessing (a single mean or std counts for every channel), and
        ``pretrained=false`` with ``seed=N`` for random weights.

    Raises
    ------
    ModelError
        If the name is unknown, an argument is not taken, the weights are missing, unreadable or of another
        architecture, or the model does not run on its own input size.
    """
    args = {key: parse_literal(value) for key, value in (model_args or {}).items()}
    path = Path(weights).expanduser() if weights is not None else None
    if name.startswith(zoo.PREFIX):
        return _load_bundled(name, path, args)
    arguments = dict(args)
    overrides = {key: arguments.pop(key) for key in _PREPROCESSING_ARGS if key in arguments}
    for key in _REFUSED_ARGS:
        if key in arguments:
            raise ModelError(f"--model-arg {key} is not supported; weights come from --weights FILE")
    pretrained = arguments.pop("pretrained", True)
    seed = arguments.pop("seed", 0)
    if not isinstance(pretrained, bool) or not isinstance(seed, int):
        raise ModelError(f"{name}: expected pretrained=true or false and seed=INTEGER, found {pretrained!r}, {seed!r}")
    check_name(name)
    random = path is None and not pretrained
    if path is not None:
        module, _ = build_with_weights(name, path, weight_files.collections_in(path), None, arguments, seed)
    elif pretrained:
        module = build_pretrained(name, arguments)
    else:
        _logger.warning("%s: random weights (seed %d), as asked for with pretrained=false", name, seed)
        module = build(name, arguments, seed, pretrained=False)
    module = module.float().eval()
    preprocessing = preprocessing_of(name, module, arguments, overrides)
    return Model(
        module=module,
        name=name,
        weights_sha256=weight_files.sha256(module),
        preprocessing=preprocessing,
        class_names=None if random else class_names_of(module),
        n_outputs=count_outputs(name, module, preprocessing),
        model_args=args,
    )


def parse_literal(value: Any) -> Any:
    """Read a ``--model-arg`` value as TOML would, and as a plain string where TOML would not.

    ``10`` and ``1e-6`` are numbers, ``true`` and ``false`` booleans, ``[14, 14]`` a list, ``"avg"`` and ``avg`` the
    same string. What is not a string is returned as it is.

    Raises
    ------
    ModelError
        If a list is malformed.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ModelError(f"--model-arg value {text} is not a list; write it like [14, 14]") from error
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _load_bundled(name: str, path: Path | None, args: dict[str, Any]) -> Model:
    """A bundled model; its weights are checked against its card, or replaced by a file of the same architecture."""
    card = zoo.card(name)
    if args:
        raise ModelError(f"{name}: takes no --model-arg; build {card.architecture} for other shapes")
    file = path or zoo.weights_path(name)
    module, _ = build_with_weights(card.architecture, file, weight_files.collections_in(file), None, card.model_args)
    module = module.float().eval()
    digest = weight_files.sha256(module)
    if path is None and digest != card.weights_sha256:
        raise ModelError(f"{name}: the bundled weights are not those of its card; reinstall ecmt-deploy")
    return Model(module, name, digest, card.preprocessing, card.class_names, len(card.class_names))
