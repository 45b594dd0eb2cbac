"""The module inside what people wrap it in: as it converts, and as its caller has it.

The caller's model stays as it is. What is changed is changed on copies that share all weights that stay.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ecmt_deploy.conversion.convertible import require_convertible, require_module
from ecmt_deploy.conversion.places import place_in_code
from ecmt_deploy.errors import CaptureError, ModelError, said

_logger = logging.getLogger(__name__)

#: attribute under which a wrapper of torch keeps the module that it only passes on to, by the name of the wrapper's class
WRAPPERS = {
    "AveragedModel": "module",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}


@dataclass(frozen=True)
class Prepared:
    """A module as it is converted, and what it is compared with.

    Attributes
    ----------
    model : without wrappers, in single or double precision, with adapters merged into its weights
    given : as the caller has it, without wrappers, with adapters as they are; in single precision where it had half
    half : the same in the half precision that the caller has it in; ``None`` where that is single or double precision
    """

    model: nn.Module
    given: nn.Module
    half: nn.Module | None

    @property
    def half_dtypes(self) -> list[torch.dtype]:
        """The floating dtypes of the parameters and buffers of :attr:`half`."""
        held = [] if self.half is None else _tensors(self.half)
        return list(dict.fromkeys(tensor.dtype for tensor in held if tensor.is_floating_point()))


def prepare(model: Any) -> Prepared:
    """Take off what models are wrapped in, and refuse what is no module that can be converted.

    Raises
    ------
    ModelError, CaptureError
        in one line that says what to pass instead.
    """
    require_module(model)
    given = without_wrappers(model)
    require_convertible(given)
    half = None
    dtypes = sorted({_plain(tensor.dtype) for tensor in _tensors(given) if _is_half(tensor)})
    if dtypes:
        half, given = given, copied(given)._apply(lambda tensor: tensor.float() if _is_half(tensor) else tensor)
        _logger.info("%s: weights in %s, converted on a float32 copy", type(given).__name__, " and ".join(dtypes))
    return Prepared(merged(given), given, half)


def without_wrappers(model: nn.Module) -> nn.Module:
    """The module that is wrapped, also where a wrapper is deep inside; the same object where nothing is.

    Wrappers are torch's own that only pass on what they are given: compiled, averaged, parallel modules. Modules that hold one
    are copied without it, sharing their weights.

    Raises
    ------
    CaptureError
        where parameters are divided among processes.
    """
    return _bare(model, "model", {})


def _bare(module: nn.Module, where: str, known: dict[int, nn.Module]) -> nn.Module:
    if id(module) in known:
        return known[id(module)]
    bare = module
    while (attribute := _wrapped(bare)) is not None:
        _require_whole(bare, where)
        bare, where = getattr(bare, attribute), f"{where}.{attribute}"
    known[id(module)] = known[id(bare)] = bare  # before what is in it: a module may hold itself
    children = {
        name: None if child is None else _bare(child, f"{where}.{name}", known) for name, child in bare._modules.items()
    }
    compiled = getattr(bare, "_compiled_call_impl", None) is not None  # by module.compile(); copies are not
    if compiled or any(child is not bare._modules[name] for name, child in children.items()):
        known[id(module)] = known[id(bare)] = bare = copy.copy(bare)
        bare._modules = children
    return bare


def _wrapped(module: nn.Module) -> str | None:
    """The attribute under which a wrapper keeps its module; ``None`` where it is no wrapper, or does more than pass on."""
    for kind in type(module).__mro__:
        attribute = WRAPPERS.get(kind.__name__)
        if attribute is not None and kind.__module__.startswith("torch.") and _forward(type(module)) is _forward(kind):
            return attribute if isinstance(getattr(module, attribute, None), nn.Module) else None
    return None


def _forward(kind: type) -> Any:
    return getattr(kind, "forward", None)


def _require_whole(wrapper: nn.Module, where: str) -> None:
    """Refuse FSDP's wrapper where every process has a part of the weights only."""
    strategy = getattr(getattr(wrapper, "sharding_strategy", None), "name", "NO_SHARD")
    if strategy != "NO_SHARD":
        raise CaptureError(
            f"{where} is {type(wrapper).__name__}, of which every process has a part of the weights ({strategy}); load a full"
            " state dict into the module that it was made of, and pass that"
        )


def merged(model: nn.Module) -> nn.Module:
    """The model with adapters (LoRA and its kind, of peft) merged into the weights they adapt, on a copy; the same object where
    there are none.

    Raises
    ------
    ModelError
        if the adapters' own code fails to merge them.
    """
    if not any(_merge(module) is not None for module in model.modules()):
        return model
    return _merged(copied(model), "model")


def _merged(module: nn.Module, where: str) -> nn.Module:
    merge = _merge(module)
    if merge is not None:
        try:
            inner = merge()
        except Exception as error:  # whatever the adapters' code raises
            reason = said(error)
            raise ModelError(
                f"{where} has adapters ({type(module).__name__}) that do not merge into its weights: {type(error).__name__}:"
                f" {reason}{place_in_code(error)}"
            ) from error
        if not isinstance(inner, nn.Module):
            raise ModelError(f"{where}: merge_and_unload() of {type(module).__name__} gives no module; pass the merged one")
        return inner.eval()  # layers that it puts in begin in training mode
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = _merged(child, f"{where}.{name}")
    return module


def _merge(module: nn.Module) -> Any:
    """What merges the adapters of a module and takes them off, told by its name: peft's models, and others of the kind."""
    merge = getattr(module, "merge_and_unload", None)
    return merge if callable(merge) else None


def copied(model: nn.Module) -> nn.Module:
    """A deep copy.

    Raises
    ------
    ModelError
        if the model's code does not let it be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever the code raises of what the model holds
        raise ModelError(
            f"{type(model).__name__} cannot be copied, which half precision and adapters need: {type(error).__name__}:"
            f" {said(error)}; pass model.float(), adapters merged"
        ) from error


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _is_half(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.element_size() < 4


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
