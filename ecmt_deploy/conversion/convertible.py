"""What a model must be to be converted; what people often have instead is refused with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ecmt_deploy.errors import CaptureError, ModelError
from ecmt_deploy.program import Program

#: attribute under which a wrapper keeps the model, by the name of the wrapper's class
_WRAPPERS = {
    "AveragedModel": "module",
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
}


def require_convertible(model: Any) -> None:
    """Refuse what is no module in eval mode, on the CPU, of single or double precision, as it was before anything wrapped it.

    Raises
    ------
    ModelError, CaptureError
        in one line that says what to pass instead.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(_not_a_module(model))
    if isinstance(getattr(model, "program", None), Program):
        raise ModelError(f"{type(model).__name__} is a converted model already; pass the nn.Module it is to be made of")
    if isinstance(model, torch.jit.ScriptModule):
        raise CaptureError(f"{type(model).__name__} is TorchScript, which is no longer a module; pass the one it was made of")
    for path, module in model.named_modules():
        attribute = _WRAPPERS.get(type(module).__name__)
        if attribute is not None and isinstance(getattr(module, attribute, None), nn.Module):
            where = f"model.{path}" if path else "model"
            raise CaptureError(f"{where} is wrapped in {type(module).__name__}; pass {where}.{attribute} in its place")
    if any(module.training for module in model.modules()):
        raise CaptureError("the model is in training mode; call model.eval() before converting")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.device.type != "cpu":
            raise ModelError(f"{name} is on {tensor.device}; conversion takes place on the CPU, pass model.cpu()")
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise ModelError(f"{name} is sparse or quantized; conversion takes dense floating point weights")
        if tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64):
            raise ModelError(f"{name} is {tensor.dtype}; conversion takes single or double precision, pass model.float()")


def _not_a_module(model: Any) -> str:
    """The refusal of what is no module."""
    if isinstance(model, type):
        return f"{model.__name__} is a class, not a module; make a model of it, load its weights, and call .eval()"
    if isinstance(model, Mapping):
        return "these are weights, not a module; load them into one, model.load_state_dict(weights), and pass the model"
    module = getattr(model, "module", None)
    hint = "its .module" if isinstance(module, nn.Module) else "an nn.Module in eval mode"
    return f"{type(model).__name__} is not a module; pass {hint}"
