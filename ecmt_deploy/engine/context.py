"""What changes while a program runs: state and counts. It is passed to the ops, which hold nothing that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine.counting import Counting, Span, Tally
from ecmt_deploy.engine.plan import Plan
from ecmt_deploy.errors import NotFiniteError

#: called with a node's name and values (B, ...)
Observer = Callable[[str, Tensor], None]
#: called with a neuron's name and its operand (B, ...), gives what goes on in its place
Passing = Callable[[str, Tensor], Tensor]


@dataclass
class NodeRun:
    """One node's part: its state between chunks of time, and its counts."""

    state: dict[str, Tensor] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)


class RunContext:
    """One run of a program. Two runs of one model, in two threads, have a context each and share nothing that changes.

    Parameters
    ----------
    plan : what its nodes may do for each other
    names : of the program's nodes
    compiled : whether neurons run as compiled kernels
    identity : whether neurons pass their membrane on, which makes the analog network
    watch_neurons : called with a neuron's name and its operand (B, ...), step after step
    watch_streams : called with a node's name and its stream (B, ...), step after step
    passing : of a run of one step, what takes the place of a neuron's operand
    spiking : the one neuron that spikes all the same; :attr:`membrane` then has what it has not sent at the end
    watch_events : called with a neuron's name and the events of every row of it (steps, B, ..., 1)
    dtype : of the model; tokens, and what is exact, may be wider
    streaming : whether chunks are frames of a stream, so that what is the same at every step of one may be news in the next
    """

    def __init__(
        self, plan: Plan, names: Iterable[str], *, compiled: bool = False, identity: bool = False, spiking: str | None = None,
        streaming: bool = False, dtype: torch.dtype = torch.float32, watch_events: Observer | None = None,
        watch_neurons: Observer | None = None, watch_streams: Observer | None = None, passing: Passing | None = None,
    ) -> None:  # fmt: skip
        self.plan, self.compiled, self.identity, self.spiking = plan, compiled, identity, spiking
        self.dtype = dtype
        self.streaming, self.watch_events = streaming, watch_events
        self.watch_neurons, self.watch_streams, self.passing = watch_neurons, watch_streams, passing
        self.nodes = {name: NodeRun() for name in names}
        self.membrane: Tensor | None = None
        self._extremes: list[tuple[str, Tensor, Tensor]] = []
        self._counting = Counting([node.tally for node in self.nodes.values()])

    @property
    def watched(self) -> bool:
        """Whether somebody looks at streams, or changes them, so that they have to be what the program says, one by one."""
        return not (self.watch_neurons is self.watch_streams is self.passing is None)

    def passes_on(self, name: str) -> bool:
        """Whether neuron ``name`` sends its membrane as it is."""
        return self.identity and name != self.spiking

    def begin(self) -> None:
        """Before t = 1: all state is zero. Counts go on."""
        for node in self.nodes.values():
            node.state = {}

    def watch_range(self, name: str, value: Tensor) -> None:
        """Remember the extremes of what reaches a node, for :meth:`require_finite`."""
        if value.numel():
            self._extremes.append((name, *torch.aminmax(value.detach())))

    def require_finite(self) -> None:
        """Raise :class:`NotFiniteError` if anything watched so far was infinite or no number; the device is waited for once."""
        if not self._extremes:
            return
        names, lowest, highest = zip(*self._extremes, strict=True)
        self._extremes = []
        finite = torch.stack([*lowest, *highest]).isfinite().reshape(2, -1).all(dim=0)
        if not finite.all():
            raise NotFiniteError(names[finite.tolist().index(False)], lowest[0].dtype)

    def sum_counts(self, span: Span) -> None:
        """Sum what was counted of a chunk since the last time."""
        self._counting.sum(span)

    def rows(self, start: int, steps: int) -> np.ndarray:
        """Counts of every node at steps ``start``, ``start + 1``, .. since the last time, (steps, nodes, columns); fetched from
        the device once.
        """
        return self._counting.take(start, steps)
