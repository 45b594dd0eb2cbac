"""Packets on their ways over the mesh, and the work of every core, counted in every step of the chip."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.placement.paths import distances, paths
from ecmt_deploy.placement.terms import Mesh

from .layout import Layout


class Leaving(NamedTuple):
    """Messages of a node that leave their core for one operand of another: element ``elements[i]`` takes way ``ways[i]``."""

    elements: np.ndarray
    ways: np.ndarray


class Traffic:
    """Counts what travels, and what cores do.

    Parameters
    ----------
    chip_steps : steps of the chip that an inference takes
    """

    def __init__(self, layout: Layout, chip_steps: int) -> None:
        self.layout, self.chip_steps, cores = layout, chip_steps, layout.cores
        found = [(emitter, pairs) for emitter, pairs in _leaving(layout)]
        ways = np.unique(np.concatenate([pairs[1] for _, pairs in found])) if found else np.zeros(0, np.int64)
        self.sources, self.targets = np.divmod(ways, max(cores, 1))
        self.leaving: dict[str, list[Leaving]] = defaultdict(list)
        for emitter, (elements, pairs) in found:
            self.leaving[emitter].append(Leaving(elements, np.searchsorted(ways, pairs)))
        mesh = None if layout.mesh is None else Mesh(*layout.mesh)
        self.paths = paths(layout.where, self.sources, self.targets, mesh, layout.chip_columns)
        crossings, east_west, north_south = distances(layout.where, self.sources, self.targets, layout.chip_columns)
        within = (east_west + north_south == 0) & (mesh is not None)
        self.lengths = {
            "packets_within_tile": within.astype(np.int64), "hops_ew": east_west, "hops_ns": north_south,
            "chip_crossings": crossings,
        }  # fmt: skip
        self.actions: dict[str, np.ndarray] = {}
        self.link_packets = np.zeros((chip_steps, len(self.paths.links)), np.int64)

    def worked(self, step: int, core: int, action: str, amount: int) -> None:
        """Count what a core did in a step of the chip, from 0."""
        if amount:
            self._table(action)[step, core] += amount

    def sent(self, step: int, emitter: str, events: np.ndarray) -> None:
        """Count the packets of the messages that a node sends in a step: of each element, whether it sends one."""
        node = self.layout.nodes[emitter]
        count = np.zeros(len(self.sources), np.int64)
        for elements, ways in self.leaving.get(emitter, ()):
            count += np.bincount(ways[events[elements]], minlength=len(count))
        count *= node.packets
        self.link_packets[step] += self.paths.packets(count)
        self._add(step, "packets" if node.role == "neuron" else "packets.analog", self.sources, count)
        self._add(step, "packets_in", self.targets, count)
        for action, length in self.lengths.items():
            self._add(step, action, self.sources, count * length)

    def _add(self, step: int, action: str, cores: np.ndarray, amounts: np.ndarray) -> None:
        if amounts.any():
            found = np.bincount(cores, weights=amounts, minlength=self.layout.cores)
            self._table(action)[step] += found.astype(np.int64)

    def _table(self, action: str) -> np.ndarray:
        return self.actions.setdefault(action, np.zeros((self.chip_steps, self.layout.cores), np.int64))

    def loads(self, samples: int) -> Loads:
        """All that was counted, over so many inferences."""
        actions = self.actions or {"packets": np.zeros((self.chip_steps, self.layout.cores), np.int64)}
        return Loads(dict(sorted(actions.items())), self.link_packets, self.paths.links, samples)


def _leaving(layout: Layout) -> list[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """By emitter and operand that it reaches: elements, and source and target core of each as one number; each once."""
    core_of, cores, found = layout.core_of, layout.cores, []
    for groups in layout.groups.values():
        for k in range(len(groups[0].inlets)):
            arriving: dict[str, list[np.ndarray]] = defaultdict(list)
            for group in groups:
                for emitter, axon in group.inlets[k].axons.items():
                    arriving[emitter].append(np.unique(axon.elements) * cores + group.core)
            for emitter, parts in arriving.items():
                if emitter not in core_of:  # the image comes from outside
                    continue
                elements, targets = np.divmod(np.concatenate(parts), cores)
                sources = core_of[emitter][elements]
                leaves = sources != targets
                if leaves.any():
                    found.append((emitter, (elements[leaves], (sources * cores + targets)[leaves])))
    return found
