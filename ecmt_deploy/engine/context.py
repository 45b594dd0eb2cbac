"""What changes while a program runs: state and counts. It is passed to the ops, which hold nothing that changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ecmt_deploy.engine.counting import Counting, Tally
from ecmt_deploy.errors import NotFiniteError
from ecmt_deploy.program.activity import Counts


@dataclass
class NodeRun:
    """One node's part: its state between chunks of time, and its counts."""

    state: dict[str, Tensor] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)


class RunContext:
    """One run of a program. Two runs of one model, in two threads, have a context each and share nothing that changes.

    Parameters
    ----------
    names : of the program's nodes
    identity : whether neurons pass their membrane on, which makes the analog network
    spiking : the one neuron that spikes all the same; :attr:`membrane` then has what it has not sent at the end
    """

    def __init__(self, names: Iterable[str], identity: bool = False, spiking: str | None = None) -> None:
        self.identity, self.spiking = identity, spiking
        self.nodes = {name: NodeRun() for name in names}
        self.membrane: Tensor | None = None
        self._extremes: list[tuple[str, Tensor, Tensor]] = []
        self._counting = Counting([node.tally for node in self.nodes.values()])

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

    def sum_counts(self) -> None:
        """Sum what was counted since the last time."""
        self._counting.sum()

    def counts(self) -> dict[str, Counts]:
        """Counts of every node; fetched from the device once."""
        return dict(zip(self.nodes, self._counting.counts(), strict=True))
