"""Op graph to analog program, by kinds of operation.

Every operation is constant (nothing in it depends on the input's values; folded), wiring, linear in the activation,
nonlinear, or a product of two activations. Nothing here knows a model by name. The program is per sample: the captured graph
has a symbolic batch s, which is set to 1 and whose axis is dropped where its size is exactly s.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.node import map_aggregate

from ecmt_deploy.conversion.capture import PARTS, WHY, Captured, arguments, evaluate, last_uses, module_path
from ecmt_deploy.conversion.lowering import masks, nonlinear
from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.masks import Masked
from ecmt_deploy.conversion.lowering.table import HANDLERS, SHAPE_ONLY, SPLITS
from ecmt_deploy.conversion.operations import operation
from ecmt_deploy.conversion.refusals import capture_error, code_place
from ecmt_deploy.errors import CaptureError, Refused
from ecmt_deploy.program import Program, Provenance, ops, verify
from ecmt_deploy.program.graph import edges, reconnect

for _module in iter_modules(__path__):  # each fills the table of operations
    import_module(f"{__name__}.{_module.name}")


#: why an operation that nobody wrote a lowering of is refused
UNKNOWN = "is not in the table of operations"


@dataclass(frozen=True)
class Lowered:
    """An analog program whose neurons have no bases yet.

    Attributes
    ----------
    program : the program; run it with identity neurons. Its arrays are its own: the model may change afterwards
    channel_axes : by neuron, the axis of its operand along which its bases may differ, ``None`` where they may not
    traces : for every captured operation, the node that computes it and the position of the batch axis (or ``None``)
    placed : operands of every node that was placed on the way, also of those that the program does not need
    """

    program: Program
    channel_axes: dict[str, int | None]
    traces: dict[str, Activation]
    placed: dict[str, tuple[str, ...]]


class _Poison:
    """Value of an operation that could not be lowered and for which nothing can stand in; whatever takes it is skipped, so that
    every culprit is listed once."""


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
    program = verify(builder.nodes, edges(builder.operands), provenance)
    return Lowered(program, {name: builder.channel_axes[name] for name in program.neurons}, traces, placed)


def steps(captured: Captured, builder: Builder, refused: dict[fx.Node, Refused] | None = None) -> Iterator[tuple[fx.Node, Any]]:
    """Lower node after node of the captured graph into ``builder``; yields each with its value.

    ``refused`` takes the operations that cannot be lowered, where the caller wants them instead of the error.

    A value is an activation, a constant, or a list of them. Constants are converted to the builder's dtype where they are
    used, and no value is kept longer than the graph needs it, so that little more is in memory than what ``builder`` keeps.

    Raises
    ------
    CaptureError
        once all nodes are tried, listing every operation outside the table with the path of its module.
    """
    values: dict[fx.Node, Any] = {}
    raises, refused = refused is None, {} if refused is None else refused
    finished = last_uses(captured.graph)
    for node in captured.graph.nodes:
        builder.path = module_path(node)
        if node.op == "output":
            if refused and raises:
                raise capture_error(list(refused.values()))
            ((result,),) = node.args
            values[node] = values[result]
        elif PARTS in node.meta:
            values[node] = fx.map_arg(node.meta[PARTS], values.__getitem__)
        elif node.op != "placeholder":
            values[node] = _lower_call(builder, node, values, refused)
        elif node.name in captured.inputs:
            values[node] = builder.input(_layout(node.meta["val"]), captured.inputs[node.name])
        else:
            values[node] = captured.constants[node.name]
        yield node, values[node]
        for name in finished[node]:
            del values[name]


def _lower_call(builder: Builder, node: fx.Node, values: dict[fx.Node, Any], refused: dict[fx.Node, Refused]) -> Any:
    """Value of one call: an activation, a constant, a list of them, or poison."""
    meta: Any = node.meta.get("val")
    if isinstance(meta, torch.SymInt | int):
        return _at_one(meta)
    args, kwargs = arguments(node, values, builder.dtype)
    if node.target is operator.getitem and not isinstance(args[0], _Poison):
        results, index = args
        if index < len(results):
            return results[index]
        call: Any = node.args[0]
        reason = f"its result {index} is used (of a maximum, the indices), but only the first is converted"
        refused[node] = Refused(operation(call), builder.path, code_place(call), reason)
        return _Poison()
    operands: list[Any] = []
    map_aggregate((args, kwargs), operands.append)
    if any(isinstance(v, _Poison) for v in operands):
        return _Poison()
    name = operation(node)
    if name.startswith(("_assert", "sym_constrain")):
        return None
    try:
        # what has no elements depends on nothing
        empty = isinstance(meta, Tensor) and any(isinstance(size, int) and size == 0 for size in meta.shape)
        if empty or name in SHAPE_ONLY or not any(isinstance(v, Activation | Masked) for v in operands):
            return _fold(node, args, kwargs, builder.dtype)
        return _handled(builder, node, args, kwargs)
    except (Refusal, TypeError, ValueError, KeyError, IndexError) as error:
        reason = "; ".join(filter(None, (" ".join(str(error).split()), node.meta.get(WHY))))
        refused[node] = Refused(name, builder.path, code_place(node), reason)
    return _stand_in(builder, meta)


def _stand_in(builder: Builder, meta: Any) -> Any:
    """What stands for the value of an operation that is refused, so that those after it are tried too: a stream of its shape
    that says nothing. Poison for what is no stream, such as indices: what takes them would only be refused because of them."""
    if isinstance(meta, list | tuple):
        return [_stand_in(builder, value) for value in meta]
    try:
        layout = _layout(meta) if isinstance(meta, Tensor) and meta.is_floating_point() else None
    except (Refusal, TypeError):  # a size that depends on values, too
        layout = None
    if layout is None:
        return _Poison()
    nothing = np.broadcast_to(builder.array(0.0), layout.shape)
    return builder.constant(nothing, builder.name("refused"), layout)


def _handled(builder: Builder, node: fx.Node, args: Any, kwargs: Any) -> Any:
    """Value of a call that depends on the input, by the table of operations."""
    meta: Any = node.meta["val"]
    name = operation(node)
    handler = HANDLERS.get(name)
    if handler is not None:
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        given = dict(zip((argument.name for argument in schema), args, strict=False)) | kwargs
        args, kwargs = [given.get(argument.name, argument.default_value) for argument in schema], {}
    else:
        handler = nonlinear.plain(name)
    if handler is None:
        raise Refusal(UNKNOWN)
    if any(isinstance(value, Masked) for value in args):
        return masks.handled(builder, name, _layout(meta[0] if isinstance(meta, list | tuple) else meta), args)
    if not isinstance(meta, list | tuple):
        return handler(builder, _layout(meta), *args, **kwargs)
    layouts = [_layout(value) for value in meta]
    return handler(builder, layouts, *args) if name in SPLITS else [handler(builder, layouts[0], *args, **kwargs)]


def _fold(node: fx.Node, args: Any, kwargs: Any, dtype: torch.dtype) -> Any:
    """Evaluate a constant operation, with a batch of one and zeros where only an activation's shape matters."""

    def concrete(value: Any) -> Any:
        return torch.zeros(value.full_shape, dtype=dtype) if isinstance(value, Activation | Masked) else value

    given: Any = map_aggregate((args, kwargs), concrete)
    value = evaluate(node, *given)
    return list(value) if isinstance(value, tuple) else value


