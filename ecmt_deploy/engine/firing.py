"""The arithmetic of neurons over a chunk of time: what fires at each step, in tiles or as a fused kernel.

Of a multi-threshold neuron the level that fires follows from the bits of floats, with no loop over levels; of a graded one the
payload is the rounded quotient.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from itertools import count
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ecmt_deploy.errors import ConfigError

#: integers of the width of a float, the lowest bit of its exponent, and the power of two that makes its smallest normal one
_BITS = {torch.float64: (torch.int64, 1 << 52, 2.0**1022), torch.float32: (torch.int32, 1 << 23, 2.0**126)}
_KERNELS = count()
#: elements of a step that are computed together on a CPU: what is done to them in turn stays in its cache
TILE = 1 << 18


_Parameters = TypeVar("_Parameters", bound="Levels | Payloads")


def changed(parameters: _Parameters, change: Callable[[Tensor], Tensor]) -> _Parameters:
    """Parameters of a neuron node, each of its tensors changed alike."""
    make: Any = type(parameters)
    made: _Parameters = make(*(change(p) if isinstance(p, Tensor) else p for p in parameters))
    return made


def of_rows(parameters: _Parameters, rows: slice) -> _Parameters:
    """Those of some rows of the operand's first axis."""
    return changed(parameters, lambda p: p[rows] if len(p) > 1 else p)


class Payloads(NamedTuple):
    """Parameters of a graded neuron node, as tensors that broadcast to its operand (...) from the right.

    Attributes
    ----------
    base, rate : what a payload of one is worth, and its reciprocal
    least : the smallest payload that fires
    most : the largest payload
    initial : membrane before t = 1, or ``None`` for zero
    offset : added to the sums that are given, or ``None`` for zero
    """

    base: Tensor
    rate: Tensor
    least: Tensor
    most: float
    initial: Tensor | None
    offset: Tensor | None

    def spikes(self, v: Tensor, axis: int | None) -> tuple[Tensor, Tensor]:
        """What a membrane sends, and the number of events along an axis, kept as size 1; without an axis, of each element."""
        nearest = (v * self.rate).round_().clamp_(-self.most, self.most)
        # ones and zeros as floats, for masks take many times as long on a CPU; their sums are exact below 2^24 elements a row
        fires = nearest.abs().ge_(self.least)
        events = fires if axis is None else fires.sum(dim=axis, keepdim=True)
        return nearest.mul_(fires).mul_(self.base), events.to(torch.int32)


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

    def spikes(self, v: Tensor, axis: int | None) -> tuple[Tensor, Tensor]:
        """What a membrane sends, and the number of events along an axis, kept as size 1; without an axis, of each element."""
        scale = _BITS[v.dtype][2]
        base = self.positive if self.negative is None else of_sign(v, self.positive, self.negative)
        unit = base * self.least  # the smallest spike
        # no level is above the highest: what is larger counts as what makes that one fire
        if self.fraction is not None:
            threshold = base * self.fraction
            exponent = exponent_of_quotient(at_most_(v.abs(), threshold * self.top), threshold * self.least)
        else:
            exponent = published_exponent(at_most_(v.abs(), base * self.top), unit, base * 0.5)
        events = unit_of_exponent(exponent)
        if axis is not None:
            events = events.sum(dim=axis, keepdim=True)
        return exponent.view(v.dtype).mul_(scale).mul_(unit).copysign_(v), events.mul_(scale).to(torch.int32)


