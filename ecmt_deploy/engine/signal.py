"""What travels between the nodes of the engine: what a stream has come to after every step, and which rows an event reached.

A program's streams carry what is new at a step (differential coding) or what is sent again at every step (rate coding). The
engine keeps the sum of a stream so far, X_t, or its mean so far, X_t / t. In these, linear nodes, functions and products are
what they are in the analog network, whatever the step: with all steps in the batch, weights meet one large matrix product.
Only neurons (and running sums) have a memory. The increments of the definition telescope:

    differential, in sums:  sum of f(X_s) - f(X_{s-1}) over s <= t  =  f(X_t)
    rate, in means:         sum of s f(X_s / s) - (s - 1) f(X_{s-1} / (s - 1))  =  t f(X_t / t)

and alike for products. A constant that enters once is the same sum at every step, one that enters at every step the same
mean: what does not change over time is computed once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from ecmt_deploy.engine.context import RunContext
from ecmt_deploy.engine.counting import Span

#: what a value stands for: the sum of a stream so far, its mean so far, or (readouts) itself; in integer programs what each
#: step brings, of which the last steps may be left out where they bring nothing
SUM, MEAN, ITSELF, STEP = "sum", "mean", "itself", "step"
#: form in which ECMs and products of a coding are those of the analog network
FORM = {"rate": MEAN, "differential": SUM}


@dataclass(frozen=True)
class Chunk:
    """The part of a run that is computed at once.

    Attributes
    ----------
    run : the run it belongs to: what changes
    start, steps : its time steps ``start`` .. ``start + steps - 1``
    batch : samples
    final : whether no step comes after it, so that no state need be kept
    begins : inferences of a sample, or frames of a stream, that begin with it
    samples : how many of the batch count; ``None`` where nothing is counted
    """

    run: RunContext
    start: int
    steps: int
    batch: int
    final: bool
    samples: int | None
    begins: int

    @property
    def first(self) -> bool:
        """Whether it begins at t = 1, where all state is zero and everything is news."""
        return self.start == 1

    @property
    def span(self) -> Span:
        """Its time steps, for counting."""
        return Span(self.start, self.steps, self.begins)

    @property
    def inplace(self) -> bool:
        """Whether nodes may change memory that nobody needs any more; in a stream the next frame needs it."""
        return not (self.run.watched or self.run.streaming or torch.is_grad_enabled())

    def times(self, like: Tensor) -> Tensor:
        """t = start, start + 1, .. as (steps, 1, ...) beside ``like`` (steps, B, ...)."""
        t = torch.arange(self.start, self.start + self.steps, dtype=like.dtype, device=like.device)
        return t.reshape(-1, *[1] * (like.ndim - 1))


class Signal(NamedTuple):
    """A stream over a chunk.

    Attributes
    ----------
    value : (steps, B, ...), or (1, B, ...) where it is the same at every step; of form STEP (n, B, ...), zeros behind it
    form : SUM, MEAN, ITSELF or STEP
    steady : whether it is the same at every step
    changed : of an analog stream that is counted, what an event reached: bool, (steps, B, ...), of size 1 along axes where it
        is the same all along; at t = 1 everything counts as reached. ``None`` of what is steady and entered at t = 1
    events : of spikes, events in each row, (steps, B, ..., 1)
    spikes : of spikes where somebody asks for elements, what is sent at each step, (steps, B, ...)
    completed : whether the constant that its only consumer adds is in the value already
    """

    value: Tensor
    form: str = SUM
    steady: bool = False
    changed: Tensor | None = None
    events: Tensor | None = None
    spikes: Tensor | None = None
    completed: bool = False

    def each(self, chunk: Chunk) -> Tensor:
        """The value after every step, (steps, B, ...)."""
        if self.form == STEP and len(self.value) < chunk.steps:
            nothing = self.value.new_zeros(chunk.steps - len(self.value), *self.value.shape[1:])
            return torch.cat([self.value, nothing])
        return self.value.expand(chunk.steps, *self.value.shape[1:]) if self.steady else self.value

    def to(self, form: str, chunk: Chunk) -> Signal:
        """The same stream in another form."""
        if self.form == form:
            return self
        times = chunk.times(self.value)
        value = self.value * times if form == SUM else self.value / times
        return self._replace(value=value, form=form, steady=False)

    def without_value(self) -> Signal:
        """What counting needs to know of it."""
        return self._replace(value=_nothing(self.value.ndim, self.value.device))

    def increments(self, chunk: Chunk) -> Tensor:
        """What the stream brings at each step of a run that begins with this chunk, (steps, B, ...)."""
        if self.spikes is not None:
            return self.spikes
        if self.form in (ITSELF, STEP) or (self.form == MEAN and self.steady) or chunk.steps == 1:
            return self.each(chunk)
        total = self.to(SUM, chunk).each(chunk)
        new = torch.where(total[1:] == total[:-1], torch.zeros_like(total[1:]), total[1:] - total[:-1])  # masks are infinite
        return torch.cat([total[:1], new])

    def reached(self, chunk: Chunk, spikes: bool) -> Tensor:
        """Elements an event reached: bool, broadcastable to (steps, B, ...)."""
        if spikes:
            assert self.spikes is not None
            return self.spikes != 0
        if self.changed is not None:
            return self.changed
        assert self.steady
        ones = torch.ones((1,) * self.value.ndim, dtype=torch.bool, device=self.value.device)
        if self.form == MEAN:
            return ones
        later = torch.zeros(chunk.steps - 1, *ones.shape[1:], dtype=torch.bool, device=ones.device)
        return torch.cat([ones if chunk.first else ~ones, later])

    def rows(self, chunk: Chunk, spikes: bool) -> Tensor:
        """Rows (last axis, kept as size 1) an event reached."""
        return self.events > 0 if self.events is not None else any_along(self.reached(chunk, spikes), (-1,))

    def event_count(self, chunk: Chunk) -> Tensor:
        """Number of events among the samples that count, as terms of a sum, whose first axis is that of steps."""
        if self.events is not None:
            return counted(chunk, self.events)
        assert self.spikes is not None
        return counted(chunk, self.spikes).unsqueeze(-1).flatten(1).count_nonzero(dim=1)


@functools.cache
def _nothing(ndim: int, device: torch.device) -> Tensor:
    """A tensor of so many axes and no elements."""
    return torch.empty((0,) * ndim, device=device)


def fold(value: Tensor) -> Tensor:
    """Time into the batch: (steps * B, ...)."""
    return value.flatten(0, 1)


def aligned(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(steps, B, ...) with as many sample axes as ``shape``: they broadcast from the right, steps and batch stay in front."""
    missing = len(shape) + 2 - value.ndim
    return value.reshape(*value.shape[:2], *[1] * missing, *value.shape[2:]) if missing else value


