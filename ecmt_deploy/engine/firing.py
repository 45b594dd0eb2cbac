"""The arithmetic of a multi-threshold neuron: the level that fires follows from the float's exponent, no loop over levels."""

from __future__ import annotations

import torch
from torch import Tensor

#: integers of the width of a float, and the bits of its sign and exponent
_BITS = {
    torch.float64: (torch.int64, -(1 << 52)),
    torch.float32: (torch.int32, -(1 << 23)),
    torch.bfloat16: (torch.int16, -(1 << 7)),
    torch.float16: (torch.int16, -(1 << 10)),
}


def power_of_two(x: Tensor) -> Tensor:
    """The power of two at or below ``|x|``, with the sign of ``x``: its sign and exponent, the mantissa cleared."""
    integer, mask = _BITS[x.dtype]
    return (x.view(integer) & mask).view(x.dtype)


def fire_nearest(v: Tensor, base: Tensor, fraction: float) -> Tensor:
    """The largest 2^k with |v| >= fraction * base * 2^k, with the sign of v.

    Exact: 2^k rounds nothing, and a quotient by ``fraction * base`` is rounded to a power of two only where it is one.
    """
    return power_of_two(v / (base * torch.tensor(fraction, dtype=v.dtype, device=v.device)))


def fire_published(v: Tensor, base: Tensor) -> Tensor:
    """The largest 2^k with |v| >= base * 2^k - base / 2, with the sign of v; below the smallest level less than one.

    An estimate by the exponent, corrected by the thresholds beside it.
    """
    size, half = v.abs(), base / 2
    q = power_of_two(size / base + 0.5)
    q = torch.where(size >= base * (2 * q) - half, 2 * q, q)
    q = torch.where(size < base * q - half, q / 2, q)
    return q.copysign(v)


def fire(
    x: Tensor,
    v: Tensor,
    positive: Tensor,
    negative: Tensor | None,
    least: Tensor,
    top: float,
    fraction: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Multi-threshold neurons over all steps.

    Parameters
    ----------
    x : (steps, M, R, D) operand; v : (M, R, D) membrane before
    positive, negative : (R or 1, D) bases; ``None``: the same on both sides
    least, top : smallest and largest 2^k that may fire; ``least`` (R or 1, D)
    fraction : c of rule ``nearest``; ``None`` for the published rule

    Returns
    -------
    spikes (steps, M, R, D), membrane (M, R, D), and events of every row (steps, M, R, 1)
    """
    steps = []
    for x_t in x.unbind(0):
        v = v + x_t
        base = positive if negative is None else torch.where(v >= 0, positive, negative)
        q = fire_published(v, base) if fraction is None else fire_nearest(v, base, fraction)
        q = q.clamp(-top, top)
        s = torch.where(q.abs() >= least, q * base, torch.zeros_like(v))
        v = v - s
        steps.append(s)
    spikes = torch.stack(steps)
    return spikes, v, (spikes != 0).sum(dim=-1, keepdim=True, dtype=torch.int32)
