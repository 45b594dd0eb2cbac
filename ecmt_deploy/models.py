"""Models by name: anything timm can build, with its pretrained weights or a file, and the bundled ones.

What comes out is ready to be converted: float32, in eval mode, attention spelled out, and with everything about it that
a program should remember (weights hash, preprocessing, class names). Random weights are never used unless asked for.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import timm.data
import timm.layers
import timm.models
import torch
from torch import nn

from ecmt_deploy import weights as weight_files
from ecmt_deploy import zoo
from ecmt_deploy.errors import DataError, ModelError
from ecmt_deploy.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

_PREPROCESSING_ARGS = ("mean", "std", "interpolation", "crop_pct", "crop_mode")
_REFUSED_ARGS = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "features_only", "scriptable")
_SOURCES = ("hf-hub:", "hf_hub:", "local-dir:")
_building = threading.Lock()


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
    model_args
        Arguments it was built with beyond the name.
    """

    module: nn.Module
    name: str
    weights_sha256: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None
    model_args: dict[str, Any] = field(default_factory=dict)


def load(name: str, weights: Path | str | None = None, model_args: Mapping[str, Any] | None = None) -> Model:
    """Build a model by name and give it its weights.

    Parameters
    ----------
    name
        ``zoo:vit_digits``, or a name of timm's, with or without a tag (``vit_tiny_patch16_224.augreg_in21k_ft_in1k``).
    weights
        ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` with exactly this model's weights, in timm's or the original
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
    _check_name(name)
    random = path is None and not pretrained
    if path is not None:
        module = _build_with_file(name, path, arguments, seed)
    elif pretrained:
        module = _build_pretrained(name, arguments)
    else:
        _logger.warning("%s: random weights (seed %d), as asked for with pretrained=false", name, seed)
        module = _build(name, arguments, seed, pretrained=False)
    module = module.float().eval()
    preprocessing = _preprocessing(name, module, arguments, overrides)
    _try(name, module, preprocessing)
    class_names = None if random else _class_names(module)
    return Model(module, name, weight_files.sha256(module), preprocessing, class_names, args)


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
            continue
    return text


def _load_bundled(name: str, path: Path | None, args: dict[str, Any]) -> Model:
    """A bundled model; its weights are checked against its card, or replaced by a file of the same architecture."""
    card = zoo.card(name)
    if args:
        raise ModelError(f"{name}: takes no --model-arg; build {card.architecture} for other shapes")
    module = _build_with_file(card.architecture, path or zoo.weights_path(name), card.model_args, seed=0)
    module = module.float().eval()
    digest = weight_files.sha256(module)
    if path is None and digest != card.weights_sha256:
        raise ModelError(f"{name}: the bundled weights are not those of its card; reinstall ecmt-deploy")
    return Model(module, name, digest, card.preprocessing, card.class_names, {})


def _build(name: str, args: Mapping[str, Any], seed: int, **options: Any) -> nn.Module:
    """``timm.create_model`` with attention spelled out, seeded, and with one-line errors."""
    timm.layers.set_fused_attn(False)  # the fused kernel would hide softmax and both products from the capture
    kwargs = {key: tuple(value) if isinstance(value, list) else value for key, value in args.items()}
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return timm.create_model(name, **options, **kwargs)
    except ModelError:
        raise
    except Exception as error:  # constructors of a thousand models, each with its own errors
        given = ", ".join(f"{key}={value}" for key, value in args.items())
        raise ModelError(f"{name}: cannot be built{f' with {given}' if given else ''} ({_first_line(error)})") from error


def _build_with_file(name: str, path: Path, args: Mapping[str, Any], seed: int) -> nn.Module:
    """A model with the weights of a file, which must fit exactly."""
    state_dict = weight_files.read_state_dict(path)
    adapters: list[weight_files.Adapter | None] = []

    def remember(module: nn.Module, *_: Any, **kwargs: Any) -> None:
        adapters.append(kwargs.get("filter_fn"))

    with _loader(remember):
        module = _build(name, args, seed, pretrained=True)
    resized = weight_files.fit(module, state_dict, adapters[-1] if adapters else None, str(path))
    if resized:
        _logger.warning("%s: resized for %s, as timm does: %s", path, name, ", ".join(resized))
    return module


@contextmanager
def _loader(replacement: Callable[..., None]) -> Iterator[None]:
    """Put ``replacement`` where timm loads pretrained weights.

    A timm model's checkpoint adapter (which translates original naming and resizes position embeddings) is known only
    to its factory function, which hands it to this one place.
    """
    from timm.models import _builder

    with _building:
        original = _builder.load_pretrained
        _builder.load_pretrained = replacement
        try:
            yield
        finally:
            _builder.load_pretrained = original


def _build_pretrained(name: str, args: Mapping[str, Any]) -> nn.Module:
    """A model with the weights timm fetches for it."""
    if not name.startswith(_SOURCES):
        cfg = timm.get_pretrained_cfg(name)
        if cfg is None or not cfg.has_weights:
            raise ModelError(
                f"{name}: timm has no pretrained weights for it; pass --weights FILE "
                "(or --model-arg pretrained=false for random ones)"
            )
        n_classes = args.get("num_classes", cfg.num_classes)
        if n_classes not in (0, cfg.num_classes):
            raise ModelError(
                f"{name}: its pretrained head has {cfg.num_classes} classes, so num_classes={n_classes} would be "
                "random; pass --weights FILE of a model trained with that head"
            )
    try:
        with _quick_failure():
            return _build(name, args, seed=0, pretrained=True)
    except ModelError as error:
        cause = error.__cause__
        if cause is None or "Error(s) in loading state_dict" in str(cause):
            raise
        if isinstance(cause, (OSError, EOFError)):  # of the network, the hub and the cache alike
            raise ModelError(
                f"{name}: pretrained weights cannot be fetched ({_first_line(cause).split('. ')[0]}); pass --weights FILE"
            ) from cause
        raise


@contextmanager
def _quick_failure() -> Iterator[None]:
    """Look only into the local cache where the hub's name does not resolve, instead of retrying for a minute."""
    from huggingface_hub import constants

    level = logging.getLogger("huggingface_hub").level
    offline = constants.HF_HUB_OFFLINE
    if not any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        try:
            socket.getaddrinfo(constants.ENDPOINT.split("//")[-1].split("/")[0].split(":")[0], 443)
        except OSError:
            constants.HF_HUB_OFFLINE = True
            logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.getLogger("huggingface_hub").setLevel(level)


