"""What a model must be to be converted; what people often have instead is refused with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ecmt_deploy.conversion.capture import place_in_code
from ecmt_deploy.errors import CaptureError, DataError, ModelError
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


def require_answer(model: nn.Module, batch: Tensor) -> None:
    """Run the model on the first sample of a batch (N, ...), once and twice, and refuse it where it fails, or answers with
    anything but one floating tensor that has an axis for samples.

    Raises
    ------
    DataError
        if the model's own code does not take the sample; what it expects is in the reason it gives, with where it says so.
    CaptureError
        if the answer is not one tensor of floating point, or a single sample's has other axes than that of several.
    """
    try:
        with torch.no_grad():
            answer, doubled = model(batch[:1]), model(batch[[0, 0]])
    except Exception as error:  # whatever the model's code raises
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{type(model).__name__} does not take calibration samples of shape {tuple(batch.shape[1:])}; its code says what it"
            f" expects: {type(error).__name__}: {reason}{place_in_code(error)}"
        ) from error
    if not isinstance(answer, Tensor):
        raise CaptureError(
            f"{type(model).__name__} answers with {type(answer).__name__}, expected one tensor; wrap it in an nn.Module whose "
            f"forward returns one{_example(answer)}"
        )
    if not answer.is_floating_point():
        raise CaptureError(f"{type(model).__name__} answers with {answer.dtype}; expected logits or features, floating point")
    if answer.ndim != doubled.ndim:
        raise CaptureError(
            f"{type(model).__name__} answers one sample with shape {tuple(answer.shape)} and two with {tuple(doubled.shape)}; "
            "name the axis that squeeze() is to leave out"
        )


def _example(answer: Any) -> str:
    """How to take the first tensor out of an answer."""
    if isinstance(answer, Mapping):  # other libraries' ModelOutput, too
        found = {f"[{key!r}]": value for key, value in answer.items()}
    elif isinstance(answer, list | tuple):
        found = {f"[{i}]": value for i, value in enumerate(answer)}
    else:
        found = {f".{name}": value for name, value in getattr(answer, "__dict__", {}).items()}
    tensors = [access for access, value in found.items() if isinstance(value, Tensor)]
    return f", such as self.model(x){tensors[0]}" if tensors else ""
