"""Weight files: reading them without running their code, fitting them to a model exactly, and fingerprinting them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable

import torch
from torch import nn

from ecmt_deploy.errors import ModelError
from ecmt_deploy.models.weights.choosing import Collections, StateDict, Weights, choose, collections_in

__all__ = ["Adapter", "Collections", "StateDict", "Weights", "choose", "collections_in", "fit", "misfits", "sha256"]

Adapter = Callable[[StateDict, nn.Module], StateDict]
"""Renames and resizes the tensors of a checkpoint for a model (timm's ``checkpoint_filter_fn``)."""

_Differences = tuple[list[str], list[str], list[str]]
"""Names that are missing, unexpected, and of another shape."""


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
        they hold NaN or infinity, or are no floating point where the model's are.
    """
    own, fitted = module.state_dict(), _adapted(module, state_dict, adapt)
    differences = _differences(module, own, fitted)
    if any(differences):
        raise ModelError(_misfit(where, module, own, fitted, differences))
    fitted = {k: v for k, v in fitted.items() if k in own}
    for key, value in fitted.items():
        wanted = own[key].dtype
        if wanted.is_floating_point and not value.is_floating_point():
            raise ModelError(f"{where}: {key} is {value.dtype}, the model's {wanted}; save the weights as floating point")
        if value.is_floating_point() and not torch.isfinite(value.to(wanted)).all():
            raise ModelError(f"{where}: {key} holds NaN or infinity; these weights cannot be used")
    module.load_state_dict(fitted, strict=False)
    return tuple(k for k in fitted if k in state_dict and state_dict[k].shape != fitted[k].shape)


def misfits(module: nn.Module, adapt: Adapter | None) -> Callable[[StateDict], int]:
    """Counts the tensors in which weights differ from a model's: where it is 0, :func:`fit` takes them if they are sound."""
    own = module.state_dict()

    def count(tensors: StateDict) -> int:
        if 2 * len(tensors) < len(own):  # adapters split tensors at most in two or three, and of a few
            return sys.maxsize
        return sum(map(len, _differences(module, own, _adapted(module, tensors, adapt))))

    return count


def _adapted(module: nn.Module, state_dict: StateDict, adapt: Adapter | None) -> StateDict:
    if adapt is None:
        return state_dict
    try:
        return adapt(dict(state_dict), module)  # a dict of its own, adapters pop from it
    except Exception:  # the adapter meets a foreign checkpoint; the comparison that follows says what is wrong with it
        return state_dict


def _differences(module: nn.Module, own: StateDict, fitted: StateDict) -> _Differences:
    classifier = _classifier_prefixes(module)
    missing = [k for k in own if k not in fitted and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in fitted if k not in own and not k.startswith(classifier)]
    misshapen = [k for k in own if k in fitted and own[k].shape != fitted[k].shape]
    return missing, unexpected, misshapen


def sha256(module: nn.Module) -> str:
    """Hex digest over the sorted names, dtypes, shapes and bytes of a model's state dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.reshape(-1).data.cast("B"))
    return digest.hexdigest()


def _classifier_prefixes(module: nn.Module) -> tuple[str, ...]:
    """Names of a head that a model built without one (``num_classes=0``) may ignore."""
    names = (getattr(module, "pretrained_cfg", None) or {}).get("classifier") or ()
    if getattr(module, "num_classes", None) != 0:
        return ()
    return tuple(f"{n}." for n in ((names,) if isinstance(names, str) else names))


def _misfit(where: str, module: nn.Module, own: StateDict, found: StateDict, differences: _Differences) -> str:
    missing, unexpected, misshapen = differences
    shapes = [f"{k} {tuple(found[k].shape)} for {tuple(own[k].shape)}" for k in misshapen]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    parts = [f"{len(items)} {kind} ({_some(items)})" for kind, items in kinds.items() if items]
    message = f"{where}: weights of another architecture than {type(module).__name__}: {'; '.join(parts)}"
    cfg = getattr(module, "pretrained_cfg", None) or {}
    head = f"{cfg.get('classifier')}.weight"
    if not missing and not unexpected and head in misshapen and all(k.startswith(head[:-6]) for k in misshapen):
        return f"{message}; for this head say --model-arg num_classes={found[head].shape[0]}"
    return f"{message}; check MODEL and --model-arg"


def _some(items: list[str]) -> str:
    return ", ".join(items[:3]) + (", ..." if items[3:] else "")
