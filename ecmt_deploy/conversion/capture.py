"""``nn.Module`` to a graph of ATen operations with a symbolic batch, by ``torch.export``."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.fx.node import map_aggregate
from torch.nn.modules import transformer

from ecmt_deploy.engine.functions import TORCH
from ecmt_deploy.errors import CaptureError
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.untrusted.text import as_name

#: an upper bound of the batch, which torch.export wants to know in some releases; nothing depends on it
MOST_SAMPLES = 2**20
_SMALLER = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Captured:
    """A captured model.

    Attributes
    ----------
    graph : functional ATen graph; every node carries its shape with a symbolic batch in ``meta['val']``
    constants : parameters, buffers and lifted tensors by placeholder name
    input_name : name of the placeholder that takes the images
    leaves : paths of the modules that have no children, as names of nodes
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
    doubled = torch.cat([sample[:1], sample[:1]])
    try:
        with torch.no_grad(), _tracing():
            batch = torch.export.Dim("batch", max=MOST_SAMPLES)
            program = torch.export.export(model, (doubled,), dynamic_shapes=({0: batch},), strict=False)
            program = program.run_decompositions({})  # functional, yet with layer_norm, gelu, ... whole
    except GuardOnDataDependentSymNode as error:
        raise CaptureError(
            f"{type(model).__name__} decides by the values of its input{place_in_code(error)}; a program does the same for"
            " every input, so write it without that branch or loop (torch.where chooses by constants)"
        ) from error
    except Exception as error:  # torch.export raises whatever the model's code raises
        reason = f"{place_in_code(error)}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise CaptureError(
            f"torch.export cannot capture {type(model).__name__} for an input of shape {tuple(sample.shape)}{reason}"
        ) from error
    signature = program.graph_signature
    inputs, outputs = len(signature.user_inputs), len(signature.user_outputs)
    changed = len(signature.buffers_to_mutate) + len(signature.user_inputs_to_mutate)
    if inputs != 1 or outputs != 1 or changed:
        raise CaptureError(
            f"{type(model).__name__} has {inputs} inputs, {outputs} outputs and changes {changed} buffers or inputs; "
            "expected one image tensor in, one tensor out, no changes"
        )
    state: dict[str, Any] = {**program.state_dict, **program.constants}
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    return Captured(
        graph=program.graph,
        constants={placeholder: state[name].detach() for placeholder, name in lifted.items()},
        input_name=signature.user_inputs[0],
        leaves=frozenset(as_name(path) for path, module in model.named_modules() if path and not list(module.children())),
    )


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    """torch.nn's encoders as they are defined: without the fused fast path, and without looking at a mask's values to see
    whether it is causal (which is a hint for kernels; the mask is added all the same). Python functions of torch that stand for
    a function of the dialect are captured whole, each as an operation of its own, instead of as the operations they are made
    of. torch's own dumps are not for users."""
    changes: list[tuple[Any, str, Any]] = [
        (transformer, "_detect_is_causal_mask", lambda mask, is_causal=None, size=None: bool(is_causal)),
        (logging.getLogger("torch.fx.experimental.symbolic_shapes"), "disabled", True),
    ]
    for function in FUNCTIONS.values():
        if function.stands_for is not None:
            module, _, name = function.stands_for.rpartition(".")
            changes.append((importlib.import_module(module), name, _operation(function.name)))
    with contextlib.ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        for owner, name, value in changes:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@functools.cache
def _operation(function: str) -> Callable[[Tensor], Tensor]:
    """An operation of torch that computes an elementwise function of one tensor, for exported graphs."""
    made = torch.library.custom_op(
        f"ecmt_deploy::{function}", lambda x: TORCH[function]({}, x), mutates_args=(), schema="(Tensor x) -> Tensor"
    )
    made.register_fake(torch.empty_like)
    return lambda x: made(x)


def place_in_code(error: BaseException) -> str:
    """Where in the model's code an error arose: the innermost line that is neither torch's own machinery nor ours."""
    package, own = Path(torch.__file__).parent, Path(__file__).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        machinery = package in path.parents and (path.parent != package / "nn" / "modules" or path.name == "module.py")
        if not machinery and own not in path.parents and path.is_file():
            return f" in {frame.filename}, line {frame.lineno}: {frame.line}"
    return ""


def arguments(node: fx.Node, values: Mapping[fx.Node, Any], dtype: torch.dtype) -> Any:
    """Arguments of a call, (args, kwargs), for a computation in ``dtype``: in float64 all that is floating is promoted, also a
    smaller dtype that the model's code names."""

    def promoted(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.double() if value.is_floating_point() else value
        return torch.float64 if isinstance(value, torch.dtype) and value in _SMALLER else value

    given = fx.map_arg((node.args, node.kwargs), lambda operand: values[operand])
    return map_aggregate(given, promoted) if dtype == torch.float64 else given


def evaluate(node: fx.Node, args: Any, kwargs: Any) -> Any:
    """Value of one call."""
    target: Any = node.target
    with torch.no_grad():
        return target(*args, **kwargs)


def last_uses(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """For every node, the values that nobody needs after it, its own among them where nobody takes it."""
    finished: dict[fx.Node, list[fx.Node]] = {}
    seen: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        finished[node] = [value for value in (*node.all_input_nodes, node) if value not in seen]
        seen.update(finished[node])
    return finished


def module_path(node: fx.Node) -> str:
    """Path of the module whose code produced ``node``, as a name of nodes; empty for the root."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if isinstance(path, str)]
    path = paths[-1] if paths else ""
    return "" if path.startswith("_") else as_name(path)
