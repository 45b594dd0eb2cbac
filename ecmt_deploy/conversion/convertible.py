"""What a model must be to be converted; what people often have instead is refused with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ecmt_deploy.errors import CaptureError, ModelError
from ecmt_deploy.program import Program


def require_module(model: Any) -> None:
    """Refuse what is no module, or a converted one.

    Raises
    ------
    ModelError
        in one line that says what to pass instead.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(_not_a_module(model))
    if isinstance(getattr(model, "program", None), Program):
        raise ModelError(f"{type(model).__name__} is a converted model already; pass the nn.Module it is to be made of")


def require_convertible(model: nn.Module) -> None:
    """Refuse a module that is TorchScript, in training mode, not on the CPU, or has weights that are not dense and whole.

    Raises
    ------
    ModelError, CaptureError
        in one line that says what to pass instead.
    """
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f"model.{path} ({type(module).__name__})" if path else type(module).__name__
            raise CaptureError(f"{where} is TorchScript, which is no longer a module; pass the one it was made of")
    if any(module.training for module in model.modules()):
        raise CaptureError("the model is in training mode; call model.eval() before converting")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if callable(getattr(tensor, "full_tensor", None)):
            raise ModelError(
                f"{name} is a part of a tensor that is divided among processes; load a full state dict into the module"
            )
        if tensor.device.type != "cpu":
            raise ModelError(f"{name} is on {tensor.device}; conversion takes place on the CPU, pass model.cpu()")
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise ModelError(f"{name} is sparse or quantized; conversion takes dense floating point weights")


def _not_a_module(model: Any) -> str:
    """The refusal of what is no module."""
    if isinstance(model, type):
        return f"{model.__name__} is a class, not a module; make a model of it, load its weights, and call .eval()"
    if isinstance(model, Mapping):
        return "these are weights, not a module; load them into one, model.load_state_dict(weights), and pass the model"
    module = getattr(model, "module", None)
    hint = "its .module" if isinstance(module, nn.Module) else "an nn.Module in eval mode"
    return f"{type(model).__name__} is not a module; pass {hint}"
