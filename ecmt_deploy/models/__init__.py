"""Models by name: anything timm can build, with its pretrained weights or a file, and the bundled ones.

What comes out is ready to be converted: float32, in eval mode, attention spelled out, and with everything about it that
a program should remember (weights hash, preprocessing, class names). Random weights are never used unless asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecmt_deploy.errors import ModelError
from ecmt_deploy.models import hugging_face, zoo
from ecmt_deploy.models import weights as weight_files
from ecmt_deploy.models.build import build, build_pretrained, build_with_weights, check_name, input_size
from ecmt_deploy.models.describe import class_names_of, count_outputs, preprocessing_of, preprocessing_of_card
from ecmt_deploy.models.model import Model
from ecmt_deploy.program.reader import require_no_program

__all__ = ["Model", "literal", "load", "parse_literal"]

_logger = logging.getLogger(__name__)

_PREPROCESSING_ARGS = ("mean", "std", "interpolation", "crop_pct", "crop_mode")
_REFUSED_ARGS = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "features_only", "scriptable")


def load(
    name: str,
    weights: Path | str | None = None,
    model_args: Mapping[str, Any] | None = None,
    weights_key: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    output: str | None = None,
    fetch: bool = True,
) -> Model:
    """Build a model by name and give it its weights.

    Parameters
    ----------
    name
        ``zoo:vit_digits``, a name of timm's, with or without a tag (``vit_tiny_patch16_224.augreg_in21k_ft_in1k``), or
        ``hf:DIR`` and ``hf:OWNER/NAME`` for models of `transformers`, see :func:`ecmt_deploy.models.hugging_face.load`.
    weights
        Safetensors, or what ``torch.save`` writes, with exactly this model's weights at any depth, in timm's or the original
        authors' naming where timm can translate it. Without it, timm fetches the pretrained weights.
    model_args
        For ``timm.create_model``, e.g. ``num_classes``, ``img_size``, ``in_chans``, ``patch_size``, ``embed_dim``,
        ``depth``; strings are read as literals, see :func:`parse_literal`. Also fields of ``preprocessing``, and
        ``pretrained=false`` with ``seed=N`` for random weights.
    weights_key
        Under which key of the file the weights are, where it holds several (``model``, ``model_ema``).
    preprocessing
        What the model was trained with, where that is not what timm's configuration of ``name`` says: ``mean``, ``std`` (one
        value counts for every channel), ``interpolation``, ``crop_pct``, ``crop_mode``, and ``input_size``, for which the
        model is built: (C, H, W), (H, W), or the edge of a square; of a model of text, tokens.
    output
        The name of the tensor that is meant where the model answers with several.
    fetch
        Whether pretrained weights are fetched where there is no file; if not, the weights are random: for whoever asks what
        depends on the architecture alone.

    Raises
    ------
    ProgramError
        If it is the file of a program.
    ModelError
        If the name is unknown, an argument is not taken, the weights are missing, unreadable or of another
        architecture, or the model does not run on its own input size.
    """
    args = {key: parse_literal(value) for key, value in (model_args or {}).items()}
    path = Path(weights).expanduser() if weights is not None else None
    if path is None and weights_key is not None:
        raise ModelError(f"--weights-key {weights_key} chooses among the weights of a file; give --weights FILE too")
    require_no_program(name, "a model: it is converted already")
    overrides = dict(preprocessing or {})
    if name.startswith(hugging_face.PREFIX):
        if path is not None:
            raise ModelError(f"{name}: has weights of its own; --weights FILE is for models of timm")
        return hugging_face.load(name, args, overrides, output)
    architecture, arguments, file, card = name, dict(args), path, None
    if name.startswith(zoo.PREFIX):
        card = zoo.card(name)
        if args or "input_size" in overrides:
            refused = "--model-arg" if args else "--input-size"
            raise ModelError(f"{name}: takes no {refused}; build {card.architecture} for other shapes")
        architecture, arguments, file = card.architecture, dict(card.model_args), path or zoo.weights_path(name)
    for key in arguments.keys() & _REFUSED_ARGS:
        raise ModelError(f"--model-arg {key} is not supported; weights come from --weights FILE")
    for key in arguments.keys() & overrides.keys():
        raise ModelError(f"--{key.replace('_', '-')} and --model-arg {key} say the same thing; give one of them")
    overrides |= {key: arguments.pop(key) for key in _PREPROCESSING_ARGS if key in arguments}
    size = input_size(overrides.pop("input_size", None))
    pretrained, seed = arguments.pop("pretrained", fetch), arguments.pop("seed", 0)
    if not isinstance(pretrained, bool) or not isinstance(seed, int):
        raise ModelError(f"{name}: expected pretrained=true or false and seed=INTEGER, found {pretrained!r}, {seed!r}")
    check_name(architecture)
    random = file is None and not pretrained
    if random and fetch:
        _logger.warning("%s: random weights (seed %d), as asked for with pretrained=false", name, seed)
    held_at = None
    if file is not None:
        module, held_at = build_with_weights(architecture, file, weights_key, arguments, seed, size)
    elif pretrained:
        module = build_pretrained(name, arguments, size)
    else:
        module = build(name, arguments, seed, size, pretrained=False)
    module = module.float().eval()
    digest = weight_files.sha256(module)
    if card is None:
        described, origin = preprocessing_of(name, module, arguments, size, overrides)
        class_names, class_ids = (None, None) if random and fetch else class_names_of(module)
    else:
        if path is None and digest != card.weights_sha256:
            raise ModelError(f"{name}: the bundled weights are not those of its card; reinstall ecmt-deploy")
        described, origin = preprocessing_of_card(name, card, overrides)
        class_names, class_ids = card.class_names, None
    return Model(
        module=module,
        name=name,
        weights_sha256=digest,
        preprocessing=described,
        class_names=class_names,
        n_outputs=count_outputs(name, module, described),
        model_args=args,
        preprocessing_origin=origin,
        class_ids=class_ids,
        weights_key=held_at if path is not None else None,
        random=random,
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


def literal(value: Any) -> str:
    """The text that :func:`parse_literal` reads as this value."""
    if not isinstance(value, str):
        return json.dumps(value, default=str)
    plain = not value.lstrip().startswith("[") and parse_literal(value) == value  # what begins like a list must be one
    return value if plain else f'"{value}"'