def of_sign(v: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """What holds for the sign of each v; by bits, for masks take many times as long on a CPU."""
    integer = _BITS[v.dtype][0]
    below = v.view(integer).clamp(-1, 0)  # all bits, or none
    own = positive.view(integer)
    return below.bitwise_and_(own ^ negative.view(integer)).bitwise_xor_(own).view(v.dtype)


def unit_of_exponent(exponent: Tensor) -> Tensor:
    """The smallest normal number where a level fires, given what :func:`exponent_of_quotient` says, and zero elsewhere."""
    kind = torch.float64 if exponent.dtype == torch.int64 else torch.float32
    return exponent.clamp(max=_BITS[kind][1]).view(kind)


def at_most_(size: Tensor, bound: Tensor) -> Tensor:
    """``size`` made no larger than ``bound``; floats that are not negative are in the same order as integers."""
    integer = _BITS[size.dtype][0]
    return size.view(integer).clamp_(max=bound.view(integer)).view(size.dtype)


def exponent_of_quotient(size: Tensor, unit: Tensor) -> Tensor:
    """1 + k of the largest 2^k <= size / unit, or 0 where that is less than one, in the bits of a float's exponent.

    Takes the memory of ``size``, which is not negative. Exact: the difference of the bits of two floats, as integers, is that
    of their exponents, and of their mantissas, which may borrow one of it.
    """
    integer, one, _ = _BITS[size.dtype]
    return size.view(integer).sub_(unit.view(integer) - one).clamp_(min=0).bitwise_and_(-one)


def published_exponent(size: Tensor, unit: Tensor, half: Tensor) -> Tensor:
    """As :func:`exponent_of_quotient`, of the largest 2^k with size >= unit * 2^k - half.

    An estimate, a little low so that rounding never makes it too large, corrected by the threshold above.
    """
    integer, one, scale = _BITS[size.dtype]
    above = exponent_of_quotient((size + half).mul_(1 - 4 * torch.finfo(size.dtype).eps), unit).add_(one)
    missing = size.sub_((above.view(size.dtype) * scale).mul_(unit).sub_(half))
    return above.sub_(missing.view(integer).clamp_(-1, 0).bitwise_and_(one))


class Fired(NamedTuple):
    """What neurons did over a chunk of time.

    Attributes
    ----------
    values : (steps, B, ...) sums S_t of what was sent so far (and the offset), or means S_t / t
    sent : (B, ...) the last sum, where that was asked for
    events : (steps, B, ..., 1) events of every row
    spikes : (steps, B, ...) what was sent at each step, where that was asked for
    """

    values: Tensor
    sent: Tensor | None
    events: Tensor
    spikes: Tensor | None

    def transposed(self) -> Fired:
        """The same with the last two axes exchanged."""
        return Fired._make(None if tensor is None else tensor.mT for tensor in self)


class Task(NamedTuple):
    """What is asked of neurons over a chunk of time.

    Attributes
    ----------
    times : t of every step
    means : whether operands are means X_t / t, and means S_t / t are wanted
    keeps : whether the last sum is wanted by itself
    apart : whether the spikes of every step are wanted by themselves
    axis : the rows: -1 or, of an operand that lies transposed in memory, -2; ``None`` to have the events of each element
    """

    times: tuple[int, ...]
    means: bool
    keeps: bool
    apart: bool
    axis: int | None = -1


def fire(u: Tensor, sent: Tensor | None, levels: Levels | Payloads, task: Task) -> Fired:
    """Neurons over all steps: v_t = X_t - S_{t-1}, with S_t the sum of what was sent.

    Parameters
    ----------
    u : (steps, B, ...) sums X_t of the operand so far, or means, or (1, B, ...) where that is the same at every step
    sent : (B, ...) sum of what was sent before; ``None`` for nothing
    """
    values, events, spikes = [], [], []
    for i, t in enumerate(task.times):
        x = u[i if len(u) > 1 else 0]
        v = x * t if task.means else x
        if levels.initial is not None:
            v = v + levels.initial
        s, count = levels.spikes(v if sent is None else v - sent, task.axis)
        sent = s if sent is None else sent + s
        values.append(sent / t if task.means else sent if levels.offset is None else sent + levels.offset)
        events.append(count)
        if task.apart:
            spikes.append(s)
    return Fired(
        torch.stack(values), sent if task.keeps else None, torch.stack(events), torch.stack(spikes) if task.apart else None
    )


def fire_in_tiles(u: Tensor, sent: Tensor | None, levels: Levels | Payloads, task: Task) -> Fired:
    """:func:`fire` on as much at once as stays in a CPU's cache from one operation to the next."""
    batch, rows, size = u.shape[1], u.shape[2], u[0, 0].numel()
    samples = min(max(TILE // max(size, 1), 1), batch)
    whole_rows = task.axis is not None and task.axis % (u.ndim - 2) == 0  # events are summed along what would be cut
    height = rows if size <= TILE or whole_rows else max(TILE * rows // size, 1)
    if u.is_cuda or (samples, height) == (batch, rows):
        return fire(u, sent, levels, task)
    lead = (len(task.times), *u.shape[1:])
    rows_only = [*lead]
    if task.axis is not None:
        rows_only[task.axis] = 1
    whole = Fired(
        u.new_empty(lead),
        u.new_empty(lead[1:]) if task.keeps else None,
        u.new_empty(rows_only, dtype=torch.int32),
        u.new_empty(lead) if task.apart else None,
    )
    for m in range(0, batch, samples):
        for r in range(0, rows, height):
            part = (slice(None), slice(m, m + samples), slice(r, r + height))
            before = None if sent is None else sent[part[1:]]
            tile = fire(u[part], before, of_rows(levels, part[2]), task)
            whole.values[part], whole.events[part] = tile.values, tile.events
            if whole.sent is not None and tile.sent is not None:
                whole.sent[part[1:]] = tile.sent
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


def fire_fused(u: Tensor, sent: Tensor | None, levels: Levels | Payloads, task: Task) -> Fired:
    """:func:`fire` as one kernel, made when an operand of its shape first comes."""
    across = task.axis == -2  # a kernel that sums across memory jumps about in it: summed afterwards
    if across:
        task = task._replace(axis=None)
    tensors = [(p.shape, p.stride()) if isinstance(p, Tensor) else p for p in (u, sent, *levels)]
    fired = _kernel((u.device, u.dtype, task, *tensors))(u, sent, levels, task)
    return fired._replace(events=fired.events.sum(dim=-2, keepdim=True, dtype=torch.int32)) if across else fired


@functools.cache
def _kernel(shapes: tuple[Any, ...]) -> Callable[..., Fired]:
    """A kernel for operands of these shapes: of code of its own, so that none is searched for among those of others."""
    own = FunctionType(fire.__code__.replace(co_name=f"fire_{next(_KERNELS)}"), fire.__globals__)
    compiled: Callable[..., Fired] = torch.compile(own, fullgraph=True, dynamic=False)
    return compiled
