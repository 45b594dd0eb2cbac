"""What happened while a program ran: integer counts per node. Targets count, hardware descriptions price."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from ecmt_deploy.errors import RunError, plural
from ecmt_deploy.kernels.counts import INTEGER_COUNTS as INTEGER_COUNTS
from ecmt_deploy.kernels.counts import Counts as Counts
from ecmt_deploy.shown import Plotted, Tabular


class Activity(Tabular, Plotted, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of every node of a program over ``n_samples`` inferences of ``timesteps`` steps: a mapping by node name.

    Attributes
    ----------
    n_samples : inferences; of streams, frames of all of them together
    timesteps : steps of an inference
    nodes : counts by node
    continued : inferences that went on from the state of the one before: all frames of a stream but the first
    steps : the same counts at each time step t = 1..T, which add up to ``nodes``; what is counted once per inference
        (``dense_macs``, an encoding layer's ``macs``) is of step 1. Empty where unknown, as in files of older versions
    """

    charts = ("events",)

    n_samples: int
    timesteps: int
    nodes: dict[str, Counts]
    continued: int = 0
    steps: tuple[dict[str, Counts], ...] = ()

    def __repr__(self) -> str:
        sums = {kind: sum(getattr(counts, kind) for counts in self.nodes.values()) for kind in ("spikes", "synops", "macs")}
        counted = ", ".join(f"{count:,} {kind}" for kind, count in sums.items())
        return f"Activity({plural(self.n_samples, 'sample')}, T = {self.timesteps}, {plural(len(self), 'node')}: {counted})"

    def __getitem__(self, name: str) -> Counts:
        return self.nodes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    @property
    def frames(self) -> int | None:
        """Frames of each stream; ``None`` where every inference began anew, or streams differ in length."""
        streams = self.n_samples - self.continued
        return self.n_samples // streams if self.continued and streams and self.n_samples % streams == 0 else None

    def keys(self) -> list[str]:
        """Node names, in the order of the program."""
        return list(self.nodes)

    def items(self) -> list[tuple[str, Counts]]:
        """Pairs of node name and counts, in the order of the program."""
        return list(self.nodes.items())

    def events_per_mac(self, encoding: Collection[str]) -> float | None:
        """Synaptic events per multiply-accumulate of the ANN: (synops + macs) / dense MACs.

        The encoding layers, named in ``encoding``, are left out of both; ``None`` where there is nothing else.
        """
        outside = [counts for name, counts in self.nodes.items() if name not in encoding]
        dense = sum(counts.dense_macs for counts in outside)
        return sum(counts.synops + counts.macs for counts in outside) / dense if dense else None

    def payload_bits(self, spike_bits: Mapping[str, int]) -> float | None:
        """Bits of a spike on average, given those of every neuron's; ``None`` where there was no spike."""
        spikes = sum(self.nodes[name].spikes for name in spike_bits)
        return sum(self.nodes[name].spikes * bits for name, bits in spike_bits.items()) / spikes if spikes else None

    def __add__(self, other: Activity) -> Activity:
        """Sum over two disjoint sets of samples, or parts of a stream, of one program.

        It has counts per step where both have.

        Raises
        ------
        RunError
            if they differ in time steps or nodes.
        """
        if self.timesteps != other.timesteps or self.nodes.keys() != other.nodes.keys():
            raise RunError(
                f"activities do not add: {self.timesteps} and {other.timesteps} time steps, {len(self)} and {len(other)} nodes;"
                " add only runs of one program with one number of steps"
            )
        nodes = summed((self.nodes, other.nodes))
        steps = tuple(summed(both) for both in zip(self.steps, other.steps, strict=True)) if self.steps and other.steps else ()
        return Activity(self.n_samples + other.n_samples, self.timesteps, nodes, self.continued + other.continued, steps)

    def differences(self, other: Activity) -> list[str]:
        """One line per node and count in which two activities differ, and where these are equal per step, if both have steps;
        empty where they are identical.
        """
        lines = _differences(self.nodes, other.nodes, "")
        if not lines and self.steps and other.steps:
            for t, (mine, theirs) in enumerate(zip(self.steps, other.steps, strict=False), start=1):
                lines += _differences(mine, theirs, f" at step {t}")
        return lines


def summed(parts: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Counts added node by node, of one part at least."""
    first, *others = parts
    total = dict(first)
    for part in others:
        total = {name: counts + part[name] for name, counts in total.items()}
    return total


def _differences(mine: Mapping[str, Counts], theirs: Mapping[str, Counts], when: str) -> list[str]:
    """One line per node and count that differ."""
    none = Counts()
    found = {name: mine.get(name, none).differences(theirs.get(name, none)) for name in sorted({*mine, *theirs})}
    return [f"{name}.{field}{when}: {a} against {b}" for name, differing in found.items() for field, a, b in differing]


def empty(names: Mapping[str, object] | list[str], timesteps: int) -> Activity:
    """The activity of no samples: the neutral element of addition for a program with these node names."""
    return Activity(0, timesteps, dict.fromkeys(names, Counts()), steps=(dict.fromkeys(names, Counts()),) * timesteps)