def _at_one(size: Any) -> int:
    """A size with the symbolic batch set to 1."""
    if isinstance(size, torch.SymInt):
        expression = size.node.expr
        return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))
    return int(size)


def _layout(value: Any) -> Layout:
    """Take a symbolic shape apart: the axis of size exactly s is the batch axis and is dropped; k s stays k."""
    tied = [i for i, size in enumerate(value.shape) if isinstance(size, torch.SymInt) and size.node.expr.free_symbols]
    if len(tied) > 1:
        raise Refusal(f"has shape {tuple(value.shape)}, in which the batch appears {len(tied)} times")
    batch = next((i for i in tied if value.shape[i].node.expr.is_Symbol), None)
    return Layout(tuple(_at_one(size) for i, size in enumerate(value.shape) if i != batch), batch, frozenset(tied))


def _drop_readout_neurons(builder: Builder) -> None:
    """Pass by neurons from which no further neuron, ECM or product is reached: the last linear layer's operand is analog."""
    reaching: set[str] = set()
    for name, sources in reversed(builder.operands.items()):
        if name in reaching or builder.nodes[name].role in ("neuron", "function", "product"):
            reaching.update(sources)
    for name in [name for name in builder.channel_axes if name not in reaching]:
        reconnect(builder.nodes, builder.operands, name, *builder.operands[name])


def _drop_unused(builder: Builder) -> None:
    """Remove nodes whose stream nobody takes (parts of a split that the model ignores)."""
    needed, stack = set(), ["output"]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack.extend(builder.operands[name])
    if not any(builder.nodes[name].role == "input" for name in needed):
        raise CaptureError("the model's output does not depend on its input; there is nothing to convert")
    for name in [name for name, node in builder.nodes.items() if node.role == "input" and name not in needed]:
        raise CaptureError(f"the model's output does not depend on its input {name}; leave it out of the calibration samples")
    for name in [name for name in builder.nodes if name not in needed]:
        for table in (builder.nodes, builder.operands, builder.channel_axes):
            table.pop(name, None)
