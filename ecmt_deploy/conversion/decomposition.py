"""Operations that no lowering takes are taken apart before they are refused: by our compositions, or as torch itself does.

An operation that is taken apart stays in the graph behind its parts, under its own name, so that the self-check compares the
parts with themselves and the last of them with the operation as the model computes it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, decomposition_table
from torch._guards import detect_fake_mode
from torch.fx.experimental.proxy_tensor import make_fx

from ecmt_deploy.conversion.capture import PARTS, WHY, Captured
from ecmt_deploy.conversion.compositions import composition
from ecmt_deploy.conversion.lowering import steps
from ecmt_deploy.conversion.lowering.builder import Builder, Refusal, exact
from ecmt_deploy.errors import Refused, first_line

#: what tracing does to the constants that it meets
_DETACH = torch.ops.aten.detach_.default
#: of a part: the operation that it was made of, and of one that was taken apart: why, as a record
_MADE_OF, _BECAUSE = "ecmt_made_of", "ecmt_because"


def decomposed(captured: Captured, dtype: torch.dtype) -> Captured:
    """The captured model with every operation taken apart that no lowering takes and whose parts one does.

    Parameters
    ----------
    captured : from :func:`ecmt_deploy.conversion.capture.capture`; it is left as it is
    dtype : floating dtype of the samples; what a lowering takes is the same in both codings

    Returns
    -------
    Captured
        a model in which an operation that is still refused stands whole, so that whoever lists it names what the model calls.
    """
    made = _copied(captured)
    while True:
        refused: dict[fx.Node, Refused] = {}
        for _ in steps(made, _Draft("differential", dtype, made.leaves), refused):
            pass
        done = {node for node in refused if WHY in node.meta}
        if len(done) == len(refused):
            return made
        for node, why in refused.items():
            if node in done:
                continue
            reason = _take_apart(made, node)
            if reason is None:
                node.meta[_BECAUSE] = why
            else:
                done |= _put_together(node, why, reason)


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
    own = composition(node.target)
    function = own or _decomposition(node)
    if function is None or node.target in [each.target for each in _ancestors(node)]:  # or it was met on the way to this part
        return ""
    inputs = node.all_input_nodes
    values = [each.meta["val"] for each in inputs]

    def call(*given: Any) -> Any:
        args, kwargs = fx.map_arg((node.args, node.kwargs), dict(zip(inputs, given, strict=True)).__getitem__)
        return function(*args, **kwargs)

    try:
        with torch.no_grad(), detect_fake_mode(values) or contextlib.nullcontext():
            traced = make_fx(call, pre_dispatch=own is not None)(*values).graph  # ours are made of whole operations
    except Refusal as reason:
        return str(reason)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:  # torch's own code does not take these arguments
        return f"torch does not take it apart: {first_line(error)[:200]}"
    return _insert(captured, node, traced)


def _decomposition(node: fx.Node) -> Callable[..., Any] | None:
    """How torch computes a call from simpler ones; ``None`` where it does not."""
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return None
    if torch._C._dispatch_has_kernel_for_dispatch_key(target.name(), torch._C.DispatchKey.CompositeImplicitAutograd):
        return target  # below autograd it is what it is made of
    found: Callable[..., Any] | None = _core().get(target) or decomposition_table.get(target)
    return found


@functools.cache
def _core() -> Any:
    """Torch's decompositions to the core of ATen; making the table takes a while."""
    return core_aten_decompositions()


def _insert(captured: Captured, node: fx.Node, traced: fx.Graph) -> str | None:
    """Copy a traced graph in front of the operation that it computes."""
    graph, copies, inputs = captured.graph, dict[fx.Node, fx.Node](), iter(node.all_input_nodes)
    for each in traced.nodes:
        mutable = getattr(getattr(each.target, "_schema", None), "is_mutable", False)
        if mutable and each.target is not _DETACH:
            return f"it is made of {each.target}, which changes its operand"
    for each in traced.nodes:
        if each.op == "placeholder":
            copies[each] = next(inputs)
        elif each.op == "get_attr":
            copies[each] = _constant(captured, getattr(traced.owning_module, str(each.target)), each.meta["val"])
        elif each.target is _DETACH:
            copies[each] = copies[each.all_input_nodes[0]]
        elif each.op == "call_function":
            with graph.inserting_before(node):
                copies[each] = graph.node_copy(each, copies.__getitem__)
            copies[each].meta = {
                **{key: node.meta[key] for key in ("nn_module_stack", "stack_trace") if key in node.meta},
                "val": each.meta.get("val"), _MADE_OF: node,
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


def _ancestors(node: fx.Node) -> Iterator[fx.Node]:
    """What a part was made of, what that was made of, and so on to the captured operation."""
    while _MADE_OF in node.meta:
        node = node.meta[_MADE_OF]
        yield node


def _put_together(node: fx.Node, why: Refused, reason: str) -> set[fx.Node]:
    """Let the captured operation stand as it was whose part ``node`` cannot be converted, and say why it cannot; the parts,
    which are gone."""
    told = node
    while told.meta.get(_MADE_OF) and str(told.target).startswith("prims."):  # torch's own, which says nothing to anybody
        told, reason = told.meta[_MADE_OF], ""
        why = told.meta[_BECAUSE]
    whole = [node, *_ancestors(node)][-1]
    if told is not whole:
        reason = f"of its parts {why.operation} {reason or why.reason}"
    whole.meta[WHY] = reason
    whole.meta.pop(PARTS, None)
    graph = whole.graph
    parts = [each for each in graph.nodes if whole in _ancestors(each)]
    for part in reversed(parts):
        graph.erase_node(part)
    return set(parts)
