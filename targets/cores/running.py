"""Cores at work: each with its own parameters, axons and state, a barrier after every step of the chip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ecmt_deploy.estimation.amounts import WORK_COUNTS, synapses_of
from ecmt_deploy.kernels import Kernel, Site, Stream, kernel, present
from ecmt_deploy.kernels.counts import INTEGER_COUNTS
from ecmt_deploy.program.activity import Counts
from ecmt_deploy.program.frames import COLUMNS, counts_of

from .layout import Group, Layout, Node
from .traffic import Traffic

#: called with the name of a node and the step of the program that it has just finished
Watch = Callable[[str, int], None]


class Running(NamedTuple):
    """A group at work: its kernel, and where its slots lie among those of all cores."""

    group: Group
    kernel: Kernel
    slots: tuple[slice, ...]


class Link(NamedTuple):
    """Axons of one node to one operand of another, over all cores."""

    consumer: str
    operand: int
    elements: np.ndarray
    slots: np.ndarray


class Arrived(NamedTuple):
    """What has arrived in the slots of an operand for one step of the program."""

    value: np.ndarray
    event: np.ndarray


class Machine:
    """The cores of a placed program.

    Parameters
    ----------
    layout : what they hold
    timesteps : steps of an inference

    Attributes
    ----------
    values : by node, the stream it sent last, flat
    rows : counts of every node and step of the program, as in :class:`~ecmt_deploy.program.frames.FrameCounts`
    traffic : what cores did and what travelled, by step of the chip
    """

    def __init__(self, layout: Layout, timesteps: int) -> None:
        self.layout, self.timesteps = layout, timesteps
        self.running = {name: _started(groups, layout.nodes[name]) for name, groups in layout.groups.items()}
        self.links: dict[str, list[Link]] = defaultdict(list)
        groups_of = layout.groups.items()
        self.rows_of = {
            name: [_joined([group.inlets[k].together for group in groups]) for k in range(len(groups[0].inlets))]
            for name, groups in groups_of
        }  # fmt: skip
        self.own_rows = {name: _joined([group.together for group in groups]) for name, groups in groups_of}
        self.made = {name: np.concatenate([group.elements.ravel() for group in groups]) for name, groups in groups_of}
        self._connect()
        self.host = {name: _hosted(layout, name) for name in layout.host}
        self.background = {
            (name, k): tuple(self._background(name, k, later) for later in (False, True))
            for name, groups in groups_of for k in range(len(groups[0].inlets))
        }  # fmt: skip
        self.waiting: dict[tuple[str, int, int], Arrived] = {}
        self.values: dict[str, np.ndarray] = {}
        self.rows = {name: np.zeros((timesteps, COLUMNS), np.int64) for name in layout.nodes}
        self.traffic = Traffic(layout, timesteps + layout.depth - 1)

    def _connect(self) -> None:
        """Axon tables of all cores, by the node that emits."""
        for name, running in self.running.items():
            for k in range(len(running[0].slots)):
                tables: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
                for each in running:
                    for emitter, axon in each.group.inlets[k].axons.items():
                        tables[emitter].append((axon.elements, axon.slots + each.slots[k].start))
                for emitter, parts in tables.items():
                    elements, slots = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
                    self.links[emitter].append(Link(name, k, elements, slots))

    def _background(self, name: str, k: int, later: bool) -> Arrived:
        """What constants put into the slots of an operand."""
        size = self.running[name][-1].slots[k].stop
        found = Arrived(np.zeros(size, np.int64), np.zeros(size, bool))
        for each in self.running[name]:
            constants = each.group.inlets[k].later if later else each.group.inlets[k].first
            found.value[each.slots[k]][constants.slots] = constants.values
            found.event[each.slots[k]][constants.slots] = True
        return found

    def infer(self, sample: np.ndarray, watch: Watch) -> Iterator[np.ndarray]:
        """Run one sample, and yield the readout after every step of the program."""
        self.waiting.clear()
        for running in self.running.values():
            for each in running:
                each.kernel.reset()
        before = {}
        for name, hosted in self.host.items():
            hosted.reset()
            before[name] = np.array(hosted.row, np.int64)
        present(self.layout, self.host, sample)
        for t in range(1, self.timesteps + 1):
            self._outside(t, before)
            for name in self.host:
                watch(name, t)
        readout = self.layout.of_role("readout")
        for step in range(self.timesteps + self.layout.depth - 1):
            barrier: list[tuple[str, int, Stream]] = []  # what is under way when the step ends
            for name in self.running:
                t = step + 2 - self.layout.nodes[name].place
                if 1 <= t <= self.timesteps:
                    sent = self._advance(name, t, step)
                    self._deliver(name, t, sent, at_once=True)
                    barrier.append((name, t, sent))
                    watch(name, t)
                    if name == readout:
                        yield self.values[name].reshape(self.layout.nodes[name].shape)
            for name, t, sent in barrier:
                self._deliver(name, t, sent, at_once=False)

    def _outside(self, t: int, before: dict[str, np.ndarray]) -> None:
        """What enters from outside at a step of the program: what the host computes, and the messages of constants as they are
        counted; the counts of the host's nodes ``before`` become those after."""
        streams: dict[str, Stream] = {}
        for name, running in self.host.items():
            streams[name] = running.step(t, *(streams[source] for source in self.layout.host[name].operands))
            counted = np.array(running.row, np.int64)
            if self.layout.nodes[name].role != "constant":
                self.rows[name][t - 1] += counted - before[name]
            before[name] = counted
            value, event = streams[name]
            self._deliver(name, t, Stream(value.ravel(), event.ravel()), at_once=None)
        for name, node in self.layout.nodes.items():
            if node.role == "constant" and (t == 1 or node.always):
                self.rows[name][t - 1, INTEGER_COUNTS.index("analog_messages")] += node.size

    def _advance(self, name: str, t: int, step: int) -> Stream:
        """One node on all its cores at step ``t`` of the program: what it sends, flat."""
        node, running = self.layout.nodes[name], self.running[name]
        operands = [self._arrived(name, k, t) for k in range(len(running[0].slots))]
        value, event = np.zeros(node.size, np.int64), np.zeros(node.size, bool)
        counted = []
        for group, core, slots in running:
            taken = [
                Stream(arrived.value[part].reshape(inlet.shape), arrived.event[part].reshape(inlet.shape))
                for arrived, part, inlet in zip(operands, slots, group.inlets, strict=True)
            ]
            before = np.array(core.row, np.int64)
            sent = core.step(t, *taken)
            counted.append(np.array(core.row, np.int64) - before)
            made = group.elements.ravel()
            value[made], event[made] = sent.value.ravel(), sent.changed.ravel()
        rows = self.own_rows[name]
        if rows is not None and t > 1:
            event = self._whole_rows(name, rows, event, counted)
        for group, row in zip((each.group for each in running), counted, strict=True):
            self.rows[name][t - 1] += row
            self._worked(step, group, row)
        self.values[name] = value
        self.traffic.sent(step, name, event)
        return Stream(value, event)

    def _whole_rows(self, name: str, rows: np.ndarray, event: np.ndarray, counted: list[np.ndarray]) -> np.ndarray:
        """Events of a stream whose rows are sent whole, over all cores that have some of a row; counts are brought in line."""
        made = self.made[name]
        reached = np.zeros(len(event), bool)
        reached[rows[event[made]]] = True
        whole = np.zeros(len(event), bool)
        whole[made] = reached[rows]
        column = INTEGER_COUNTS.index("analog_messages")
        for each, row in zip(self.running[name], counted, strict=True):
            mine = each.group.elements.ravel()
            row[column] += np.count_nonzero(whole[mine]) - np.count_nonzero(event[mine])
        return whole

    def _worked(self, step: int, group: Group, row: np.ndarray) -> None:
        """Count the work of a core under the names of actions."""
        for count in WORK_COUNTS:
            self.traffic.worked(step, group.core, count, int(row[INTEGER_COUNTS.index(count)]))
        self.traffic.worked(step, group.core, synapses_of(group.op), int(row[INTEGER_COUNTS.index("synops")]))
        self.traffic.worked(step, group.core, f"ecm_ops.{self._kind(group.node)}", int(row[-1]))

    def _kind(self, name: str) -> str | None:
        """Under which kind the elementwise work of a node is counted."""
        if name in self.host:
            return self.host[name].ecm_kind
        return self.running[name][0].kernel.ecm_kind if name in self.running else None

    def _arrived(self, name: str, k: int, t: int) -> Arrived:
        """What an operand holds at a step, over all cores; one event in a row counts for the whole row."""
        arrived = self.waiting.pop((name, k, t), self.background[name, k][t > 1])
        event = arrived.event
        rows = self.rows_of[name][k]
        if rows is not None and event.any():
            reached = np.zeros(int(rows.max()) + 1, bool)
            reached[rows[event]] = True
            event = reached[rows]
        return Arrived(arrived.value, event)

    def _deliver(self, name: str, t: int, sent: Stream, at_once: bool | None) -> None:
        """Put messages into the slots of who reads them; ``at_once``: within their cores, where the reader follows in the same
        step; otherwise all others."""
        place = self.layout.nodes[name].place
        for consumer, k, elements, slots in self.links[name]:
            if at_once is not None and at_once != (self.layout.nodes[consumer].place == place):
                continue
            there = sent.changed[elements]
            if not there.any():
                continue
            key = (consumer, k, t)
            if key not in self.waiting:
                value, event = self.background[consumer, k][t > 1]
                self.waiting[key] = Arrived(value.copy(), event.copy())
            arrived, put = self.waiting[key], slots[there]
            arrived.value[put], arrived.event[put] = sent.value[elements[there]], True

    def counts(self, name: str) -> list[Counts]:
        """Counts of a node at every step of the program, over all samples."""
        return [counts_of(row.tolist(), self._kind(name)) for row in self.rows[name]]


