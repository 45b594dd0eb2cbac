"""Which families of timm are transformers, hybrids or other mixers of tokens, told by rule, and the smallest model of each.

A family is a file of timm's models. Its smallest model, by parameters, stands for it. The family counts where one of these
is so of that model:

- a module of it is attention by its name;
- a module of it is an MLP by its name (blocks of a token mixer and an MLP, as a transformer's without attention);
- it multiplies two activations as matrices (attention under another name).

Convolutional networks of older kinds do none of them.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any

import timm
import torch
from timm.models import _registry
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

#: modules that are attention, or an MLP, by the name of their class; gates of channels (`SEModule`, `EcaModule`) are neither
ATTENTION = re.compile(r"\w*(Attention|Attn|MHSA|MLA)\w*")
MLP = re.compile(r"\w*(Mlp|MLP|FeedForward)\w*")
_PRODUCTS = re.compile(r"(bmm|mm|baddbmm|_scaled_dot_product\w+|einsum)")


class _Products(TorchDispatchMode):
    """Notes products of two values that both depend on the input."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.found = 0
        self.dependent = WeakTensorKeyDictionary()
        self.dependent[x] = True

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        operands = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor) and value in self.dependent]
        if operands:
            for value in tree_leaves(made):
                if isinstance(value, Tensor):
                    self.dependent[value] = True
            self.found += len(operands) > 1 and bool(_PRODUCTS.fullmatch(function.overloadpacket.__name__))
        return made


def files() -> list[str]:
    """Names of timm's files of models."""
    return sorted(_registry._module_to_models)


def smallest(file: str) -> tuple[str, int] | None:
    """The model with the fewest parameters in a file, and how many those are; without memory for its weights."""
    best = None
    for name in sorted(_registry._module_to_models[file]):
        try:
            with torch.device("meta"):
                size = sum(parameter.numel() for parameter in timm.create_model(name).parameters())
        except (RuntimeError, NotImplementedError, TypeError, ValueError, AssertionError):
            continue  # its constructor computes, which needs memory
        if best is None or size < best[1]:
            best = (name, size)
    return best


def kind(model: nn.Module, shape: tuple[int, ...]) -> str | None:
    """Why a family counts: ``attention``, ``mlp``, ``product``; ``None`` where it does not. Names are looked at first, as they
    take no inference."""
    classes = [type(module).__name__ for module in model.modules()]
    for pattern, name in ((ATTENTION, "attention"), (MLP, "mlp")):
        if any(pattern.fullmatch(each) for each in classes):
            return name
    x = torch.zeros(1, *shape)
    products = _Products(x)
    with torch.no_grad(), products:
        model(x)
    return "product" if products.found else None


def scan(file: str) -> dict[str, Any]:
    """What stands for a file: ``model``, ``parameters``, ``shape``, ``kind``."""
    warnings.simplefilter("ignore")
    logging.getLogger("timm").setLevel(logging.ERROR)
    found = smallest(file)
    name, size = found or (sorted(_registry._module_to_models[file])[0], None)
    timm.layers.set_fused_attn(False)
    model = timm.create_model(name).eval()
    shape = tuple((getattr(model, "pretrained_cfg", None) or {}).get("input_size") or (3, 224, 224))
    size = size or sum(parameter.numel() for parameter in model.parameters())
    return {"file": file, "model": name, "parameters": size, "shape": shape, "kind": kind(model, shape)}