def _check_name(name: str) -> None:
    """Refuse names timm does not know, with those that look like them."""
    if name.startswith(_SOURCES):
        return
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, [*timm.list_models(), *zoo.names()], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"expected a timm name or {', '.join(zoo.names())}"
        raise ModelError(f"{name}: no such model; {hint}")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        close = difflib.get_close_matches(tag, tags, n=3, cutoff=0.3) or tags[:3]
        known = ", ".join(close) or "none"
        raise ModelError(f"{name}: {architecture} has no pretrained weights tagged {tag!r}; there are: {known}")


def _preprocessing(
    name: str, module: nn.Module, args: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Preprocessing:
    """What the pretrained configuration says, for the input size the model was really built with."""
    cfg = timm.data.resolve_data_config(pretrained_cfg=getattr(module, "pretrained_cfg", None) or {}, model=module)
    built = {**getattr(module, "_model_args", {}), **args}
    channels = int(built.get("in_chans") or cfg["input_size"][0])
    size = getattr(getattr(module, "patch_embed", None), "img_size", None) or built.get("img_size")
    size = size or cfg["input_size"][1:]
    height, width = (size, size) if isinstance(size, int) else size
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
        raise ModelError(f"{name}: {_first_line(error)}") from error


def _per_channel(value: Any, channels: int) -> tuple[float, ...]:
    """One value per channel; where the configuration is for another number of channels, their average for each."""
    values = [float(value)] if isinstance(value, (int, float)) else [float(v) for v in value]
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels


def _try(name: str, module: nn.Module, preprocessing: Preprocessing) -> None:
    """One inference on zeros: a model that cannot run on its own input size is refused here."""
    try:
        with torch.no_grad():
            output = module(torch.zeros(1, *preprocessing.input_size))
    except Exception as error:  # anything a model can raise
        size = " x ".join(str(n) for n in preprocessing.input_size)
        raise ModelError(f"{name}: does not run on {size} inputs ({_first_line(error)})") from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(f"{name}: expected one vector per sample, found {found}; choose a classification model")


def _class_names(module: nn.Module) -> tuple[str, ...] | None:
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


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:300]
