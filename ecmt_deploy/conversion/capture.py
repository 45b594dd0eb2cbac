"""``nn.Module`` to a graph of ATen operations with a symbolic batch, by ``torch.export``."""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dynamo.exc import UserErrorType
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.fx.node import map_aggregate
from torch.nn.modules import transformer

from ecmt_deploy.conversion.calling import ROOT, Calling
from ecmt_deploy.conversion.places import place_in_code
from ecmt_deploy.conversion.roles import settled
from ecmt_deploy.engine.functions import TORCH
from ecmt_deploy.errors import CaptureError, said
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.inputs import Inputs, NamedInput
from ecmt_deploy.untrusted.text import as_name

#: an upper bound of the batch, which torch.export wants to know in some releases; nothing depends on it
MOST_SAMPLES = 2**20
#: key of the parts of an operation that is taken apart, nodes of the graph or a list of them, in its ``meta``
PARTS = "ecmt_parts"
#: key of why an operation that stays whole was not taken apart, in words, in its ``meta``
WHY = "ecmt_why"
_SMALLER = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Captured:
    """A captured model.

    Attributes
    ----------
    graph : functional ATen graph; every node carries its shape with a symbolic batch in ``meta['val']``
    constants : parameters, buffers and lifted tensors by placeholder name
    inputs : by placeholder, in the order of the model's inputs, the input that it takes; of a model with one input that nobody
        named, its name is ``"input"``
    leaves : paths of the modules that have no children, as names of nodes
    """

    graph: fx.Graph
    constants: dict[str, Tensor]
    inputs: dict[str, NamedInput]
    leaves: frozenset[str]


def capture(calling: Calling, samples: Tensor) -> Captured:
    """Export a model in eval mode, as it is called.

    Parameters
    ----------
    calling : the model, and how it is called
    samples : packed (1 or more, ..); the first is used, doubled, for a batch of 1 would be specialised

    Raises
    ------
    CaptureError
        if ``torch.export`` cannot capture the model, or the model changes its buffers or inputs.
    """
    doubled = calling.tensors(torch.cat([samples[:1], samples[:1]]))
    try:
        with torch.no_grad(), _tracing():
            batch = torch.export.Dim("batch", max=MOST_SAMPLES)
            shapes = (tuple({0: batch} for _ in doubled),)  # of *tensors
            program = torch.export.export(calling.exportable(), doubled, dynamic_shapes=shapes, strict=False)
            program = program.run_decompositions({})  # functional, yet with layer_norm, gelu, ... whole
    except GuardOnDataDependentSymNode as error:
        raise CaptureError(
            f"{calling.name} decides by the values of its input{place_in_code(error)}; a program does the same for"
            " every input, so write it without that branch or loop (torch.where chooses by constants)"
        ) from error
    except Exception as error:  # torch.export raises whatever the model's code raises
        if getattr(error, "error_type", None) is UserErrorType.CONSTRAINT_VIOLATION:
            raise CaptureError(
                f"{calling.name} makes a Python number of the number of samples (by int(), a comparison, a loop, or a list as"
                " long); a program has one sample, so use x.shape[0] in shapes alone, as expand() and reshape() take it"
            ) from error
        reason = f"{place_in_code(error)}: {type(error).__name__}: {said(error)}"
        raise CaptureError(
            f"torch.export cannot capture {calling.name} for an input of shape {tuple(samples.shape)}{reason}"
        ) from error
    signature = program.graph_signature
    changed = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
    if changed:
        shown = ", ".join(dict.fromkeys(name.removeprefix(f"{ROOT}.") for name in changed))
        raise CaptureError(
            f"{calling.name} changes its buffers or inputs while it runs ({shown}); a program has no such memory"
        )
    state: dict[str, Any] = {**program.state_dict, **program.constants}
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    constants = {placeholder: state[name].detach() for placeholder, name in lifted.items()}
    given = calling.inputs or Inputs((NamedInput("input", tuple(samples.shape[1:])),))
    inputs = settled(given, program.graph, signature.user_inputs, constants)
    leaves = (path for path, module in calling.model.named_modules() if path and _is_leaf(module))
    return Captured(
        graph=program.graph,
        constants=constants,
        inputs=dict(zip(signature.user_inputs, inputs, strict=True)),
        leaves=frozenset(map(as_name, leaves)),
    )


def _is_leaf(module: nn.Module) -> bool:
    """Whether a module has no children but those that make its weights, which are constants here."""
    return all(name == "parametrizations" for name, _ in module.named_children())


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    """torch.nn's encoders as they are defined: without the fused fast path, and without looking at a mask's values to see
    whether it is causal (which is a hint for kernels; the mask is added all the same). Python functions of torch that stand for
    a function of the dialect are captured whole, each as an operation of its own, instead of as the operations they are made
    of. ``len(x)`` stays as symbolic as ``x.shape[0]``. torch's own dumps are not for users."""
    changes: list[tuple[Any, str, Any]] = [
        (builtins, "len", _length),
        (transformer, "_detect_is_causal_mask", lambda mask, is_causal=None, size=None: bool(is_causal)),
        # torch takes it apart by its signs before anything can be asked
        (torch.nn.functional, "softshrink", lambda input, lambd=0.5: input - input.clamp(-lambd, lambd)),
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


def _length(held: Any, _plain: Callable[[Any], int] = len, _of_tensors: Any = Tensor.__len__) -> Any:
    """``len`` that leaves a symbolic batch symbolic, which Python's own makes an integer of."""
    if getattr(type(held), "__len__", None) is _of_tensors and held.ndim:
        return held.shape[0]
    return _plain(held)


@functools.cache
def _operation(function: str) -> Callable[[Tensor], Tensor]:
    """An operation of torch that computes an elementwise function of one tensor, for exported graphs."""
    made = torch.library.custom_op(
        f"ecmt_deploy::{function}", lambda x: TORCH[function]({}, x), mutates_args=(), schema="(Tensor x) -> Tensor"
    )
    made.register_fake(torch.empty_like)
    return lambda x: made(x)


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
        parts: list[fx.Node] = []
        fx.map_arg(node.meta.get(PARTS), parts.append)
        finished[node] = [value for value in dict.fromkeys((*node.all_input_nodes, *parts, node)) if value not in seen]
        seen.update(finished[node])
    return finished


def module_path(node: fx.Node) -> str:
    """Path of the module whose code produced ``node``, as a name of nodes; empty for the root."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if isinstance(path, str)]
    root, _, path = paths[-1].partition(".") if paths else ("", "", "")
    return as_name(path) if root == ROOT else ""
