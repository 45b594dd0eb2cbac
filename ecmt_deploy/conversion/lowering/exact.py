"""Operations on exact streams, which follow from tokens, masks and constants alone: comparisons, logic, positions.

One discontinuous function, whether a number lies in an interval, says equality, order and negation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal, same_number
from ecmt_deploy.conversion.lowering.exactness import Exact
from ecmt_deploy.conversion.lowering.nonlinear import ecm
from ecmt_deploy.conversion.lowering.table import HANDLERS, handles
from ecmt_deploy.program import ops

Operand = Activation | Tensor | float | int | bool
#: no stream reaches beyond
MOST = float(np.finfo(np.float32).max)
_SWAPPED = {"eq": "eq", "ne": "ne", "lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


def require_exact(x: Activation, what: str) -> None:
    """Refuse an activation that a small error of a stream could change altogether."""
    if not x.exact:
        raise Refusal(f"{what} an activation that does not follow from tokens and masks alone, and is discontinuous")


def inside(b: Builder, x: Activation, low: float, high: float) -> Activation:
    """1 where ``low <= x <= high``, elsewhere 0."""
    require_exact(x, "compares")
    return replace(ecm(b, x, [x], "inside", low=float(low), high=float(high)), exact=Exact.BITS)


def negated(b: Builder, x: Activation) -> Activation:
    """1 where ``x`` is 0, and 0 elsewhere."""
    return inside(b, x, 0, 0)


def bits(b: Builder, x: Activation) -> Activation:
    """Whether ``x`` is anything but 0."""
    return x if x.exact == Exact.BITS else negated(b, negated(b, x))


@handles("eq", "ne", "lt", "le", "gt", "ge")
def compared(b: Builder, out: Layout, x: Operand, y: Operand, *, op: str) -> Activation:
    if not isinstance(x, Activation):
        x, y, op = y, x, _SWAPPED[op]
    assert isinstance(x, Activation)
    require_exact(x, "compares")
    to = same_number(y)
    if to is None:  # compared with is what differs from element to element
        x, to = _difference(b, out, x, y), 0.0
    x = b.expanded(x, out)
    if x.exact >= Exact.INTEGERS:
        if op in ("lt", "gt"):
            op, to = ("le", ceil(to) - 1.0) if op == "lt" else ("ge", floor(to) + 1.0)
        if x.exact == Exact.BITS and to in (0, 1) and op in ("eq", "ne"):
            return x if (op == "eq") == (to == 1) else negated(b, x)
    intervals = {"eq": (to, to), "le": (-MOST, to), "ge": (to, MOST)}
    if op in intervals:
        return inside(b, x, *intervals[op])
    return negated(b, inside(b, x, *intervals[{"ne": "eq", "lt": "ge", "gt": "le"}[op]]))


def _difference(b: Builder, out: Layout, x: Activation, y: Operand) -> Activation:
    found: Activation = HANDLERS["sub"](b, out, x, y, 1)
    require_exact(found, "compares")
    return found


@handles("logical_not", "bitwise_not")
def logical_not(b: Builder, out: Layout, x: Operand, *, op: str = "logical_not") -> Any:
    if not isinstance(x, Activation):
        return torch.logical_not(torch.as_tensor(x))
    _require_bits(x, op)
    return negated(b, x)


@handles("__and__", "bitwise_and", "logical_and", "__iand__")
def logical_and(b: Builder, out: Layout, x: Operand, y: Operand, *, op: str) -> Activation:
    xs = _both(b, out, x, y, op)
    activation = next(x for x in xs if isinstance(x, Activation))
    other = xs[1] if activation is xs[0] else xs[0]
    if isinstance(other, Tensor) and bool(other.all()):
        return b.expanded(activation, out)
    return replace(HANDLERS["mul"](b, out, *xs), exact=Exact.BITS)


@handles("__or__", "bitwise_or", "logical_or", "__ior__", "__xor__", "bitwise_xor", "logical_xor")
def logical_or(b: Builder, out: Layout, x: Operand, y: Operand, *, op: str) -> Activation:
    total = HANDLERS["add"](b, out, *_both(b, out, x, y, op), 1)
    return inside(b, total, 1, 1 if "xor" in op else 2)


def _both(b: Builder, out: Layout, x: Operand, y: Operand, op: str) -> list[Any]:
    """The operands of a logical operation as bits."""
    found: list[Any] = []
    for value in (x, y):
        if isinstance(value, Activation):
            _require_bits(value, op)
            found.append(bits(b, value))
        else:
            found.append(torch.as_tensor(value).bool() if op.startswith("logical") else torch.as_tensor(value))
            if found[-1].dtype != torch.bool:
                raise Refusal("works on the bits of integers")
    return found


def _require_bits(x: Activation, op: str) -> None:
    require_exact(x, "decides by")
    if not op.startswith("logical") and x.exact != Exact.BITS:
        raise Refusal("works on the bits of integers")


@handles("_to_copy", "to")
def cast(b: Builder, out: Layout, x: Activation, dtype: Any = None, *args: Any) -> Activation:
    """Another dtype: to a floating one, and from integers, nothing changes."""
    if not isinstance(dtype, torch.dtype) or dtype.is_floating_point:
        return x
    if dtype == torch.bool:
        return bits(b, x)
    if x.exact < Exact.INTEGERS:
        raise Refusal("rounds an activation to integers")
    return x


@handles("cumsum")
def cumsum(b: Builder, out: Layout, x: Activation, dim: int, *args: Any) -> Activation:
    total = ecm(b, out, [x], "cumulative_sum", axis=x.axis(dim))
    return replace(total, exact=min(x.exact, Exact.INTEGERS))


def summed(b: Builder, out: Layout, x: Activation, axes: Sequence[int]) -> Activation:
    """The sum of an exact stream over axes of the sample: integers stay integers."""
    for axis in axes:
        total = replace(ecm(b, x, [x], "cumulative_sum", axis=axis), exact=min(x.exact, Exact.INTEGERS))
        last = ops.Slice(axis, x.shape[axis] - 1, x.shape[axis], 1)
        x = b.emit(last, [total], b.name("slice"), x.with_axes(axis, 1))
    return b.reshaped(x, out)


@handles("any", "all")
def any_or_all(b: Builder, out: Layout, x: Activation, dim: Any = None, keepdim: bool = False, *, op: str) -> Activation:
    if dim is None:
        raise Refusal("reduces over every axis, the batch among them")
    require_exact(x, "decides by")
    axes = [x.axis(d) for d in ([dim] if isinstance(dim, int) else dim)]
    size = int(np.prod([x.shape[axis] for axis in axes]))
    return inside(b, summed(b, out, bits(b, x), axes), *((1, MOST) if op == "any" else (size, size)))


@handles("argmax")
def argmax(b: Builder, out: Layout, x: Activation, dim: int | None = None, keepdim: bool = False) -> Activation:
    if dim is None:
        raise Refusal("searches all axes, the batch among them")
    require_exact(x, "finds the maximum of")
    axis = x.axis(dim)
    found = ecm(b, x.with_axes(axis, 1), [x], "argmax", axis=axis)
    return b.reshaped(replace(found, exact=Exact.INTEGERS), out)
