"""The table of operations: which ATen operation is lowered by which function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

#: lowering functions by the ATen operation's name without overload
HANDLERS: dict[str, Callable[..., Any]] = {}

#: operations whose value does not depend on the values of their operand, only on its shape
SHAPE_ONLY = frozenset({
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty",
    "sym_size", "sym_numel", "sym_stride",
})  # fmt: skip

#: operations of which every result is lowered; of any other only the first is, and statistics that come with it are left out
SPLITS = frozenset({"split", "split_with_sizes", "chunk", "tensor_split", "unbind"})


def handles(*operations: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a lowering function. It is called as ``function(builder, out_layout, *arguments)`` with every argument of the
    operation's schema in order; one that takes ``op`` is told the operation's name."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        named = "op" in inspect.signature(function).parameters
        HANDLERS.update({op: partial(function, op=op) if named else function for op in operations})
        return function

    return register
