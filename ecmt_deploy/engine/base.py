"""What a node of the batched engine is: buffers that move with the model, state between chunks of time, and counts."""

from __future__ import annotations

from collections import defaultdict
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy.activity import Counts
from ecmt_deploy.engine.signal import EACH, FIRST, SAME, Chunk, Signal, news, number
from ecmt_deploy.graph import Program
from ecmt_deploy.graph.program import unrepeated


class Tally:
    """Counts of one node: integers as tensors until somebody asks."""

    def __init__(self) -> None:
        self.integers: dict[str, Any] = defaultdict(int)
        self.ecm_ops: dict[str, Any] = defaultdict(int)

    def counts(self) -> Counts:
        """The counts as plain integers."""
        integers = {name: int(value) for name, value in self.integers.items()}
        return Counts(**integers, ecm_ops={kind: int(value) for kind, value in self.ecm_ops.items()})


class Op(nn.Module):
    """One node of a program, for all samples and steps of a chunk at once.

    Parameters
    ----------
    program : the program
    name : the node's name in it
    """

    #: neurons and wiring send no analog values of their own
    sends_analog = True
    #: whether nothing follows from nothing: at steps where no operand brings anything, neither does it
    silent_without_input = True

    def __init__(self, program: Program, name: str) -> None:
        super().__init__()
        self.node: Any = program.nodes[name]
        self.shape = program.shapes[name]
        self.operand_shapes = [program.shapes[source] for source in program.operands[name]]
        self.operand_spikes = [source in program.spiking for source in program.operands[name]]
        self.spikes = name in program.spiking
        self.encoding = name in program.encoding
        self.tally = Tally()
        self.state: dict[str, Tensor] = {}

    def hold(self, name: str, array: Any) -> None:
        """Register an array of the node as a buffer that is not part of the state dict: the program holds it.

        The buffer is the program's own memory wherever torch can use it, so that a model is no second copy of its weights:
        what computes must never write to it in place. ``to``, ``double`` and the like make new ones.
        """
        own = np.require(unrepeated(array), requirements=("C", "W"))
        self.register_buffer(name, torch.from_numpy(own).expand(array.shape), persistent=False)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        """The node's stream over a chunk, counted where the chunk counts."""
        if chunk.first:
            self.state = {}
        silent = self.silent_without_input and not chunk.first and bool(signals) and all(s.when == FIRST for s in signals)
        if silent:
            like = signals[0].value
            signal = Signal(like.new_zeros(1, chunk.batch, *self.shape), FIRST)
        else:
            signal = self.stream(chunk, *signals)
        if chunk.samples is None:
            return signal
        changed = self.count(chunk, signal, *signals)
        if self.sends_analog:
            self.tally.integers["analog_messages"] += self._sent(chunk, signal, changed)
        return signal._replace(changed=changed) if signal.when == EACH and not self.spikes else signal

    def _sent(self, chunk: Chunk, signal: Signal, changed: Any) -> Any:
        size = prod(self.shape) * (chunk.samples or 0)
        if signal.when == FIRST:
            return size if chunk.first else 0
        return size * chunk.steps if signal.when == SAME else number(chunk, news(chunk, changed), self.shape)

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        """The node's equation."""
        raise NotImplementedError

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        """Count; for an analog stream of EACH step, return what an event reached, broadcastable to (steps, B, ...)."""
        raise NotImplementedError

    def reached(self, chunk: Chunk, signals: tuple[Signal, ...]) -> list[Tensor]:
        """What an event reached of each operand."""
        return [s.reached(chunk, spikes) for s, spikes in zip(signals, self.operand_spikes, strict=True)]

    def rows(self, chunk: Chunk, signals: tuple[Signal, ...]) -> list[Tensor]:
        """Which rows of each operand an event reached."""
        return [s.rows(chunk, spikes) for s, spikes in zip(signals, self.operand_spikes, strict=True)]

    def charge(self, chunk: Chunk, kind: str, mask: Tensor, shape: tuple[int, ...], times: int = 1) -> None:
        """Count the elements evaluated."""
        self.tally.ecm_ops[kind] += number(chunk, mask, shape) * times

    # --- state between chunks -----------------------------------------------------------------------------------------

    def keep(self, chunk: Chunk, **last: Tensor) -> None:
        """What the next chunk begins with."""
        self.state = {} if chunk.final else {name: value.clone() for name, value in last.items()}

    def running_sum(self, chunk: Chunk, signal: Signal, name: str, initial: Tensor | None = None) -> Tensor:
        """Sum so far of an operand at every step, (steps or 1, B, ...): x_1 + .. + x_t, from ``initial`` on."""
        before = self.state.get(name, initial)
        if signal.when == FIRST:
            total = signal.value if before is None else signal.value + before
        else:
            x = signal.each(chunk)
            if before is not None:
                x = torch.cat([x[:1] + before, x[1:]])
            total = x.cumsum(dim=0) if chunk.steps > 1 else x
        if not chunk.final:
            self.state[name] = total[-1:].clone()
        return total

    def increments(self, chunk: Chunk, terms: Tensor, name: str) -> Tensor:
        """y_t = term_t - term_{t-1}, the term before t = 1 being zero."""
        before = self.state.get(name)
        if not chunk.final:
            self.state[name] = terms[-1:].clone()
        if before is None:
            return torch.cat([terms[:1], terms[1:] - terms[:-1]]) if len(terms) > 1 else terms
        return terms - torch.cat([before, terms[:-1]])


def same_when(signals: tuple[Signal, ...]) -> str:
    """How a stream varies that follows its operands at once."""
    kinds = {s.when for s in signals}
    return kinds.pop() if len(kinds) == 1 else EACH
