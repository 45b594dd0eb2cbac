"""How long an inference takes: a step of the chip lasts as long as what takes longest in that phase of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil
from typing import Literal

import numpy as np

from ecmt_deploy.chips import Hardware
from ecmt_deploy.chips.schema import Barrier
from ecmt_deploy.estimation.bill import band
from ecmt_deploy.estimation.phases import Pipeline, Work, belong, measured, spread, untimed
from ecmt_deploy.estimation.result import NOTHING, Band, Phase, Timing
from ecmt_deploy.estimation.routing import routed
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity


def timing(
    activity: Activity, program: Program, hardware: Hardware, placement: Placement, loads: Loads | None = None
) -> Timing | None:
    """Time of an inference; ``None`` where the chip says nothing about its steps.

    Parameters
    ----------
    loads : what a run on these cores measured; without it, or where it is of another placement, counts are spread evenly
    """
    ticks = "step_ns" in hardware.times
    placed = routed(hardware, placement)
    if not ticks and not (placed and (hardware.times.keys() - {"hop_ns"} or hardware.barrier)):
        return None
    pipeline = Pipeline(program, placement)
    used = loads if loads is not None and placed and belong(loads, activity, placement, pipeline) else None
    if not placed:
        steps = pipeline.depth + activity.timesteps - 1
        passing = Work((), np.zeros((steps, 0, 3)), np.zeros((steps, 0)))
    elif used is not None:
        passing = measured(used, hardware, placement)
    else:
        passing = spread(activity, program, hardware, placement, pipeline)
    end, assumed = (NOTHING, []) if ticks else _barrier(hardware.barrier, _tiles(placement))
    inference = tuple(_phases(passing, hardware, end))
    phases = tuple(_phases(passing.folded(activity.timesteps), hardware, end))
    interval, latency = _total(phases), _total(inference)
    if not interval.low:
        return None
    unknown = {} if ticks else untimed(activity, program, hardware, placement, pipeline)
    longest = max(phases, key=lambda phase: phase.us.value)
    return Timing(
        depth=pipeline.depth,
        steps=activity.timesteps,
        step_us=interval * (1 / activity.timesteps),
        busiest=longest.busiest if longest.binds == "core" else None,
        latency_us=latency,
        throughput_per_s=Band(*(1e6 / us for us in (interval.high, interval.value, interval.low))),
        unknown=unknown if ticks or hardware.barrier else {**unknown, "barriers": 1.0},
        assumptions=(
            f"A unit hands its result on in the next step of the chip: {pipeline.depth} steps fill the pipeline. Once it is "
            f"full, an inference enters every {activity.timesteps} steps, and every unit works on a step of its own.",
            *_said(activity, hardware, passing, phases, loads is not None, used is not None),
            *assumed,
        ),
        phases=phases,
        inference=inference,
    )


def depth_of(program: Program, placement: Placement) -> int:
    """Steps of the chip until the pipeline is full: units one behind another on the longest way through the program."""
    return Pipeline(program, placement).depth


def _phases(work: Work, hardware: Hardware, barrier: Band) -> Iterator[Phase]:
    """Every step: the longest of tick, fullest core and busiest link, and the barrier."""
    tick, hop = (_figure(hardware, name) for name in ("step_ns", "hop_ns"))
    for number, (core_ns, links) in enumerate(zip(work.core_ns, work.links, strict=True), start=1):
        core = _band(core_ns.max(axis=0)) if len(core_ns) else NOTHING
        link = NOTHING if hop is None or not len(links) else hop * float(links.max())
        longest = Band(*(max(ends) for ends in zip(*(_ends(each) for each in (core, link, tick or NOTHING)), strict=True)))
        binds: Literal["core", "link", "tick"] = "link" if link.value > core.value else "core"
        if tick is not None and tick.value >= max(core.value, link.value):
            binds = "tick"
        yield Phase(
            step=number,
            us=(longest + barrier) * 1e-3,
            binds=binds,
            busiest=work.units[int(core_ns[:, 1].argmax())] if core.value else None,
            core_us=core * 1e-3,
            link_us=link * 1e-3,
            barrier_us=barrier * 1e-3,
        )


def _said(
    activity: Activity, hardware: Hardware, passing: Work, phases: Sequence[Phase], asked: bool, measured_: bool
) -> Iterator[str]:
    """What the lengths of steps rest on, a sentence each."""
    if measured_:
        yield "The work of every core and the packets of every link are measured; each is a mean over the samples."
    else:
        if asked:
            yield "The loads that the run measured are of another placement, and are not used."
        yield (
            "Events are taken as even over the elements of a node, so that the fullest core of a unit is the one with the "
            "largest tile. Where they are not, a core may have more; a run on target cores measures every core."
        )
        if not activity.steps:
            yield (
                "The counts do not say at which step they were: they are spread evenly over the steps, which hides the peak "
                "of a code that sends most at t = 1. Run again to count them."
            )
    if "hop_ns" not in hardware.times or not passing.links.shape[1]:
        missing = "time of a hop" if "hop_ns" not in hardware.times else "mesh"
        yield f"The file gives no {missing}: links are taken to keep up with the cores."
    else:
        yield "A packet takes a link for the time of a hop, one after another; packets travel while cores work."
    if "step_ns" in hardware.times:
        late = sum(phase.binds != "tick" for phase in phases)
        timed = any(phase.core_us.value for phase in phases)
        if late:
            yield f"The chip's clock tick is the step; in {late} of {len(phases)} the work does not fit, and it lasts longer."
        else:
            known = "the work with a published time fits in it" if timed else "the work of every core is assumed to fit in it"
            yield f"The chip's clock tick is the step; {known}."


def _total(phases: Sequence[Phase]) -> Band:
    return sum((phase.us for phase in phases), NOTHING)


def _figure(hardware: Hardware, name: str) -> Band | None:
    return band(hardware.times[name]) if name in hardware.times else None


def _band(ends: np.ndarray) -> Band:
    low, value, high = (float(end) for end in ends)
    return Band(low, value, high)


def _ends(each: Band) -> tuple[float, float, float]:
    return each.low, each.value, each.high


def _tiles(placement: Placement) -> int:
    """Tiles with a core in use."""
    return ceil(placement.cores / placement.mesh[2]) if placement.mesh else placement.cores


def _barrier(points: Sequence[Barrier], tiles: int) -> tuple[Band, list[str]]:
    """Time of a barrier over so many tiles; beyond the points that are given, that of the nearest; nothing without any."""
    if not points:
        return NOTHING, []
    first, last = points[0], points[-1]
    if tiles <= first.tiles:
        return band(first.time), []
    if tiles > last.tiles:
        said = f"A barrier of {tiles} tiles is taken to last as long as one of {last.tiles}, the most published."
        return band(last.time), [said]
    a, b = next((a, b) for a, b in pairwise(points) if tiles <= b.tiles)
    share = (tiles - a.tiles) / (b.tiles - a.tiles)
    return band(a.time) * (1 - share) + band(b.time) * share, []
