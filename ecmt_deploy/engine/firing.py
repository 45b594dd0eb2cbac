"""The arithmetic of a multi-threshold neuron: the level that fires follows from the float's exponent, no loop over levels."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ecmt_deploy.errors import ConfigError

#: integers of the width of a float, and the bits of its sign and exponent
_BITS = {torch.float64: (torch.int64, -(1 << 52)), torch.float32: (torch.int32, -(1 << 23))}
#: elements of a step that are computed together on a CPU: what is done to them in turn stays in its cache
TILE = 1 << 18


class Levels(NamedTuple):
    """Parameters of a multi-threshold neuron node, as tensors that broadcast to its operand (...) from the right.

    Attributes
    ----------
    positive, negative : bases; ``negative`` is ``None`` where both sides have the same
    least, top : smallest and largest 2^k that may fire
    initial : membrane before t = 1, or ``None`` for zero
    offset : added to the sums that are given, or ``None`` for zero
    fraction : c of rule ``nearest``; ``None`` for the published rule
    """

    positive: Tensor
    negative: Tensor | None
    least: Tensor
    top: float
    initial: Tensor | None
    offset: Tensor | None
    fraction: float | None

    def float(self) -> Levels:
        """Those in float32."""
        return Levels._make(p.float() if isinstance(p, Tensor) else p for p in self)

    def transposed(self) -> Levels:
        """Those of the operand with its last two axes exchanged."""
        return Levels._make(p.mT.contiguous() if isinstance(p, Tensor) else p for p in self)

    def part(self, rows: slice) -> Levels:
        """Those of some rows of the operand's first axis."""
        return Levels._make(p[rows] if isinstance(p, Tensor) and len(p) > 1 else p for p in self)

    def spikes(self, v: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """What a membrane, which is overwritten, sends, and the number of events along an axis, kept as size 1."""
        base = self.positive if self.negative is None else torch.where(v >= 0, self.positive, self.negative)
        q = fire_published(v, base) if self.fraction is None else fire_nearest(v, base, self.fraction)
        # powers of two below the least become zero; on a CPU, arithmetic takes a fraction of what masks take
        q = q.clamp_(-self.top, self.top).div_(self.least).trunc_()
        events = q.abs().clamp_(max=1.0).sum(dim=axis, keepdim=True).to(torch.int32)
        return q.mul_(base * self.least), events


def power_of_two_(x: Tensor) -> Tensor:
    """Make ``x`` the power of two at or below ``|x|``, with its sign: its sign and exponent, the mantissa cleared."""
    integer, mask = _BITS[x.dtype]
    return x.view(integer).bitwise_and_(mask).view(x.dtype)


def fire_nearest(v: Tensor, base: Tensor, fraction: float) -> Tensor:
    """The largest 2^k with |v| >= fraction * base * 2^k, with the sign of v, in place of v.

    Exact: 2^k rounds nothing, and a quotient by ``fraction * base`` is rounded to a power of two only where it is one.
    """
    return power_of_two_(v.div_(base * fraction))


def fire_published(v: Tensor, base: Tensor) -> Tensor:
    """The largest 2^k with |v| >= base * 2^k - base / 2, with the sign of v; below the smallest level less than one.

    An estimate by the exponent, a little low so that rounding never makes it too large, corrected by the threshold above.
    """
    size, half = v.abs(), base / 2
    q = power_of_two_((size / base).add_(0.5).mul_(1 - 4 * torch.finfo(v.dtype).eps))
    above = 2 * q
    return torch.where(size >= (base * above).sub_(half), above, q).copysign_(v)


class Fired(NamedTuple):
    """What neurons did over a chunk of time.

    Attributes
    ----------
    values : (steps, B, ...) sums S_t of what was sent so far (and the offset), or means S_t / t
    sent : (B, ...) the last sum
    events : (steps, B, ..., 1) events of every row
    spikes : (steps, B, ...) what was sent at each step, where that was asked for
    """

    values: Tensor
    sent: Tensor
    events: Tensor
    spikes: Tensor | None

    def transposed(self) -> Fired:
        """The same with the last two axes exchanged."""
        return Fired(self.values.mT, self.sent.mT, self.events.mT, None if self.spikes is None else self.spikes.mT)


class Task(NamedTuple):
    """What is asked of neurons over a chunk of time.

    Attributes
    ----------
    times : t of every step
    means : whether operands are means X_t / t, and means S_t / t are wanted
    apart : whether the spikes of every step are wanted by themselves
    axis : the rows, -1 or, of an operand that lies transposed in memory, -2
    """

    times: tuple[int, ...]
    means: bool
    apart: bool
    axis: int = -1


def fire(u: Tensor, sent: Tensor | None, levels: Levels, task: Task) -> Fired:
    """Multi-threshold neurons over all steps: v_t = X_t - S_{t-1}, with S_t the sum of what was sent.

    Parameters
    ----------
    u : (steps, B, ...) sums X_t of the operand so far, or means, or (1, B, ...) where that is the same at every step
    sent : (B, ...) sum of what was sent before; ``None`` for nothing
    """
    values, events, spikes = [], [], []
    for i, t in enumerate(task.times):
        x = u[i if len(u) > 1 else 0]
        v = x * t if task.means else x if sent is not None or levels.initial is not None else x.clone()
        if levels.initial is not None:
            v = v + levels.initial
        s, count = levels.spikes(v if sent is None else v - sent, task.axis)
        sent = s if sent is None else sent + s
        values.append(sent / t if task.means else sent if levels.offset is None else sent + levels.offset)
        events.append(count)
        if task.apart:
            spikes.append(s)
    assert sent is not None
    return Fired(torch.stack(values), sent, torch.stack(events), torch.stack(spikes) if task.apart else None)


def fire_in_tiles(u: Tensor, sent: Tensor | None, levels: Levels, task: Task) -> Fired:
    """:func:`fire` on as much at once as stays in a CPU's cache from one operation to the next."""
    batch, rows, size = u.shape[1], u.shape[2], u[0, 0].numel()
    samples = min(max(TILE // max(size, 1), 1), batch)
    height = rows if size <= TILE else max(TILE * rows // size, 1)
    if u.is_cuda or (samples, height) == (batch, rows):
        return fire(u, sent, levels, task)
    lead = (len(task.times), *u.shape[1:])
    rows_only = [*lead]
    rows_only[task.axis] = 1
    whole = Fired(
        u.new_empty(lead),
        u.new_empty(lead[1:]),
        u.new_empty(rows_only, dtype=torch.int32),
        u.new_empty(lead) if task.apart else None,
    )
    for m in range(0, batch, samples):
        for r in range(0, rows, height):
            part = (slice(None), slice(m, m + samples), slice(r, r + height))
            before = None if sent is None else sent[part[1:]]
            tile = fire(u[part], before, levels.part(part[2]), task)
            whole.values[part], whole.sent[part[1:]], whole.events[part] = tile.values, tile.sent, tile.events
            if whole.spikes is not None and tile.spikes is not None:
                whole.spikes[part] = tile.spikes
    return whole


def require_compiler(device: torch.device) -> None:
    """Raise :class:`ConfigError` where kernels for a CPU cannot be made for want of a C++ compiler."""
    named = os.environ.get("CXX")
    if device.type == "cpu" and not any(shutil.which(name) for name in ([named] if named else ["g++", "clang++"])):
        raise ConfigError(
            f"fused kernels need a C++ compiler, and {named or 'g++'} is not on the PATH; install one (Debian and Ubuntu: apt"
            " install g++), or run without --compile"
        )


def fire_fused(u: Tensor, sent: Tensor | None, levels: Levels, task: Task) -> Fired:
    """:func:`fire` as one kernel, made when an operand of its shape first comes."""
    tensors = [(p.shape, p.stride()) if isinstance(p, Tensor) else p for p in (u, sent, *levels)]
    return _kernel((u.device, u.dtype, task, *tensors))(u, sent, levels, task)


@functools.cache
def _kernel(shapes: tuple[Any, ...]) -> Callable[..., Fired]:
    """A kernel for operands of these shapes: its own, so that none is searched for among those of others."""
    compiled: Callable[..., Fired] = torch.compile(fire, fullgraph=True, dynamic=False, isolate_recompiles=True)  # type: ignore[call-overload]
    return compiled
