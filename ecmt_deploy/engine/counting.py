"""Counts of a run: tensors wait until all that have one shape are summed at once, and sums are fetched once, at the end.

Everything is counted at the time step at which it happens: sums keep the axis of steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.program.activity import INTEGER_COUNTS
from ecmt_deploy.program.frames import COLUMNS

#: elements of a tensor that may wait to be summed; more are summed at once
MOST_WAITING = 1 << 18
_COLUMN = {name: i for i, name in enumerate(INTEGER_COUNTS)}


class Span(NamedTuple):
    """The time steps of a chunk, ``start`` .. ``start + steps - 1``, and how many inferences or frames begin with it."""

    start: int
    steps: int
    begins: int


class Tally:
    """Counts of one node. What is a sum over tensors waits there until all that have the same shape are summed at once.

    The first axis of a tensor is that of steps, or of size 1 where all steps count alike.

    Attributes
    ----------
    always, beginning : integers by column: at every step, and at the first step of every inference or frame
    """

    def __init__(self) -> None:
        self.always: dict[int, int] = defaultdict(int)
        self.beginning: dict[int, int] = defaultdict(int)
        self.waiting: list[tuple[Tensor, Tensor | None, _Term]] = []

    def add(self, value: int | Tensor, without: Tensor | None = None, **times: int) -> None:
        """Count an integer at every step, or the sum of a tensor (of its elements where ``without`` is false) at each of its
        steps, so many times by kind.
        """
        self._add(value, without, {_COLUMN[kind]: number for kind, number in times.items()})

    def add_ecm(self, value: int | Tensor, times: int = 1) -> None:
        """Count elements evaluated, likewise."""
        self._add(value, None, {COLUMNS - 1: times})

    def add_at_beginning(self, value: int, kind: str) -> None:
        """Count an integer at the first step of every inference or frame that begins with the chunk."""
        self.beginning[_COLUMN[kind]] += value

    def _add(self, value: int | Tensor, without: Tensor | None, times: Mapping[int, int]) -> None:
        if not isinstance(value, Tensor):
            for column, number_of_times in times.items():
                self.always[column] += value * number_of_times
            return
        if without is not None:
            without = without.expand_as(value)
        elif value.numel() > MOST_WAITING:
            value = value.flatten(1).sum(dim=1, dtype=torch.int64)
        self.waiting.append((value, without, _Term(self, times)))


class _Term(NamedTuple):
    """Where a sum is counted, and how many times by column."""

    tally: Tally
    times: Mapping[int, int]


class Counting:
    """Sums what waits in the tallies of all nodes; fetched from the device once, at the end."""

    def __init__(self, tallies: Sequence[Tally]) -> None:
        self.tallies = tallies
        self._summed: list[tuple[Span, list[_Term], Tensor]] = []
        # by chunk: what is counted at every step of it, and at beginnings, (2, nodes, columns)
        self._integers: dict[Span, np.ndarray] = {}

    def sum(self, span: Span) -> None:
        """Sum what came of a chunk since the last time, step by step."""
        alike: dict[Any, list[tuple[Tensor, Tensor | None, _Term]]] = defaultdict(list)
        integers = self._integers.setdefault(span, np.zeros((2, len(self.tallies), COLUMNS), np.int64))
        for i, tally in enumerate(self.tallies):
            for value, without, term in tally.waiting:
                alike[value.shape, value.dtype, without is None].append((value, without, term))
            tally.waiting = []
            for counted, columns in zip(integers, (tally.always, tally.beginning), strict=True):
                for column, number in columns.items():
                    counted[i, column] += number
                columns.clear()
        for waiting in alike.values():
            values = torch.stack([value for value, _, _ in waiting])
            masks = [without for _, without, _ in waiting if without is not None]
            if masks:
                values = values.masked_fill_(torch.stack(masks), 0)
            sums = values.unsqueeze(-1).flatten(2).sum(dim=2, dtype=torch.int64)
            self._summed.append((span, [term for _, _, term in waiting], sums))

    def take(self, start: int, steps: int) -> np.ndarray:
        """Counts at steps ``start``, ``start + 1``, .. as (steps, nodes, columns) int64, columns as of
        :class:`~ecmt_deploy.program.frames.FrameCounts`; what is counted from now on is counted from zero.
        """
        rows = np.zeros((steps, len(self.tallies), COLUMNS), np.int64)
        for span, (always, beginning) in self._integers.items():
            of_chunk = rows[span.start - start :][: span.steps]
            of_chunk += always
            if span.begins:
                of_chunk[:: span.steps // span.begins] += beginning
        number = {id(tally): i for i, tally in enumerate(self.tallies)}
        together = torch.cat([sums.flatten() for _, _, sums in self._summed]).cpu().numpy() if self._summed else np.zeros(0)
        at = 0
        for span, terms, sums in self._summed:
            fetched = together[at : at + sums.numel()].reshape(sums.shape)
            at += sums.numel()
            of_chunk = rows[span.start - start :][: span.steps]
            for term, found in zip(terms, fetched, strict=True):
                node = number[id(term.tally)]
                for column, times in term.times.items():
                    of_chunk[:, node, column] += found * times
        self._summed, self._integers = [], {}
        return rows
