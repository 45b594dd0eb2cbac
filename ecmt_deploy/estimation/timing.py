"""How long an inference takes: the busiest core and the barrier make a step, the depth of the program a latency."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from ecmt_deploy.chips import Hardware, covered
from ecmt_deploy.chips.schema import Barrier
from ecmt_deploy.estimation.amounts import work
from ecmt_deploy.estimation.bill import Bill, Tariff, band, sums
from ecmt_deploy.estimation.result import NOTHING, Band, Timing
from ecmt_deploy.estimation.routing import packets_of, routed, traffic
from ecmt_deploy.placement.result import Placement, Unit
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity


class _Step(NamedTuple):
    """Length in ns, the unit that decides it, work without a time by count, and what it rests on."""

    length: Band
    busiest: str | None
    unknown: dict[str, float]
    assumptions: list[str]


def timing(activity: Activity, program: Program, hardware: Hardware, placement: Placement) -> Timing | None:
    """Time of an inference; ``None`` where the chip says nothing about its steps."""
    step, steps, depth = _step(activity, program, hardware, placement), activity.timesteps, depth_of(program, placement)
    if step is None or not step.length.low:
        return None
    step_us = step.length * 1e-3
    said = (
        f"A unit hands its result on in the next step of the chip: {depth} units one behind another fill the pipeline, "
        "and once it is full every unit works in every step."
    )
    return Timing(
        depth=depth,
        steps=steps,
        step_us=step_us,
        busiest=step.busiest,
        latency_us=step_us * (depth + steps - 1),
        throughput_per_s=Band(*(1e6 / (steps * us) for us in (step_us.high, step_us.value, step_us.low))),
        unknown=step.unknown,
        assumptions=(said, *step.assumptions),
    )


def _step(activity: Activity, program: Program, hardware: Hardware, placement: Placement) -> _Step | None:
    """The chip's clock tick, or the work of the busiest core and the barrier."""
    if "step_ns" in hardware.times:
        said = "The chip's clock tick is the step; the work of every core is assumed to fit in it."
        return _Step(band(hardware.times["step_ns"]), None, {}, [said])
    if not routed(hardware, placement) or not (hardware.times.keys() - {"hop_ns"} or hardware.barrier):
        return None
    worked, unknown = _work(activity, program, hardware, placement)
    busiest = max(worked, key=lambda name: worked[name].value, default=None)
    length = worked[busiest] if busiest is not None else NOTHING
    assumptions = [
        "A core works through the events of its unit one by one, spread evenly over its cores, steps and samples.",
        "Packets travel while cores work: hops take no time of their own.",
    ]
    if not hardware.barrier:
        return _Step(length, busiest, {**unknown, "barriers": 1.0}, assumptions)
    end, assumed = _barrier(hardware.barrier, _tiles(placement))
    return _Step(length + end, busiest, unknown, assumptions + assumed)


def depth_of(program: Program, placement: Placement) -> int:
    """Units one behind another on the longest way through the program."""
    home = _homes(placement)
    # of each stream: the units that made it, each with its place in the pipeline
    made: dict[str, dict[str, int]] = {}
    depth = 0
    for name, operands in program.operands.items():
        arriving: dict[str, int] = {}
        for operand in operands:
            for unit, place in made[operand].items():
                arriving[unit] = max(arriving.get(unit, 0), place)
        if name in home:
            mine = home[name].name
            place = max((p + (unit != mine) for unit, p in arriving.items()), default=1)
            arriving, depth = {mine: place}, max(depth, place)
        made[name] = arriving
    return depth


def _homes(placement: Placement) -> dict[str, Unit]:
    return {node: unit for unit in placement.units for node in unit.nodes}


def _work(
    activity: Activity, program: Program, hardware: Hardware, placement: Placement
) -> tuple[dict[str, Band], dict[str, float]]:
    """Time in ns that a core of each unit works in a step, and the counts per step that have no time."""
    home, steps = _homes(placement), activity.timesteps
    times, none = Tariff(hardware.times, covered(hardware.times)), Tariff({}, ())
    bills = {unit.name: Bill(times if unit.cores else none, "time") for unit in placement.units}
    for name, unit in home.items():
        for action, amount, listed in work(activity, program, name, hardware):
            bills[unit.name].charge(action, amount / steps, listed)
    for sent in traffic(activity, program, hardware, placement):
        packets = packets_of(program.nodes[sent.source])
        bills[home[sent.source].name].charge(packets, sent.packets / steps, "packets")
        bills[home[sent.target].name].charge("packets_in", sent.packets / steps)
    worked = {
        unit.name: sum(bills[unit.name].components.values(), NOTHING) * (1 / max(unit.cores, 1)) for unit in placement.units
    }
    return worked, sums(bill.unpriced for bill in bills.values())


def _tiles(placement: Placement) -> int:
    """Tiles with a core in use."""
    return ceil(placement.cores / placement.mesh[2]) if placement.mesh else placement.cores


def _barrier(points: Sequence[Barrier], tiles: int) -> tuple[Band, list[str]]:
    """Time of a barrier over so many tiles; beyond the points that are given, that of the nearest."""
    first, last = points[0], points[-1]
    if tiles <= first.tiles:
        return band(first.time), []
    if tiles > last.tiles:
        said = f"A barrier of {tiles} tiles is taken to last as long as one of {last.tiles}, the most published."
        return band(last.time), [said]
    a, b = next((a, b) for a, b in pairwise(points) if tiles <= b.tiles)
    share = (tiles - a.tiles) / (b.tiles - a.tiles)
    return band(a.time) * (1 - share) + band(b.time) * share, []
