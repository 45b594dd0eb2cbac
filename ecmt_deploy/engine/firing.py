"""The arithmetic of a multi-threshold neuron: the level that fires follows from the float's exponent, no loop over levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

#: integers of the width of a float, and the bits of its sign and exponent
_BITS = {torch.float64: (torch.int64, -(1 << 52)), torch.float32: (torch.int32, -(1 << 23))}
#: elements of a step that are computed together on a CPU: what is done to them in turn stays in its cache
TILE = 1 << 18


class Levels(NamedTuple):
    """Parameters of a multi-threshold neuron node, as tensors that broadcast to its operand (R rows of the last axis D).

    Attributes
    ----------
    positive, negative : (R or 1, D) bases; ``negative`` is ``None`` where both sides have the same
    least, top : smallest and largest 2^k that may fire; ``least`` (R or 1, D)
    initial : (R or 1, D) membrane before t = 1, or ``None`` for zero
    fraction : c of rule ``nearest``; ``None`` for the published rule
    """

    positive: Tensor
    negative: Tensor | None
    least: Tensor
    top: float
    initial: Tensor | None
    fraction: float | None

    def of_rows(self, rows: slice) -> Levels:
        """Those of some of the rows."""
        return Levels(*(p[rows] if isinstance(p, Tensor) and len(p) > 1 else p for p in self))

    def spikes(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """What a membrane (..., R, D), which is overwritten, sends; and in each row (..., R, 1), how many elements do not."""
        base = self.positive if self.negative is None else torch.where(v >= 0, self.positive, self.negative)
        q = fire_published(v, base) if self.fraction is None else fire_nearest(v, base, self.fraction)
        below = q.clamp_(-self.top, self.top).abs() < self.least
        return q.mul_(base).masked_fill_(below, 0.0), below.sum(dim=-1, keepdim=True, dtype=torch.int32)


def power_of_two_(x: Tensor) -> Tensor:
    """Make ``x`` the power of two at or below ``|x|``, with its sign: its sign and exponent, the mantissa cleared."""
    integer, mask = _BITS[x.dtype]
    return x.view(integer).bitwise_and_(mask).view(x.dtype)


def fire_nearest(v: Tensor, base: Tensor, fraction: float) -> Tensor:
    """The largest 2^k with |v| >= fraction * base * 2^k, with the sign of v, in place of v.

    Exact: 2^k rounds nothing, and a quotient by ``fraction * base`` is rounded to a power of two only where it is one.
    """
    return power_of_two_(v.div_(base * torch.tensor(fraction, dtype=v.dtype, device=v.device)))


def fire_published(v: Tensor, base: Tensor) -> Tensor:
    """The largest 2^k with |v| >= base * 2^k - base / 2, with the sign of v; below the smallest level less than one.

    An estimate by the exponent, corrected by the thresholds beside it.
    """
    size, half = v.abs(), base / 2
    q = power_of_two_((size / base).add_(0.5))
    q = torch.where(size >= (base * (2 * q)).sub_(half), 2 * q, q)
    q = torch.where(size < (base * q).sub_(half), q / 2, q)
    return q.copysign_(v)


class Fired(NamedTuple):
    """What neurons did over a chunk of time.

    Attributes
    ----------
    value : (steps, M, R, D) sums S_t of what was sent so far, or means S_t / t
    sent : (M, R, D) the last sum
    events : (steps, M, R, 1) events of every row
    spikes : (steps, M, R, D) what was sent at each step, where that was asked for
    """

    value: Tensor
    sent: Tensor
    events: Tensor
    spikes: Tensor | None


def fire(u: Tensor, sent: Tensor | None, levels: Levels, times: Sequence[int] | None, steps: int, apart: bool) -> Fired:
    """Multi-threshold neurons over all steps: v_t = X_t - S_{t-1}, with S_t the sum of what was sent.

    Parameters
    ----------
    u : (steps, M, R, D) sums X_t of the operand so far, or (1, M, R, D) where that is the same at every step
    sent : (M, R, D) sum of what was sent before; ``None`` for nothing
    times : t of every step where ``u`` holds means X_t / t and means are wanted; ``None`` for sums
    apart : whether the spikes of every step are wanted by themselves
    """
    _, batch, rows, size = u.shape
    value = u.new_empty(steps, *u.shape[1:])
    last = value[-1] if times is None else u.new_empty(u.shape[1:])
    events = u.new_empty(steps, batch, rows, 1, dtype=torch.int32)
    spikes = torch.empty_like(value) if apart else None
    whole = u.is_cuda or batch * rows * size <= TILE
    samples = batch if whole else max(TILE // (rows * size), 1)
    height = rows if whole or samples * rows * size <= TILE else max(TILE // size, 1)
    for m in range(0, batch, samples):
        for r in range(0, rows, height):
            part = slice(m, m + samples), slice(r, r + height)
            own = levels.of_rows(part[1])
            total = None if sent is None else sent[part]
            for i in range(steps):
                x = u[(i if len(u) > 1 else 0, *part)]
                v = x.clone() if times is None else x * times[i]
                if own.initial is not None:
                    v.add_(own.initial)
                s, silent = own.spikes(v if total is None else v.sub_(total))
                torch.sub(size, silent, out=events[(i, *part)])
                if spikes is not None:
                    spikes[(i, *part)] = s
                slot = value[(i, *part)] if times is None else last[part]
                total = slot.copy_(s) if total is None else torch.add(total, s, out=slot)
                if times is not None:
                    torch.div(total, times[i], out=value[(i, *part)])
    return Fired(value, last, events, spikes)
