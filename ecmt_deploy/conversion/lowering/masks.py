"""Masks of a softmax: what is added to scores so that nothing is left of some.

A mask enters the softmax as an operand of its own, of ones and zeros. Until it gets there, what holds minus infinity, or what
models write for it (the smallest number there is), is no stream: multiples of such a number overflow, and differences of
infinities are no numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.exactness import Exact
from ecmt_deploy.conversion.lowering.nonlinear import ecm
from ecmt_deploy.conversion.lowering.table import HANDLERS

#: a finite number below this is meant as minus infinity: single precision has neither its sum with a score nor its multiples
FILL = -1e30
_SAME = frozenset({"alias", "clone", "contiguous", "detach", "_to_copy", "to", "dropout", "type_as", "lift_fresh_copy"})
_WIRING = frozenset({
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "permute", "transpose",
    "slice", "select", "repeat", "broadcast_to", "movedim",
})  # fmt: skip


@dataclass(frozen=True)
class Masked(Layout):
    """Scores of which some count for nothing.

    Attributes
    ----------
    base : the scores; ``None`` where they are zero
    allowed : 1 where a score counts, 0 where it does not; it broadcasts to the scores
    uniform : whether a row in which nothing counts is that of equal scores, because it is filled with a finite number, and not
        nothing
    """

    base: Activation | None
    allowed: Activation
    uniform: bool


def is_fill(value: Any) -> bool:
    """Whether a constant stands for minus infinity everywhere."""
    if isinstance(value, Activation | Masked) or not isinstance(value, Tensor | int | float):
        return False
    return bool((torch.as_tensor(value) <= FILL).all())


def masked(b: Builder, out: Layout, base: Activation | Tensor | float, allowed: Activation | Tensor, fill: Any) -> Masked:
    """``base`` where ``allowed``, and ``fill`` elsewhere."""
    if isinstance(allowed, Tensor):
        ones = np.ascontiguousarray(b.sample_array(allowed, out)).astype(b.array(0.0).dtype)
        allowed = b.constant(ones, b.name("allowed"), out, raw=True)
    if allowed.exact != Exact.BITS:
        raise Refusal("masks by what depends on more than tokens and masks")
    finite = bool(torch.isfinite(torch.as_tensor(fill)).all())
    return Masked(out.shape, out.batch, out.tied, _base(b, out, base), allowed, finite)


def _base(b: Builder, out: Layout, base: Any) -> Activation | None:
    if isinstance(base, Activation):
        return base
    values = np.broadcast_to(b.sample_array(base, out), out.shape)
    return b.constant(values, b.name("constant"), out) if values.any() else None


def split(b: Builder, out: Layout, constant: Any) -> Masked | None:
    """A constant in which some entries are finite and mean minus infinity, as a mask; ``None`` for any other."""
    value = torch.as_tensor(constant)
    fills = (value <= FILL) & value.isfinite()
    if not fills.any():
        return None
    return masked(b, out, value.masked_fill(fills, 0), ~fills, FILL)


def added(b: Builder, out: Layout, x: Any, y: Any) -> Masked:
    """A sum of which one term or both are masked."""
    terms = [t for t in (x, y) if isinstance(t, Masked)]
    first = terms[0]
    other: Any = y if first is x else x
    rest, allowed, uniform = other, first.allowed, first.uniform
    if isinstance(other, Masked):
        both = [b.expanded(m.allowed, out) for m in (first, other)]
        allowed = both_allowed(b, out, *both)
        rest, uniform = other.base, first.uniform and other.uniform
    if first.base is None:
        base = None if rest is None else _base(b, out, rest)
        base = None if base is None else b.expanded(base, out)
    else:
        base = first.base if rest is None else HANDLERS["add"](b, out, first.base, rest, 1)
    return Masked(out.shape, out.batch, out.tied, base, allowed, uniform)


def both_allowed(b: Builder, out: Layout, x: Activation, y: Activation) -> Activation:
    """Where two masks agree that something counts."""
    return replace(HANDLERS["mul"](b, out, x, y), exact=Exact.BITS)


def softmax(b: Builder, out: Layout, x: Masked, axis: int) -> Activation:
    """The weights of masked scores."""
    if x.base is None:
        raise Refusal("is a softmax of a mask alone")
    empty = 1 / out.shape[axis] if x.uniform else 0.0
    return ecm(b, out, [b.expanded(x.base, out), x.allowed], "masked_softmax", axis=axis, empty=float(empty))


def rewired(b: Builder, op: str, out: Layout, x: Masked, args: Sequence[Any]) -> Masked:
    """The same after an operation that moves values."""
    if op in _SAME:
        return x
    whole = x.allowed if len(x.allowed.shape) == len(x.shape) == len(out.shape) and op == "expand" else b.expanded(x.allowed, x)
    allowed = HANDLERS[op](b, out, whole, *args)
    base = None if x.base is None else HANDLERS[op](b, out, b.expanded(x.base, x), *args)
    return Masked(out.shape, out.batch, out.tied, base, replace(allowed, exact=Exact.BITS), x.uniform)


def handled(b: Builder, op: str, out: Layout, args: Sequence[Any]) -> Any:
    """What an operation makes of masked scores."""
    first, *rest = args
    if isinstance(first, Masked):
        if op in _SAME or op in _WIRING:
            return rewired(b, op, out, first, rest)
        if op in ("softmax", "_softmax", "_safe_softmax"):
            return softmax(b, out, first, first.axis(rest[0]))
        if op in ("mul", "div") and isinstance(rest[0], int | float) and rest[0] > 0 and first.base is not None:
            return replace(first, base=HANDLERS[op](b, out, first.base, *rest))
        if op == "masked_fill" and is_fill(rest[1]):
            return added(b, out, first, masked(b, out, 0.0, HANDLERS["logical_not"](b, out, rest[0]), rest[1]))
    if op in ("add", "add_") and args[2] == 1:
        return added(b, out, args[0], args[1])
    if op == "scaled_dot_product_attention":
        return HANDLERS[op](b, out, *args)
    raise Refusal("takes a mask of minus infinity, which may only be added to scores and end in a softmax")