def _hosted(layout: Layout, name: str) -> Kernel:
    """The kernel of a node that no core computes."""
    op, operands, _ = layout.host[name]
    shapes, none = tuple(layout.nodes[source].shape for source in operands), (False,) * len(operands)
    once = tuple(layout.host[source].exact for source in operands)
    node = layout.nodes[name]
    site = Site(shapes, node.shape, none, node.encoding, name=name, network_macs=node.network_macs, once=once)
    return kernel(op, site, np.dtype(np.int64))


def _started(groups: tuple[Group, ...], node: Node) -> list[Running]:
    """Kernels of a node, core by core; what the network spends on it belongs to the first."""
    starts = [0] * len(groups[0].inlets)
    running = []
    for number, group in enumerate(groups):
        macs = node.network_macs if number == 0 or node.network_macs is None else 0
        site = Site(
            operand_shapes=tuple(inlet.shape for inlet in group.inlets),
            shape=group.elements.shape,
            spiking=tuple(inlet.spiking for inlet in group.inlets),
            encoding=node.encoding,
            name=group.node,
            network_macs=macs,
            counted=tuple(inlet.counted for inlet in group.inlets),
            once=tuple(inlet.once for inlet in group.inlets),
        )
        slots = tuple(slice(start, start + inlet.size) for start, inlet in zip(starts, group.inlets, strict=True))
        starts = [part.stop for part in slots]
        running.append(Running(group, kernel(group.op, site, np.dtype(np.int64)), slots))
    return running


def _joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
    """Numbers of rows over all cores; ``None`` where there are none."""
    known = [part.ravel() for part in parts if part is not None]
    return np.unique(np.concatenate(known), return_inverse=True)[1].ravel() if known else None
