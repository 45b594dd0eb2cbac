"""Op graph to analog program, by kinds of operation.

Every operation is constant (nothing in it depends on the input's values; folded), wiring, linear in the activation,
nonlinear, or a product of two activations. Nothing here knows a model by name. The program is per sample: the captured graph
has a symbolic batch s, which is set to 1 and whose axis is dropped where its size is exactly s.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from ecmt_deploy.conversion.capture import Captured, constant_in, evaluate, last_uses, module_path
from ecmt_deploy.conversion.lowering import attention, linear, nonlinear, wiring  # noqa: F401 - they fill the table
from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal, Site
from ecmt_deploy.conversion.lowering.table import HANDLERS, SHAPE_ONLY, operation, wants_name
from ecmt_deploy.errors import CaptureError
from ecmt_deploy.program import Program, Provenance, ops, verify


@dataclass(frozen=True)
class Lowered:
    """An analog program whose neurons have no bases yet.

    Attributes
    ----------
    program : the program; run it with identity neurons. Its arrays are its own: the model may change afterwards
    sites : place of every neuron, by name
    traces : for every captured operation, the node that computes it and the position of the batch axis (or ``None``)
    placed : operands of every node that was placed on the way, also of those that the program does not need
    """

    program: Program
    sites: dict[str, Site]
    traces: dict[str, Activation]
    placed: dict[str, tuple[str, ...]]


class _Poison:
    """Value of an operation that could not be lowered; whatever takes it is skipped, so that every culprit is listed once."""


def lower(captured: Captured, coding: str, dtype: torch.dtype, provenance: Provenance, analog_readout_layer: bool) -> Lowered:
    """Lower a captured model.

    Parameters
    ----------
    captured : from :func:`ecmt_deploy.conversion.capture.capture`
    coding : ``rate`` or ``differential``
    dtype : floating dtype of the program's parameters
    provenance : kept with the program
    analog_readout_layer : leave out the neuron of linear layers from which no nonlinearity is reached

    Raises
    ------
    CaptureError
        listing every operation outside the table with the path of its module.
    """
    builder = Builder(coding, dtype, captured.leaves)
    traces: dict[str, Activation] = {}
    final: Any = None
    for node, final in steps(captured, builder):
        if isinstance(final, Activation) and node.op != "output":
            traces[node.name] = final
    if not isinstance(final, Activation) or final.batch is None:
        raise CaptureError("the model's output does not depend on its input, sample by sample; there is nothing to convert")
    builder.path = ""
    final = builder.settled(final)
    builder._place("readout", ops.Readout(coding), (final.name,))
    builder._place("output", ops.Output(output_type={"output": np.array(final.shape)}), ("readout",))
    placed = dict(builder.operands)
    if analog_readout_layer:
        _drop_readout_neurons(builder)
    _drop_unused(builder)
    edges = [(source, name) for name, sources in builder.operands.items() for source in set(sources)]
    program = verify(builder.nodes, edges, provenance)
    return Lowered(program, {name: builder.sites[name] for name in program.neurons}, traces, placed)


def steps(captured: Captured, builder: Builder) -> Iterator[tuple[fx.Node, Any]]:
    """Lower node after node of the captured graph into ``builder``; yields each with its value.

    A value is an activation, a constant, or a list of them. Constants are converted to the builder's dtype where they are
    used, and no value is kept longer than the graph needs it, so that little more is in memory than what ``builder`` keeps.

    Raises
    ------
    CaptureError
        once all nodes are tried, listing every operation outside the table with the path of its module.
    """
    values: dict[fx.Node, Any] = {}
    refused: list[str] = []
    finished = last_uses(captured.graph)
    for node in captured.graph.nodes:
        builder.path = module_path(node)
        if node.op == "output":
            if refused:
                raise CaptureError(f"{len(refused)} operations cannot be converted: {'; '.join(refused)}")
            ((result,),) = node.args
            values[node] = values[result]
        elif node.op != "placeholder":
            values[node] = _lower_call(builder, node, values, refused)
        elif node.name == captured.input_name:
            values[node] = builder.input(_layout(node.meta["val"]))
        else:
            values[node] = captured.constants[node.name]
        yield node, values[node]
        for name in finished[node]:
            del values[name]


def _lower_call(builder: Builder, node: fx.Node, values: dict[fx.Node, Any], refused: list[str]) -> Any:
    """Value of one call: an activation, a constant, a list of them, or poison."""
    meta: Any = node.meta.get("val")
    if isinstance(meta, torch.SymInt | int):
        return _at_one(meta)
    args: Any = fx.map_arg(node.args, lambda a: constant_in(values[a], builder.dtype))
    kwargs: Any = fx.map_arg(node.kwargs, lambda a: constant_in(values[a], builder.dtype))
    operands = _flatten([*args, *kwargs.values()])
    if any(isinstance(v, _Poison) for v in operands):
        return _Poison()
    name = operation(node)
    if node.target is operator.getitem:
        return args[0][args[1]]
    if name.startswith(("_assert", "sym_constrain")):
        return None
    try:
        if name in SHAPE_ONLY or not any(isinstance(v, Activation) for v in operands):
            return _fold(node, args, kwargs, builder.dtype)
        handler = HANDLERS.get(name) or nonlinear.plain(name)
        if handler is None:
            raise Refusal("is not in the table of operations")
        if wants_name(handler):
            kwargs = {**kwargs, "op": name}
        layout = [_layout(v) for v in meta] if isinstance(meta, list | tuple) else _layout(meta)
        return handler(builder, layout, *args, **_without_formats(kwargs))
    except Refusal as refusal:
        refused.append(f"{name} in {builder.path or 'the model itself'}: {refusal}")
    except (TypeError, ValueError, KeyError, IndexError) as error:
        refused.append(f"{name} in {builder.path or 'the model itself'}: {' '.join(str(error).split())}")
    return _Poison()


def _without_formats(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Options that say where and how a tensor lies in memory mean nothing to a program."""
    return {k: v for k, v in kwargs.items() if k not in ("memory_format", "dtype", "device", "layout", "pin_memory", "copy")}


