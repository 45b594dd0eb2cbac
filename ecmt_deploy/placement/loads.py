"""What a placed run measured, core by core and link by link, in every step of the chip: nothing is averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecmt_deploy.chips.actions import ACTIONS, KINDS
from ecmt_deploy.errors import RunError

#: actions that a core does, by name; of ``ecm_ops`` one for each kind of elementwise work
CORE_ACTIONS = frozenset({*ACTIONS, *(f"ecm_ops.{kind}" for kind in KINDS)} - {"ecm_ops", "chip_time", "stranded"})
#: actions that are an event which a core works through: what arrives at a weight, what is updated or evaluated, what leaves
EVENTS = ("synops", "macs", "neuron_updates_active", "ecm_ops")


@dataclass(frozen=True, eq=False)
class Loads:
    """Work of every core and packets of every link, by step of the chip, summed over samples.

    The unit at place d of the pipeline works on step t of the program in step t + d - 1 of the chip, so there are T + depth - 1
    steps of the chip; the first is row 0.

    Attributes
    ----------
    core_actions : by action, named as in :mod:`ecmt_deploy.chips.actions` (``synops``, ``synops.product``,
        ``synops.convolution``, ``macs``, ``neuron_updates_active``, ``neuron_updates_idle``, ``spikes``, ``ecm_ops.KIND``;
        ``packets``, ``packets.analog``, ``packets_within_tile``, ``hops_ew``, ``hops_ns`` and ``chip_crossings`` at the core
        that sends, ``packets_in`` at the core that receives): (chip steps, cores) int64. A name stands for those events alone:
        ``synops`` does not include ``synops.product``
    link_packets : packets over each directed link, (chip steps, links) int64
    links : of each directed link the chip, the column and row of a tile in it, and the column and row of the next tile in the
        coordinates of the same chip; a next tile outside the chip's mesh is the first of the next chip
    samples : inferences that are summed
    """

    core_actions: dict[str, np.ndarray]
    link_packets: np.ndarray
    links: tuple[tuple[int, int, int, int, int], ...]
    samples: int

    def __post_init__(self) -> None:
        if wrong := self.contradiction():
            raise RunError(f"loads: {wrong}")

    def contradiction(self) -> str | None:
        """What of it cannot be; ``None`` where all can."""
        if self.samples < 1:
            return f"samples is {self.samples}, expected at least 1"
        if unknown := sorted(self.core_actions.keys() - CORE_ACTIONS):
            return f"core_actions holds {unknown[0]!r}, expected actions of a core"
        arrays = {**{f"core_actions.{name}": a for name, a in self.core_actions.items()}, "link_packets": self.link_packets}
        for name, array in arrays.items():
            if array.ndim != 2 or array.dtype != np.int64:
                return f"{name} is {array.dtype} of shape {array.shape}, expected int64 of two axes"
            if array.min(initial=0) < 0:
                return f"{name} holds {array.min()}, expected no negative counts"
        if len({a.shape for a in self.core_actions.values()}) > 1:
            return "core_actions differ in shape, expected (chip steps, cores) of all"
        if any(len(a) != len(self.link_packets) for a in self.core_actions.values()):
            return f"link_packets has {len(self.link_packets)} chip steps, core_actions another number"
        if self.link_packets.shape[1] != len(self.links) or len(set(self.links)) != len(self.links):
            return f"link_packets has {self.link_packets.shape[1]} links, links names {len(set(self.links))}"
        return None

    @property
    def steps(self) -> int:
        """Steps of the chip."""
        return len(self.link_packets)

    @property
    def cores(self) -> int:
        """Cores that hold something."""
        return max((array.shape[1] for array in self.core_actions.values()), default=0)

    def total(self, *families: str) -> np.ndarray:
        """Amounts of actions, and of those that are named after them (``ecm_ops.gelu`` of ``ecm_ops``): (chip steps, cores)."""
        chosen = [a for name, a in self.core_actions.items() if name in families or name.partition(".")[0] in families]
        return np.sum(chosen, axis=0, dtype=np.int64) if chosen else np.zeros((self.steps, self.cores), np.int64)

    @property
    def events(self) -> np.ndarray:
        """Events that each core worked through in each step, (chip steps, cores): synaptic events, multiply-accumulates, active
        neuron updates, elements evaluated."""
        return self.total(*EVENTS)

    def __add__(self, other: Loads) -> Loads:
        """Sum over two disjoint sets of samples of one placed program.

        Raises
        ------
        RunError
            if they differ in cores, steps or links.
        """
        same = (self.links, self.steps, self.cores) == (other.links, other.steps, other.cores)
        if not same:
            raise RunError("loads do not add: they are of other cores, links or steps; add only runs of one placed program")
        names = sorted({*self.core_actions, *other.core_actions})
        sums = {name: self.total_of(name) + other.total_of(name) for name in names}
        return Loads(sums, self.link_packets + other.link_packets, self.links, self.samples + other.samples)

    def total_of(self, action: str) -> np.ndarray:
        """One action, zeros where it never happened: (chip steps, cores)."""
        return self.core_actions.get(action, np.zeros((self.steps, self.cores), np.int64))