def news(chunk: Chunk, mask: Tensor) -> Tensor:
    """``mask`` with everything reached at t = 1."""
    if not chunk.first:
        return mask
    if chunk.steps == 1:
        return mask.new_ones((1,) * mask.ndim)
    later = mask[1:] if len(mask) > 1 else mask.expand(chunk.steps - 1, *mask.shape[1:])
    return torch.cat([torch.ones_like(mask[:1]), later])


def any_along(mask: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Whether any is true along ``axes`` of the sample, which stay as size 1. A sample without axes is its own row."""
    for axis in axes:
        if mask.ndim > 2 and mask.shape[axis] > 1:
            mask = mask.any(dim=axis, keepdim=True)
    return mask


def counted(chunk: Chunk, values: Tensor) -> Tensor:
    """``values`` (steps, B, ...) of the samples that count; those of all samples at once, (steps, 1, ...), as they are."""
    return values if values.shape[1] < chunk.batch else values[:, : chunk.samples]


def number(chunk: Chunk, mask: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, int]:
    """True elements of ``mask``, broadcast to (steps, samples that count, *shape): what to sum, and how many times."""
    assert chunk.samples is not None
    own = counted(chunk, mask)
    return own, chunk.samples * prod(shape) * len(own) // max(own.numel(), 1)
