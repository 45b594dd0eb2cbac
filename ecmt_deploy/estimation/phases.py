"""What every core works and every link carries in each step of the chip, while one inference passes through the pipeline.

The unit at place d works on step t of the program in step t + d - 1 of the chip. Inferences that follow one another every T
steps lie on top of one another: in a full pipeline, phase p has the work of all steps p, p + T, p + 2 T, ..
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from ecmt_deploy.chips import Hardware, covered
from ecmt_deploy.estimation.amounts import work
from ecmt_deploy.estimation.bill import Bill, Tariff, sums
from ecmt_deploy.estimation.links import Links, Pattern
from ecmt_deploy.estimation.result import NOTHING
from ecmt_deploy.estimation.routing import packets_of, traffic
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.placement.pipeline import places
from ecmt_deploy.placement.result import Placement, Unit
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity


class Work(NamedTuple):
    """Work in steps of the chip, of one inference on average over the samples.

    Attributes
    ----------
    units : by column, the unit
    core_ns : time of the fullest core of each unit (where measured, of each core), (steps, columns, 3): low, value, high
    links : packets on each link, (steps, links)
    """

    units: tuple[str, ...]
    core_ns: np.ndarray
    links: np.ndarray

    def folded(self, timesteps: int) -> Work:
        """In a full pipeline, into which an inference enters every T steps: by phase, (T, ..)."""
        core_ns, links = (np.zeros((timesteps, *array.shape[1:])) for array in self[1:])
        for step, (times, packets) in enumerate(zip(self.core_ns, self.links, strict=True)):
            core_ns[step % timesteps] += times
            links[step % timesteps] += packets
        return Work(self.units, core_ns, links)


class Pipeline:
    """A program as placed: in which step of the chip each of its nodes works.

    Attributes
    ----------
    home : the unit of every node that a core computes
    place : its place in the pipeline, from 1
    depth : steps of the chip from the first unit to the last
    """

    def __init__(self, program: Program, placement: Placement) -> None:
        self.home = {node: unit for unit in placement.units for node in unit.nodes}
        extra = {node: unit.extra_steps for node, unit in self.home.items()}
        leaving = {(route.source, route.target) for route in placement.routes}  # also within a unit
        self.place = places(
            program, self.home, lambda a, b: self.home[a] is not self.home[b] or (a, b) in leaving, extra
        )  # fmt: skip
        self.depth = max((place + extra[node] for node, place in self.place.items()), default=0)


class Clock:
    """Times of actions on a chip, in ns."""

    def __init__(self, hardware: Hardware) -> None:
        self.tariff = Tariff(hardware.times, covered(hardware.times))
        self._known: dict[str, np.ndarray] = {}

    def time(self, action: str) -> np.ndarray:
        """Time of one action on a core, (3,): low, value, high; nothing where the chip gives none."""
        if action not in self._known:
            bill = Bill(self.tariff, "time")
            bill.charge(action, 1.0)
            total = sum(bill.components.values(), NOTHING)
            self._known[action] = np.array([total.low, total.value, total.high])
        return self._known[action]


def spread(activity: Activity, program: Program, hardware: Hardware, placement: Placement, pipeline: Pipeline) -> Work:
    """Work from the counts: even over the elements of a node, so that the fullest core of a unit has the largest tile.

    Counts of unknown steps are spread evenly over the steps.
    """
    clock, links = Clock(hardware), Links(hardware, placement)
    column = {unit.name: i for i, unit in enumerate(placement.units)}
    steps = pipeline.depth + activity.timesteps - 1
    core_ns, packets = np.zeros((steps, len(column), 3)), np.zeros((steps, links.number))
    share = {unit.name: fullest(unit, program) for unit in placement.units}
    patterns: dict[tuple[str, str], Pattern] = {}

    def add(node: str, t: int, action: str, amount: float) -> None:
        unit = pipeline.home[node]
        if unit.cores:
            step = pipeline.place[node] + t - 1
            core_ns[step, column[unit.name]] += clock.time(action) * (amount * share[unit.name])

    for t, (part, weight) in enumerate(_by_step(activity)):
        for node in pipeline.home:
            for action, amount, _ in work(part, program, node, hardware):
                if amount:
                    add(node, t, action, amount * weight)
        for sent in traffic(part, program, hardware, placement):
            add(sent.source, t, packets_of(program.nodes[sent.source]), sent.packets * weight)
            add(sent.target, t, "packets_in", sent.packets * weight)
            if links.known:
                ends = pipeline.home[sent.source], pipeline.home[sent.target]
                key = ends[0].name, ends[1].name
                pattern = patterns[key] if key in patterns else patterns.setdefault(key, links.pattern(*ends))
                packets[pipeline.place[sent.source] + t - 1] += links.packets(pattern, sent) * weight
    return Work(tuple(column), core_ns, packets)


def measured(loads: Loads, hardware: Hardware, placement: Placement) -> Work:
    """Work as it was measured, core by core and link by link."""
    clock = Clock(hardware)
    core_ns = np.zeros((loads.steps, loads.cores, 3))
    for action, counted in loads.core_actions.items():
        core_ns += counted[..., None] * (clock.time(action) / loads.samples)
    unit_of = {core: unit.name for unit in placement.units for core in range(unit.first_core, unit.first_core + unit.cores)}
    return Work(tuple(unit_of.get(core, "") for core in range(loads.cores)), core_ns, loads.link_packets / loads.samples)


def belong(loads: Loads, activity: Activity, placement: Placement, pipeline: Pipeline) -> bool:
    """Whether loads can be those of this placement: it has as many cores and steps."""
    return loads.cores == placement.cores and loads.steps == pipeline.depth + activity.timesteps - 1


def fullest(unit: Unit, program: Program) -> float:
    """Share of a unit's elements that its largest tile has, where tiles differ; of a unit of one core all."""
    if unit.cores <= 1:
        return 1.0
    elements = prod(program.shapes[unit.name])
    return min(max(unit.rows_per_core * unit.columns_per_core / elements, 1 / unit.cores), 1.0)


def untimed(
    activity: Activity, program: Program, hardware: Hardware, placement: Placement, pipeline: Pipeline
) -> dict[str, float]:
    """Counts that have no time, or are of units without cores, per inference and step, by name."""
    times, none = Tariff(hardware.times, covered(hardware.times)), Tariff({}, ())
    bills = {unit.name: Bill(times if unit.cores else none, "time") for unit in placement.units}
    for name, unit in pipeline.home.items():
        for action, amount, listed in work(activity, program, name, hardware):
            bills[unit.name].charge(action, amount / activity.timesteps, listed)
    for sent in traffic(activity, program, hardware, placement):
        packets = packets_of(program.nodes[sent.source])
        bills[pipeline.home[sent.source].name].charge(packets, sent.packets / activity.timesteps, "packets")
        bills[pipeline.home[sent.target].name].charge("packets_in", sent.packets / activity.timesteps)
    return sums(bill.unpriced for bill in bills.values())


def _by_step(activity: Activity) -> list[tuple[Activity, float]]:
    """The activity at every step; where that is unknown, as often the whole one with an equal share."""
    if not activity.steps:
        return [(activity, 1 / activity.timesteps)] * activity.timesteps
    return [(Activity(activity.n_samples, 1, nodes), 1.0) for nodes in activity.steps]
