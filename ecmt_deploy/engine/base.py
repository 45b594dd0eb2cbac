"""What a node of the batched engine is: buffers that move with the model, state between chunks of time, and counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy.activity import Counts
from ecmt_deploy.engine.signal import MEAN, SUM, Chunk, Signal, news, number
from ecmt_deploy.graph import Program
from ecmt_deploy.graph.program import unrepeated

#: elements of a tensor that may wait to be summed; more are summed at once
MOST_WAITING = 1 << 18


class Tally:
    """Counts of one node. What is a sum over tensors waits there until all that have the same shape are summed at once."""

    def __init__(self) -> None:
        self.integers: dict[str, int] = defaultdict(int)
        self.ecm_ops: dict[str, int] = defaultdict(int)
        self.waiting: list[tuple[Tensor, Tensor | None, _Term]] = []

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
            value = value.sum(dtype=torch.int64)
        self.waiting.append((value, without, _Term(group, times)))


class _Term(NamedTuple):
    """Where a sum is counted, and how many times by kind."""

    group: dict[str, int]
    times: dict[str, int]


class Counting:
    """Sums what waits in the tallies of all nodes; fetched from the device once, at the end."""

    def __init__(self, tallies: Sequence[Tally]) -> None:
        self.tallies = tallies
        self._summed: list[tuple[list[_Term], Tensor]] = []

    def sum(self) -> None:
        """Sum what came since the last time."""
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
            sums = values.unsqueeze(-1).flatten(1).sum(dim=1, dtype=torch.int64)
            self._summed.append(([term for _, _, term in waiting], sums))

    def counts(self) -> list[Counts]:
        """Of every node, as plain integers."""
        totals = torch.cat([sums for _, sums in self._summed]).tolist() if self._summed else []
        for term, total in zip((term for terms, _ in self._summed for term in terms), totals, strict=True):
            for kind, number_of_times in term.times.items():
                term.group[kind] += total * number_of_times
        return [Counts(**tally.integers, ecm_ops=dict(tally.ecm_ops)) for tally in self.tallies]


class Op(nn.Module):
    """One node of a program, for all samples and steps of a chunk at once.

    Parameters
    ----------
    program : the program
    name : the node's name in it
    """

    #: neurons and wiring send no analog values of their own
    sends_analog = True
    #: whether counting needs to know of single spikes of its operands, not only of how many came in each row
    takes_elements = True

    def __init__(self, program: Program, name: str) -> None:
        super().__init__()
        self.node: Any = program.nodes[name]
        self.shape = program.shapes[name]
        self.operand_shapes = [program.shapes[source] for source in program.operands[name]]
        self.operand_spikes = [source in program.spiking for source in program.operands[name]]
        self.spikes = name in program.spiking
        self.encoding = name in program.encoding
        self.tally = Tally()
        self.state: dict[str, Tensor] = {}  # between chunks of time

    def hold(self, name: str, array: Any) -> None:
        """Register an array of the node as a buffer that is not part of the state dict: the program holds it.

        The buffer is the program's own memory wherever torch can use it, so that a model is no second copy of its weights:
        what computes must never write to it in place. ``to``, ``double`` and the like make new ones.
        """
        own = np.require(unrepeated(array), requirements=("C", "W"))
        self.register_buffer(name, torch.from_numpy(own).expand(array.shape), persistent=False)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        """The node's stream over a chunk."""
        if chunk.first:
            self.state = {}
        return self.stream(chunk, *signals)

    def tallied(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Signal:
        """Count what the node did; its stream, with what an event reached. Values are not looked at."""
        changed = self.count(chunk, signal, *signals)
        if changed is not None:
            changed = news(chunk, changed)
        if self.sends_analog:
            value, times = self._sent(chunk, signal, changed)
            self.tally.add(value, analog_messages=times)
        return signal if changed is None else signal._replace(changed=changed)

    def _sent(self, chunk: Chunk, signal: Signal, changed: Tensor | None) -> tuple[Tensor | int, int]:
        if changed is not None:
            return number(chunk, changed, self.shape)
        size = prod(self.shape) * (chunk.samples or 0)
        return size, chunk.steps if signal.form == MEAN else int(chunk.first)

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        """The node's equation."""
        raise NotImplementedError

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        """Count; for an analog stream that is not steady, return what an event reached, broadcastable to (steps, B, ...)."""
        raise NotImplementedError

    def reached(self, chunk: Chunk, signals: tuple[Signal, ...]) -> list[Tensor]:
        """What an event reached of each operand."""
        return [s.reached(chunk, spikes) for s, spikes in zip(signals, self.operand_spikes, strict=True)]

    def rows(self, chunk: Chunk, signals: tuple[Signal, ...]) -> list[Tensor]:
        """Which rows of each operand an event reached."""
        return [s.rows(chunk, spikes) for s, spikes in zip(signals, self.operand_spikes, strict=True)]

    def charge(self, chunk: Chunk, kind: str, mask: Tensor, shape: tuple[int, ...], times: int = 1) -> None:
        """Count the elements evaluated."""
        value, repeated = number(chunk, mask, shape)
        self.tally.add_ecm(value, **{kind: repeated * times})


def in_one_form(chunk: Chunk, signals: tuple[Signal, ...]) -> tuple[str, bool, list[Signal]]:
    """The operands in the form they have in common, by need in sums; which form, and whether all are steady in it."""
    forms = {s.form for s in signals}
    form = forms.pop() if len(forms) == 1 else SUM
    same = [s.to(form, chunk) for s in signals]
    return form, all(s.steady for s in same), same
