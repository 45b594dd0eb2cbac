"""Building timm models: names, arguments, and where the weights come from."""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import timm.layers
import torch
from torch import nn

from ecmt_deploy.errors import ModelError, first_line
from ecmt_deploy.models import weights as weight_files
from ecmt_deploy.models import zoo
from ecmt_deploy.models.fetching import quick_failure

_logger = logging.getLogger(__name__)

SOURCES = ("hf-hub:", "hf_hub:", "local-dir:")
"""Names that begin so lead to weights with a configuration of their own."""
_building = threading.Lock()


def check_name(name: str) -> None:
    """Refuse names timm does not know.

    Raises
    ------
    ModelError
        With the known names or tags that look like it.
    """
    if name.startswith(SOURCES):
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


def build(name: str, args: Mapping[str, Any], seed: int, size: tuple[int, ...] | None = None, **options: Any) -> nn.Module:
    """``timm.create_model`` with attention spelled out, seeded, and with one-line errors.

    Parameters
    ----------
    args
        Of the model.
    size
        Inputs that it is built for, (C, H, W) or (H, W), where ``args`` do not say; only models of fixed size are told.
    options
        Of ``timm.create_model``.

    Raises
    ------
    ModelError
        If timm or the model's constructor does not take these arguments, or fetching fails.
    """
    timm.layers.set_fused_attn(False)  # the fused kernel would hide softmax and both products from the capture
    asked = {**args, **_sized(args, size)}
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in asked.items()}
    while True:
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return timm.create_model(name, **options, **given)
        except Exception as error:  # constructors of a thousand models, each with its own errors
            if size and "img_size" in given and isinstance(error, TypeError) and "'img_size'" in str(error):
                del given["img_size"]  # it takes inputs of any size
                continue
            said = ", ".join(f"{key}={value}" for key, value in given.items())
            raise ModelError(f"{name}: cannot be built{f' with {said}' if said else ''} ({first_line(error)})") from error


def _sized(args: Mapping[str, Any], size: tuple[int, ...] | None) -> dict[str, Any]:
    """The arguments that say the size of inputs."""
    if size is None:
        return {}
    *channels, height, width = size
    sized = {"img_size": height if height == width else [height, width]} | ({"in_chans": channels[0]} if channels else {})
    if said := [key for key in sized if key in args]:
        raise ModelError(f"--input-size and --model-arg {said[0]} both say the size of inputs; give one of them")
    return sized


def build_with_weights(
    name: str, path: Path, key: str | None, args: Mapping[str, Any], seed: int = 0, size: tuple[int, ...] | None = None
) -> tuple[nn.Module, str]:
    """A model with the weights of a file, which must fit exactly, and where in the file they are.

    Parameters
    ----------
    key
        Where in the file the weights are; None: wherever those are that fit.
    name, args, seed, size
        As of :func:`build`.

    Raises
    ------
    ModelError
        As :func:`build`, :func:`ecmt_deploy.models.weights.choose` and :func:`ecmt_deploy.models.weights.fit`.
    """
    held = weight_files.collections_in(path)
    with _adapter() as adapters:
        module = build(name, args, seed, size, pretrained=True)
    adapt = adapters[-1] if adapters else None
    chosen = weight_files.choose(path, held, key, weight_files.misfits(module, adapt))
    if key is None and chosen.others:
        others = ", ".join(chosen.others)
        _logger.warning("%s: takes its weights %s; it also holds %s, which --weights-key chooses", path, chosen.key, others)
    resized = weight_files.fit(module, chosen, adapt, f"{path} ({chosen.key})" if chosen.key else str(path))
    if resized:
        _logger.warning("%s: resized for %s, as timm does: %s", path, name, ", ".join(resized))
    return module, chosen.key


@contextmanager
def _adapter() -> Iterator[list[weight_files.Adapter | None]]:
    """The checkpoint adapter of a model that is built meanwhile, with random weights.

    A timm model's adapter (which translates original naming and resizes position embeddings) is known only to its factory
    function, which hands it to the one place that loads pretrained weights.
    """
    from timm.models import _builder

    adapters: list[weight_files.Adapter | None] = []
    with _building:
        original = _builder.load_pretrained
        _builder.load_pretrained = lambda *_, **kwargs: adapters.append(kwargs.get("filter_fn"))
        try:
            yield adapters
        finally:
            _builder.load_pretrained = original


def input_size(value: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """``--input-size`` as (H, W) or (C, H, W); one number is the edge of a square.

    Raises
    ------
    ModelError
        If it is none of these.
    """
    if value is None:
        return None
    size = (value,) if isinstance(value, int) else tuple(value)
    if not 1 <= len(size) <= 3 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ModelError(
            f"--input-size {' '.join(map(str, size))}: expected pixels, as 224 or 224 320, or channels too, as 1 28 28"
        )
    return size * 2 if len(size) == 1 else size


def build_pretrained(name: str, args: Mapping[str, Any], size: tuple[int, ...] | None = None) -> nn.Module:
    """A model with the weights timm fetches for it.

    Raises
    ------
    ModelError
        If there are none, they cannot be fetched, do not fit the arguments, or would leave the head random.
    """
    if not name.startswith(SOURCES):
        cfg = timm.get_pretrained_cfg(name)
        if cfg is None or not cfg.has_weights:
            mend = "pass --weights FILE (or --model-arg pretrained=false for random ones)"
            raise ModelError(f"{name}: timm has no pretrained weights for it; {mend}")
        _check_head(name, args.get("num_classes", cfg.num_classes), cfg.num_classes)
    try:
        with quick_failure():
            module = build(name, args, 0, size, pretrained=True)
    except ModelError as error:
        cause = error.__cause__
        if cause is not None and "Error(s) in loading state_dict" in str(cause):
            given = ", ".join(f"{key}={value}" for key, value in args.items())
            raise ModelError(
                f"{name}: its pretrained weights do not fit {given or type(cause).__name__}; pass --weights FILE of a "
                "model trained with these arguments"
            ) from cause
        if isinstance(cause, OSError | EOFError):  # of the network, the hub and the cache alike
            reason = first_line(cause).split(". ")[0]
            raise ModelError(f"{name}: pretrained weights cannot be fetched ({reason}); pass --weights FILE") from cause
        raise
    _check_head(name, getattr(module, "num_classes", 0), module.pretrained_cfg.get("num_classes", 0))  # type: ignore[union-attr, operator]
    return module


def _check_head(name: str, wanted: int, pretrained: int) -> None:
    """Refuse a head of another size than the pretrained one: timm would leave it random."""
    if wanted not in (0, pretrained):
        raise ModelError(
            f"{name}: its pretrained head has {pretrained} classes, so num_classes={wanted} would be random; "
            "pass --weights FILE of a model trained with that head"
        )
