"""How long an inference takes: the busiest core and the barrier make a step, the depth of the program a latency."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

from ecmt_deploy.chips import Figure, Hardware
from ecmt_deploy.chips.schema import Barrier
from ecmt_deploy.estimation.bill import band
from ecmt_deploy.estimation.result import NOTHING, Band, Timing
from ecmt_deploy.estimation.routing import routed, traffic
from ecmt_deploy.placement.result import Placement, Unit
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity

#: counts of a node that its core works through, and the time of each
_TIMES = {
    "synops": "synop_ns",
    "neuron_updates_active": "neuron_update_active_ns",
    "neuron_updates_idle": "neuron_update_idle_ns",
    "spikes": "spike_ns",
}


def timing(activity: Activity, program: Program, hardware: Hardware, placement: Placement) -> Timing | None:
    """Time of an inference; ``None`` where the chip says nothing about its steps."""
    times, steps = hardware.times, activity.timesteps
    depth = depth_of(program, placement)
    said = [
        f"A unit hands its result on in the next step of the chip: {depth} units one behind another fill the pipeline, "
        "and once it is full every unit works in every step."
    ]
    unknown: dict[str, float] = {}
    busiest: str | None = None
    if times.step_ns is not None:
        step = band(times.step_ns)
        said.append("The chip's clock tick is the step; the work of every core is assumed to fit in it.")
    elif routed(hardware, placement) and any(getattr(times, name) for name in times.__struct_fields__ if name != "hop_ns"):
        work, unknown = _work(activity, program, hardware, placement)
        busiest = max(work, key=lambda name: work[name].value, default=None)
        step = work[busiest] if busiest is not None else NOTHING
        said.append("A core works through the events of its unit one by one, spread evenly over its cores, steps and samples.")
        said.append("Packets travel while cores work: hops take no time of their own.")
        if times.barrier:
            end, assumed = _barrier(times.barrier, _tiles(placement))
            step, said = step + end, [*said, *assumed]
        else:
            unknown["barriers"] = 1.0
    else:
        return None
    if not step.low:
        return None
    step = step * 1e-3
    latency = step * (depth + steps - 1)
    return Timing(
        depth=depth,
        steps=steps,
        step_us=step,
        busiest=busiest,
        latency_us=latency,
        throughput_per_s=Band(*(1e6 / (steps * us) for us in (step.high, step.value, step.low))),
        unknown=unknown,
        assumptions=tuple(said),
    )


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
    times, steps = hardware.times, activity.timesteps
    work = {unit.name: NOTHING for unit in placement.units}
    unknown: dict[str, float] = {}

    def spend(unit: Unit, count: str, amount: float, figure: Figure | None) -> None:
        """``amount`` of a count per inference."""
        if not amount:
            return
        if figure is None or not unit.cores:
            unknown[count] = unknown.get(count, 0.0) + amount / steps
        else:
            work[unit.name] += band(figure) * (amount / steps / unit.cores)

    home = _homes(placement)
    for name, counts in activity.items():
        if name not in home:
            continue
        for count, time in _TIMES.items():
            spend(home[name], count, getattr(counts, count) / activity.n_samples, getattr(times, time))
        spend(home[name], "macs", counts.macs / activity.n_samples, None)
        for function, amount in counts.ecm_ops.items():
            spend(home[name], f"ecm_ops.{function}", amount / activity.n_samples, None)
    for sent in traffic(activity, program, hardware, placement):
        spend(home[sent.route.source], "packets", sent.packets, times.message_ns)
        spend(home[sent.route.target], "packets_in", sent.packets, times.message_in_ns)
    return work, unknown


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
