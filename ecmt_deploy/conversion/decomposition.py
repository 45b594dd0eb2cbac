"""Operations that no lowering takes are taken apart before they are refused: by our compositions, or as torch itself does.

An operation that is taken apart stays in the graph behind its parts, under its own name, so that the self-check compares the
parts with themselves and the last of them with the operation as the model computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, decomposition_table
from torch._guards import detect_fake_mode
from torch.fx.experimental.proxy_tensor import make_fx

from ecmt_deploy.conversion.capture import PARTS, WHY, Captured
from ecmt_deploy.conversion.compositions import composition
from ecmt_deploy.conversion.lowering import UNKNOWN, steps
from ecmt_deploy.conversion.lowering.builder import Builder, Refusal, exact
from ecmt_deploy.errors import Refused

#: of a part: the captured operation that it is a part of, and the one that it was made of when that was taken apart
_OF, _MADE_OF = "ecmt_whole", "ecmt_made_of"


def decomposed(captured: Captured, coding: str, dtype: torch.dtype) -> Captured:
    """The captured model with every operation taken apart that no lowering takes and whose parts one does.

    Parameters
    ----------
    captured : from :func:`ecmt_deploy.conversion.capture.capture`; it is left as it is
    coding, dtype : what it is to be lowered for

    Returns
    -------
    Captured
        a model in which an operation that is still refused stands whole, so that whoever lists it names what the model calls.
    """
    made = _copied(captured)
    while True:
        refused: dict[fx.Node, Refused] = {}
        for _ in steps(made, _Draft(coding, dtype, made.leaves), refused):
            pass
        changed = False
        for node, why in refused.items():
            if WHY in node.meta or node.graph is not made.graph:  # it stays, or went with the whole whose part it was
                continue
            reason = _take_apart(made, node)
            if reason is not None:
                _put_together(node, why, reason)
            changed = True
        if not changed:
            return made


class _Draft(Builder):
    """Builds a program that nobody runs: its arrays are the model's own."""

    def array(self, value: Any) -> Any:
        return exact(value).detach().to(self.dtype).contiguous().numpy()


def _copied(captured: Captured) -> Captured:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(captured.graph, copies))
    return replace(captured, graph=graph, constants=dict(captured.constants))


def _take_apart(captured: Captured, node: fx.Node) -> str | None:
    """Put the parts of an operation before it; why that is not possible, empty where nobody knows any."""
    function = _decomposition(node)
    if function is None:
        return ""
    inputs = node.all_input_nodes
    values = [each.meta["val"] for each in inputs]

    def call(*given: Any) -> Any:
        args, kwargs = fx.map_arg((node.args, node.kwargs), dict(zip(inputs, given, strict=True)).__getitem__)
        return function(*args, **kwargs)

    mode = detect_fake_mode(values)
    try:
        with torch.no_grad(), mode:
            traced = make_fx(torch.func.functionalize(call, remove="mutations"))(*values).graph
    except Refusal as reason:
        return str(reason)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:  # torch's own code does not take these arguments
        return f"torch does not take it apart: {' '.join(str(error).split())[:200]}"
    return _insert(captured, node, traced)


def _decomposition(node: fx.Node) -> Callable[..., Any] | None:
    """What computes a call from simpler ones; ``None`` where nothing does, or where it was met on the way to this part."""
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload) or target in node.meta.get(_MADE_OF, ()):
        return None
    own = composition(target)
    if own is not None:
        return own
    if torch._C._dispatch_has_kernel_for_dispatch_key(target.name(), torch._C.DispatchKey.CompositeImplicitAutograd):
        return target  # below autograd it is what it is made of
    found: Callable[..., Any] | None = core_aten_decompositions().get(target) or decomposition_table.get(target)
    return found


def _insert(captured: Captured, node: fx.Node, traced: fx.Graph) -> str | None:
    """Copy a traced graph in front of the operation that it computes."""
    graph, copies, inputs = captured.graph, dict[fx.Node, fx.Node](), iter(node.all_input_nodes)
    for each in traced.nodes:
        if each.op == "call_function" and getattr(getattr(each.target, "_schema", None), "is_mutable", False):
            return f"it is made of {each.target}, which changes its operand"
    for each in traced.nodes:
        if each.op == "placeholder":
            copies[each] = next(inputs)
        elif each.op == "get_attr":
            copies[each] = _constant(captured, getattr(traced.owning_module, str(each.target)), each.meta["val"])
        elif each.op == "call_function":
            with graph.inserting_before(node):
                copies[each] = graph.node_copy(each, copies.__getitem__)
            copies[each].meta = {
                **{key: node.meta[key] for key in ("nn_module_stack", "stack_trace") if key in node.meta},
                "val": each.meta.get("val"), _OF: node.meta.get(_OF, node),
                _MADE_OF: (*node.meta.get(_MADE_OF, ()), node.target),
            }  # fmt: skip
        else:
            node.meta[PARTS] = fx.map_arg(each.args[0], copies.__getitem__)
    return None


def _constant(captured: Captured, value: Tensor, fake: Any) -> fx.Node:
    """A tensor that a decomposition makes, as one more constant of the model."""
    first = next(iter(captured.graph.nodes))
    with captured.graph.inserting_before(first):
        node = captured.graph.placeholder("lifted")
    node.meta["val"] = fake
    captured.constants[node.name] = value
    return node


def _put_together(node: fx.Node, why: Refused, reason: str) -> None:
    """Let the captured operation stand as it was whose part ``node`` cannot be converted, and say why it cannot."""
    whole = node.meta.get(_OF, node)
    if whole is not node:
        reason = reason or ("" if why.reason == UNKNOWN else f"of its parts {why.operation} {why.reason}")
    whole.meta[WHY] = reason
    whole.meta.pop(PARTS, None)
    graph = whole.graph
    for part in reversed([each for each in graph.nodes if each.meta.get(_OF) is whole]):
        graph.erase_node(part)
