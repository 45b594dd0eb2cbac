"""Counts of a run: tensors wait until all that have one shape are summed at once, and sums are fetched once, at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.program.activity import INTEGER_COUNTS, Counts
from ecmt_deploy.program.frames import COLUMNS

#: elements of a tensor that may wait to be summed; more are summed at once
MOST_WAITING = 1 << 18


class Tally:
    """Counts of one node. What is a sum over tensors waits there until all that have the same shape are summed at once.

    The first axis of a tensor is that of steps, or of size 1 where all steps count alike.
    """

    def __init__(self) -> None:
        self.integers: dict[str, int] = defaultdict(int)
        self.ecm_ops: dict[str, int] = defaultdict(int)
        self.waiting: list[tuple[Tensor, Tensor | None, _Term]] = []

    def clear(self) -> None:
        """Count from zero again."""
        self.integers.clear()
        self.ecm_ops.clear()

    def add(self, value: int | Tensor, without: Tensor | None = None, **times: int) -> None:
        """Count an integer, or the sum of a tensor (of its elements where ``without`` is false), so many times by kind."""
        self._add(self.integers, value, without, times)

    def add_ecm(self, value: int | Tensor, **times: int) -> None:
        """Count elements evaluated, so many times by function."""
        self._add(self.ecm_ops, value, None, times)

    def _add(self, group: dict[str, int], value: int | Tensor, without: Tensor | None, times: dict[str, int]) -> None:
        if not isinstance(value, Tensor):
            for kind, number_of_times in times.items():
                group[kind] += value * number_of_times
            return
        if without is not None:
            without = without.expand_as(value)
        elif value.numel() > MOST_WAITING:
            value = value.flatten(1).sum(dim=1, dtype=torch.int64)
        self.waiting.append((value, without, _Term(self, group is self.ecm_ops, times)))


class _Term(NamedTuple):
    """Where a sum is counted, and how many times by kind."""

    tally: Tally
    elements: bool
    times: dict[str, int]


class Counting:
    """Sums what waits in the tallies of all nodes; fetched from the device once, at the end."""

    def __init__(self, tallies: Sequence[Tally]) -> None:
        self.tallies = tallies
        self._summed: list[tuple[list[_Term], Tensor]] = []

    def sum(self) -> None:
        """Sum what came since the last time, step by step."""
        alike: dict[Any, list[tuple[Tensor, Tensor | None, _Term]]] = defaultdict(list)
        for tally in self.tallies:
            for value, without, term in tally.waiting:
                alike[value.shape, value.dtype, without is None].append((value, without, term))
            tally.waiting = []
        for waiting in alike.values():
            values = torch.stack([value for value, _, _ in waiting])
            masks = [without for _, without, _ in waiting if without is not None]
            if masks:
                values = values.masked_fill_(torch.stack(masks), 0)
            self._summed.append(
                ([term for _, _, term in waiting], values.unsqueeze(-1).flatten(2).sum(dim=2, dtype=torch.int64))
            )

    def take(self) -> list[Counts]:
        """Of every node, as plain integers; what is counted from now on is counted from zero."""
        totals = torch.cat([sums.sum(dim=1) for _, sums in self._summed]).tolist() if self._summed else []
        for term, total in zip((term for terms, _ in self._summed for term in terms), totals, strict=True):
            group = term.tally.ecm_ops if term.elements else term.tally.integers
            for kind, number_of_times in term.times.items():
                group[kind] += total * number_of_times
        counts = [Counts(**tally.integers, ecm_ops=dict(tally.ecm_ops)) for tally in self.tallies]
        self._clear()
        return counts

    def take_frames(self, frames: int) -> np.ndarray:
        """The same of each of so many frames, whose steps were counted one after another.

        As rows (frames, nodes, columns) int64, those of :class:`~ecmt_deploy.program.frames.FrameCounts`.
        What is the same at every step, and every integer, belongs to all frames alike.
        """
        rows = np.zeros((len(self.tallies), COLUMNS, frames), np.int64)
        number = {id(tally): i for i, tally in enumerate(self.tallies)}
        column = {name: i for i, name in enumerate(INTEGER_COUNTS)}
        for i, tally in enumerate(self.tallies):
            for kind, total in tally.integers.items():
                rows[i, column[kind]] += total // frames
            for total in tally.ecm_ops.values():
                rows[i, -1] += total // frames
        for terms, sums in self._summed:
            fetched = sums.cpu().numpy()
            of_frames = fetched.reshape(len(terms), frames, -1).sum(axis=2) if fetched.shape[1] > 1 else fetched
            for term, found in zip(terms, of_frames, strict=True):
                share = 1 if fetched.shape[1] > 1 else frames
                for kind, times in term.times.items():
                    rows[number[id(term.tally)], -1 if term.elements else column[kind]] += found * times // share
        self._clear()
        counted: np.ndarray = np.moveaxis(rows, -1, 0)
        return counted

    def _clear(self) -> None:
        self._summed = []
        for tally in self.tallies:
            tally.clear()