def _fold(node: fx.Node, args: Any, kwargs: Any, dtype: torch.dtype) -> Any:
    """Evaluate a constant operation, with a batch of one and zeros where only an activation's shape matters."""

    def concrete(value: Any) -> Any:
        if isinstance(value, Activation):
            return torch.zeros(value.full_shape, dtype=dtype)
        if isinstance(value, list | tuple):
            return type(value)(concrete(v) for v in value)
        return value

    value = evaluate(node, concrete(tuple(args)), {k: concrete(v) for k, v in kwargs.items()}, dtype)
    return list(value) if isinstance(value, tuple) else value


def _flatten(values: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        flat.extend(_flatten(list(value)) if isinstance(value, list | tuple) else [value])
    return flat


def _at_one(size: Any) -> int:
    """A size with the symbolic batch set to 1."""
    if isinstance(size, torch.SymInt):
        expression = size.node.expr
        return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))
    return int(size)


def _layout(value: Any) -> Layout:
    """Take a symbolic shape apart: the axis of size exactly s is the batch axis and is dropped; k s stays k."""
    tied = [i for i, size in enumerate(value.shape) if isinstance(size, torch.SymInt) and size.node.expr.free_symbols]
    exact = [i for i in tied if value.shape[i].node.expr.is_Symbol]
    if len(exact) > 1 or len(tied) > 1:
        raise Refusal(f"has shape {tuple(value.shape)}, in which the batch appears {len(tied)} times")
    sizes = [_at_one(size) for size in value.shape]
    batch = exact[0] if exact else None
    if batch is not None:
        del sizes[batch]
    return Layout(tuple(sizes), batch, frozenset(tied))


def _drop_readout_neurons(builder: Builder) -> None:
    """Bypass neurons from which no further neuron, ECM or product is reached: the last linear layer's operand is analog."""
    stops = ("neuron", "function", "product")
    consumers: dict[str, list[str]] = {name: [] for name in builder.nodes}
    for name, sources in builder.operands.items():
        for source in sources:
            consumers[source].append(name)

    def reaches(name: str) -> bool:
        return any(builder.nodes[c].role in stops or reaches(c) for c in consumers[name])

    for name in [name for name, node in builder.nodes.items() if node.role == "neuron" and not reaches(name)]:
        (source,) = builder.operands[name]
        for consumer in consumers[name]:
            builder.operands[consumer] = tuple(source if s == name else s for s in builder.operands[consumer])
            node = builder.nodes[consumer]
            if node.arity is None:
                node.operands = builder.operands[consumer]
        for table in (builder.nodes, builder.operands, builder.sites):
            table.pop(name)


def _drop_unused(builder: Builder) -> None:
    """Remove nodes whose stream nobody takes (parts of a split that the model ignores)."""
    needed, stack = set(), ["output"]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack.extend(builder.operands[name])
    if "input" not in needed:
        raise CaptureError("the model's output does not depend on its input; there is nothing to convert")
    for name in [name for name in builder.nodes if name not in needed]:
        for table in (builder.nodes, builder.operands, builder.sites):
            table.pop(name, None)
