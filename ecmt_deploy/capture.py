"""``nn.Module`` to a graph of ATen operations with a symbolic batch, by ``torch.export``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from ecmt_deploy.errors import CaptureError


@dataclass(frozen=True)
class Captured:
    """A captured model.

    Attributes
    ----------
    graph : functional ATen graph; every node carries its shape with a symbolic batch in ``meta['val']``
    constants : parameters, buffers and lifted tensors by placeholder name
    input_name : name of the placeholder that takes the images
    leaves : paths of the modules that have no children
    """

    graph: fx.Graph
    constants: dict[str, Tensor]
    input_name: str
    leaves: frozenset[str]


def capture(model: nn.Module, sample: Tensor) -> Captured:
    """Export ``model`` in eval mode.

    Parameters
    ----------
    model : the module; it must be in eval mode
    sample : (1 or more, C, H, W); its first sample is used, doubled, for a batch of 1 would be specialised

    Raises
    ------
    CaptureError
        if ``torch.export`` cannot capture the model, or the model has more than one tensor input or output.
    """
    if any(module.training for module in model.modules()):
        raise CaptureError("the model is in training mode; call model.eval() before converting")
    doubled = torch.cat([sample[:1], sample[:1]])
    try:
        with torch.no_grad():
            batch = torch.export.Dim("batch")
            program = torch.export.export(model, (doubled,), dynamic_shapes=({0: batch},), strict=False)
            program = program.run_decompositions({})  # functional, yet with layer_norm, gelu, ... whole
    except Exception as error:  # torch.export raises whatever the model's code raises
        reason = " ".join(str(error).split())[:300]
        raise CaptureError(
            f"torch.export cannot capture {type(model).__name__} for an input of shape {tuple(sample.shape)}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1 or signature.buffers_to_mutate:
        raise CaptureError(
            f"{type(model).__name__} has {len(signature.user_inputs)} inputs, {len(signature.user_outputs)} outputs and "
            f"changes {len(signature.buffers_to_mutate)} buffers; expected one image tensor in, one tensor out, no changes"
        )
    state: dict[str, Any] = {**program.state_dict, **program.constants}
    lifted = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    return Captured(
        graph=program.graph,
        constants={placeholder: state[name].detach() for placeholder, name in lifted.items()},
        input_name=signature.user_inputs[0],
        leaves=frozenset(path for path, module in model.named_modules() if path and not list(module.children())),
    )


def evaluate(node: fx.Node, args: Any, kwargs: Any, dtype: torch.dtype) -> Any:
    """Value of one call; in float64 also where the model's code names a smaller floating dtype."""
    if dtype == torch.float64:
        args = tuple(torch.float64 if _is_smaller(a) else a for a in args)
        kwargs = {k: torch.float64 if _is_smaller(v) else v for k, v in kwargs.items()}
    target: Any = node.target
    with torch.no_grad():
        return target(*args, **kwargs)


def _is_smaller(argument: Any) -> bool:
    return isinstance(argument, torch.dtype) and argument in (torch.float32, torch.float16, torch.bfloat16)


def constant_in(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A constant of the model for a computation in ``dtype``: floating ones are promoted to float64, others stay."""
    return tensor.double() if dtype == torch.float64 and tensor.is_floating_point() else tensor


def module_path(node: fx.Node) -> str:
    """Path of the module whose code produced ``node``; empty for the root."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if isinstance(path, str)]
    path = paths[-1] if paths else ""
    return "" if path.startswith("_") else path
