"""Weight files: reading them without running their code, fitting them to a model exactly, and fingerprinting them."""

from __future__ import annotations

import argparse
import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from ecmt_deploy.errors import ModelError

StateDict = dict[str, torch.Tensor]
Adapter = Callable[[StateDict, nn.Module], StateDict]
"""Renames and resizes the tensors of a checkpoint for a model (timm's ``checkpoint_filter_fn``)."""

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training scripts keep the weights, in order of preference."""
_PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")
_SHOWN = 3


class Weights(StateDict):
    """Tensors by name.

    Attributes
    ----------
    key : under which the file holds them; empty where it is nothing but these weights
    others : keys under which it holds other weights
    """

    def __init__(self, tensors: StateDict, key: str, others: tuple[str, ...] = ()) -> None:
        super().__init__(tensors)
        self.key = key
        self.others = others


def read_state_dict(path: Path, key: str | None = None) -> Weights:
    """Read a weight file; nothing in it is executed.

    Parameters
    ----------
    path
        ``.safetensors``, or ``.pth``, ``.pt``, ``.bin`` as torch writes them (bare, or wrapped by a training script).
    key
        Under which of its keys the weights are; by default the first of those that training scripts use.

    Raises
    ------
    ModelError
        If the file is missing, of another kind, damaged, needs more than tensors to load, or holds no tensors (under ``key``).
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such weight file")
    suffix = path.suffix.lower()
    content: Any
    try:
        if suffix == ".safetensors":
            content = safetensors.torch.load_file(path, device="cpu")
        elif suffix in (".pth", ".pt", ".bin"):
            with torch.serialization.safe_globals([argparse.Namespace]):  # training scripts keep their arguments so
                content = torch.load(path, map_location="cpu", weights_only=True)
        else:
            raise ModelError(f"{path}: unknown kind of weight file; expected .safetensors, .pth, .pt or .bin")
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: refused, loading it would need more than tensors; save model.state_dict(), best as .safetensors"
        ) from error
    except (safetensors.SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a readable weight file ({_first_line(error)})") from error
    return _unwrap(path, content, key)


def fit(module: nn.Module, state_dict: StateDict, adapt: Adapter | None, where: str) -> tuple[str, ...]:
    """Load weights into a model; every parameter must be there with its shape, and nothing else.

    Parameters
    ----------
    module
        Changed in place.
    adapt
        Applied to the weights first, where given.
    where
        The weight file, for errors.

    Returns
    -------
    tuple of str
        Names of the tensors that ``adapt`` gave another shape (such as resized position embeddings).

    Raises
    ------
    ModelError
        If the weights are of another architecture, naming the first missing, unexpected and mis-shaped tensors; or if
        they hold NaN or infinity.
    """
    fitted = state_dict
    if adapt is not None:
        try:
            fitted = adapt(dict(state_dict), module)  # a dict of its own, adapters pop from it
        except Exception:  # the adapter meets a foreign checkpoint; the comparison below says what is wrong with it
            fitted = state_dict
    own = module.state_dict()
    classifier = _classifier_prefixes(module)
    missing = [k for k in own if k not in fitted and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in fitted if k not in own and not k.startswith(classifier)]
    misshapen = [k for k in own if k in fitted and own[k].shape != fitted[k].shape]
    if missing or unexpected or misshapen:
        raise ModelError(_misfit(where, module, own, fitted, missing, unexpected, misshapen))
    fitted = {k: v for k, v in fitted.items() if k in own}
    for key, value in fitted.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ModelError(f"{where}: {key} holds NaN or infinity; these weights cannot be used")
    module.load_state_dict(fitted, strict=False)
    return tuple(k for k in fitted if k in state_dict and state_dict[k].shape != fitted[k].shape)


def sha256(module: nn.Module) -> str:
    """Hex digest over the sorted names, dtypes, shapes and bytes of a model's state dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.reshape(-1).data.cast("B"))
    return digest.hexdigest()


def _unwrap(path: Path, content: Any, key: str | None) -> Weights:
    """The tensors of a checkpoint, without wrappers and without prefixes of parallel or compiled models."""
    there = content if isinstance(content, Mapping) else {}
    nested = [k for k, value in there.items() if isinstance(value, Mapping) and _tensors(value)]
    if key is None:
        key = next((k for k in _WRAPPERS if isinstance(there.get(k), Mapping)), "")
    elif key and key not in nested:
        keys = ", ".join(map(str, nested[:_SHOWN]))
        raise ModelError(
            f"{path}: holds no weights under {key!r}; it has {keys or 'none under any key, leave out --weights-key'}"
        )
    content = content[key] if key else content
    if not isinstance(content, Mapping):
        raise ModelError(f"{path}: holds a {type(content).__name__}; expected a state dict (names and tensors)")
    state_dict = _tensors(content)
    if not state_dict:
        keys = ", ".join(str(k) for k in list(content)[:_SHOWN])
        raise ModelError(f"{path}: holds no tensors (keys: {keys or 'none'}); expected a state dict")
    return Weights(state_dict, key, tuple(str(k) for k in nested if k != key))


def _tensors(content: Mapping[Any, Any]) -> StateDict:
    state_dict: StateDict = {}
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, torch.Tensor):
            for prefix in _PREFIXES:
                key = key.removeprefix(prefix)
            state_dict[key] = value
    return state_dict


def _classifier_prefixes(module: nn.Module) -> tuple[str, ...]:
    """Names of a head that a model built without one (``num_classes=0``) may ignore."""
    names = (getattr(module, "pretrained_cfg", None) or {}).get("classifier") or ()
    if getattr(module, "num_classes", None) != 0:
        return ()
    return tuple(f"{n}." for n in ((names,) if isinstance(names, str) else names))


def _misfit(
    where: str,
    module: nn.Module,
    own: StateDict,
    found: StateDict,
    missing: list[str],
    unexpected: list[str],
    misshapen: list[str],
) -> str:
    parts = []
    for kind, keys in (("missing", missing), ("unexpected", unexpected)):
        if keys:
            parts.append(f"{len(keys)} {kind} ({_some(keys)})")
    if misshapen:
        shapes = [f"{k} {tuple(found[k].shape)} for {tuple(own[k].shape)}" for k in misshapen]
        parts.append(f"{len(misshapen)} of another shape ({_some(shapes)})")
    message = f"{where}: weights of another architecture than {type(module).__name__}: {'; '.join(parts)}"
    cfg = getattr(module, "pretrained_cfg", None) or {}
    head = f"{cfg.get('classifier')}.weight"
    if not missing and not unexpected and head in misshapen and all(k.startswith(head[:-6]) for k in misshapen):
        return f"{message}; for this head say --model-arg num_classes={found[head].shape[0]}"
    return f"{message}; check MODEL and --model-arg"


def _some(items: list[str]) -> str:
    return ", ".join(items[:_SHOWN]) + (", ..." if len(items) > _SHOWN else "")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
