"""What each input of a model holds: values, token ids or a mask, as the samples and the captured graph say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, fx

from ecmt_deploy.conversion.operations import operation
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.inputs import MOST_TOKENS, Inputs, NamedInput

#: operations that move ids and leave them what they are
_WIRING = frozenset({
    "alias", "clone", "contiguous", "detach", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "expand",
    "permute", "transpose", "slice", "select", "_to_copy", "to", "type_as", "lift_fresh_copy",
})  # fmt: skip


def inputs_of(arrays: Mapping[str, np.ndarray]) -> Inputs:
    """The inputs that a batch of named arrays (N, ..) is made of, as far as the batch tells: floating point numbers are values,
    booleans a mask, integers of 0 and 1 a mask until the graph says otherwise, others tokens.

    Raises
    ------
    DataError
        if an array is no batch of numbers.
    """
    entries = []
    for name, array in arrays.items():
        if array.ndim == 0 or array.dtype.kind not in "fiub":
            raise DataError(f"{name} is {array.dtype} of shape {array.shape}; expected numbers (N, ..), one row per sample")
        if array.dtype.kind == "f":
            entries.append(NamedInput(name, array.shape[1:]))
        elif array.dtype.kind == "b" or not array.size or (array.min() >= 0 and array.max() <= 1):
            entries.append(NamedInput(name, array.shape[1:], "mask"))
        else:
            entries.append(NamedInput(name, array.shape[1:], "tokens", MOST_TOKENS))
    return Inputs(tuple(entries))


def settled(inputs: Inputs, graph: fx.Graph, placeholders: Sequence[str], constants: Mapping[str, Tensor]) -> Inputs:
    """The same as the captured graph uses them: integers that an embedding takes are tokens, as many as it has rows.

    Parameters
    ----------
    inputs : as of the samples
    graph : the captured graph
    placeholders : its placeholders of the inputs, in their order
    constants : parameters and buffers by placeholder
    """
    entries = {entry.name: entry for entry in inputs}
    origin: dict[fx.Node, str] = {}
    names = dict(zip(placeholders, inputs.names, strict=True))
    for node in graph.nodes:
        if node.op == "placeholder":
            if node.name in names and entries[names[node.name]].holds != "values":
                origin[node] = names[node.name]
            continue
        if node.op != "call_function":
            continue
        name, sources = operation(node), node.all_input_nodes
        boolean = isinstance(value := node.meta.get("val"), torch.Tensor) and value.dtype == torch.bool
        if name in _WIRING and sources and sources[0] in origin and not boolean:
            origin[node] = origin[sources[0]]
        elif name == "embedding" and len(node.args) > 1 and node.args[1] in origin:
            table = constants.get(getattr(node.args[0], "name", ""))
            of = origin[node.args[1]]
            if table is not None:
                entry = entries[of]
                rows = min(len(table), entry.limit or MOST_TOKENS)
                entries[of] = replace(entry, holds="tokens", limit=rows)
    return Inputs(tuple(entries.values()))
