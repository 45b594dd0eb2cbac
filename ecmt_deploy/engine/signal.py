"""What travels between the nodes of the engine: all steps of a chunk of time at once, and which rows an event reached."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: how a stream varies over time: a value for each step; one that comes at t = 1, and nothing after; one repeated at every step
EACH, FIRST, SAME = "each", "first", "same"


@dataclass(frozen=True)
class Chunk:
    """The part of a run that is computed at once.

    Attributes
    ----------
    start, steps : its time steps ``start`` .. ``start + steps - 1``
    batch : samples
    final : whether no step comes after it, so that no state need be kept
    samples : how many of the batch count; ``None`` where nothing is counted
    """

    start: int
    steps: int
    batch: int
    final: bool
    samples: int | None

    @property
    def first(self) -> bool:
        """Whether it begins at t = 1, where all state is zero and everything is news."""
        return self.start == 1

    def times(self, like: Tensor) -> Tensor:
        """t = start, start + 1, .. as (steps, 1, ...) beside ``like`` (steps, B, ...)."""
        t = torch.arange(self.start, self.start + self.steps, dtype=like.dtype, device=like.device)
        return t.reshape(-1, *[1] * (like.ndim - 1))


class Signal(NamedTuple):
    """A stream over a chunk.

    Attributes
    ----------
    value : (steps, B, ...) where ``when`` is EACH, else (1, B, ...)
    when : EACH, FIRST or SAME
    changed : for an analog EACH stream that is counted, what an event reached: bool, (steps, B, ...), of size 1 along axes
        where it is the same all along; at t = 1 everything counts as reached, whatever it says
    events : for spikes that are counted, where it is known: events in each row, (steps, B, ..., 1)
    """

    value: Tensor
    when: str = EACH
    changed: Any = None
    events: Any = None

    def each(self, chunk: Chunk) -> Tensor:
        """The value of every step, (steps, B, ...)."""
        if self.when == EACH or chunk.steps == 1:
            return self.value
        if self.when == SAME:
            return self.value.expand(chunk.steps, *self.value.shape[1:])
        return torch.cat([self.value, self.value.new_zeros(chunk.steps - 1, *self.value.shape[1:])])

    def reached(self, chunk: Chunk, spikes: bool) -> Tensor:
        """Elements an event reached: bool, broadcastable to (steps, B, ...)."""
        if spikes:
            return self.value != 0
        ones = torch.ones((1,) * self.value.ndim, dtype=torch.bool, device=self.value.device)
        if self.when == SAME:
            return ones
        if self.when == FIRST:
            later = torch.zeros(chunk.steps - 1, *ones.shape[1:], dtype=torch.bool, device=ones.device)
            return torch.cat([ones if chunk.first else ~ones, later])
        return news(chunk, self.changed)

    def rows(self, chunk: Chunk, spikes: bool) -> Tensor:
        """Rows (last axis, kept as size 1) an event reached."""
        return self.events > 0 if self.events is not None else any_along(self.reached(chunk, spikes), (-1,))

    def spikes(self, chunk: Chunk) -> Tensor:
        """Number of events among the samples that count."""
        if self.events is not None:
            return self.events[:, : chunk.samples].sum(dtype=torch.int64)
        return self.value[:, : chunk.samples].count_nonzero()


def fold(value: Tensor) -> Tensor:
    """Time into the batch: (steps * B, ...)."""
    return value.flatten(0, 1)


def news(chunk: Chunk, mask: Tensor) -> Tensor:
    """``mask`` with everything reached at t = 1."""
    return torch.cat([torch.ones_like(mask[:1]), mask[1:]]) if chunk.first else mask


def any_along(mask: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Whether any is true along ``axes`` of the sample, which stay as size 1. A sample without axes is its own row."""
    for axis in axes:
        if mask.ndim > 2 and mask.shape[axis] > 1:
            mask = mask.any(dim=axis, keepdim=True)
    return mask


def number(chunk: Chunk, mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """True elements of ``mask``, broadcast to (steps, samples that count, *shape)."""
    assert chunk.samples is not None
    counted = mask if mask.shape[1] == 1 else mask[:, : chunk.samples]
    full = chunk.steps * chunk.samples * prod(shape)
    return counted.sum(dtype=torch.int64) * (full // max(counted.numel(), 1))
