"""A run priced on a chip: counts x price, in three views, and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ecmt_deploy.chips import Hardware, Price, Source
from ecmt_deploy.chips.bibliography import of_figures
from ecmt_deploy.door import ChipLike, ProgramLike, as_activity, as_chip, as_program
from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.estimation.assumed import assume, assumed_prices
from ecmt_deploy.estimation.bands import widened
from ecmt_deploy.estimation.bill import sums
from ecmt_deploy.estimation.chip import chip_rows, left_out, static_bill, tariff
from ecmt_deploy.estimation.memory import charged_figures, has_model, memory_view
from ecmt_deploy.estimation.neurobench import neurobench
from ecmt_deploy.estimation.paper import paper_view
from ecmt_deploy.estimation.result import NOTHING, Energy, MemoryView, PaperView
from ecmt_deploy.estimation.tiles import placed_tiles, stated_tiles
from ecmt_deploy.estimation.timing import timing
from ecmt_deploy.estimation.waterfall import waterfall
from ecmt_deploy.placement import Placement, PlacementBand, place_band
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.placement.terms import Terms
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity

#: the chip file that prices views (a) and (c)
ARITHMETIC = "horowitz45"


def energy(
    activity: Any,
    program: ProgramLike | None = None,
    hardware: ChipLike | None = None,
    placement: Placement | PlacementBand | None = None,
    arithmetic: ChipLike = ARITHMETIC,
    ann_bits: int | None = None,
    tile_bytes: int | None = None,
    assume_functions: bool = False,
    frames_per_second: float | None = None,
) -> Energy:
    """Price counts; arguments and errors as of :func:`ecmt_deploy.energy`."""
    if hardware is None:  # energy(run, chip)
        program, hardware = None, program
    if hardware is None:
        raise ConfigError("no chip is named; pass its name, such as energy(run, 'loihi2')")
    if program is None and getattr(activity, "program", None) is None:
        raise ConfigError(f"{type(activity).__name__} does not know its program; pass energy(activity, program, chip)")
    program = as_program(activity if program is None else program)
    accuracy = last_accuracy(activity)
    loads: Loads | None = getattr(activity, "loads", None)
    hardware, arithmetic, activity = as_chip(hardware), as_chip(arithmetic), as_activity(activity)
    if frames_per_second is not None and not 0 < frames_per_second < float("inf"):
        raise ConfigError(f"frames_per_second is {frames_per_second}; expected a number above 0")
    complexity = neurobench(activity, program, accuracy)  # refuses counts of another program, and of no samples
    band = placement or place_band(program, hardware)
    placement, ends = (band, ()) if isinstance(band, Placement) else (band.value, band.ends)
    if not {node for unit in placement.units for node in unit.nodes} <= set(program.nodes):
        raise RunError("the placement is not of this program: it has nodes that the program has not; place this program")
    if placement.hardware != hardware.name:
        raise RunError(f"the program is placed on {placement.hardware}, and the prices are {hardware.name}'s; place it there")
    model = hardware if has_model(hardware) else arithmetic
    stated = stated_tiles(program, arithmetic, tile_bytes)
    tiles = placed_tiles(program, hardware, placement) if placement.bounded else stated
    memory = memory_view(activity, program, model, ann_bits, tiles)
    at_45_nm = chip_rows(activity, program, arithmetic, None, tariff(arithmetic))
    paper = paper_view(activity, program, at_45_nm, memory_view(activity, program, arithmetic, ann_bits, stated))
    prices = assumed_prices(hardware, arithmetic)
    priced = [
        _priced(
            activity,
            program,
            hardware,
            each,
            (paper, memory),
            prices,
            assume_functions,
            loads,
            frames_per_second,
            {**arithmetic.sources, **hardware.sources},
        )
        for each in (placement, *ends)
    ]
    whole = widened(priced[0], priced[1:])
    views = {key: arithmetic.sources[key] for row in at_45_nm for key in row.sources if key in arithmetic.sources}
    charged = tariff(hardware).table
    if assume_functions:
        charged = {**prices, **charged}
    views |= of_figures(model, charged_figures(model))
    return replace(whole, waterfall=waterfall(whole, program, hardware, charged), view_sources=views, neurobench=complexity)


def last_accuracy(run: Any) -> float | None:
    """Share of the samples right after the last step; ``None`` of what has no accuracy, as counts have none."""
    after = getattr(getattr(run, "record", run), "accuracy", None)
    return float(after[-1]) if after else None


def _priced(
    activity: Activity, program: Program, hardware: Hardware, placement: Placement, views: tuple[PaperView, MemoryView],
    at_node: Mapping[str, Price], assume_functions: bool, loads: Loads | None, rate: float | None,
    sources: Mapping[str, Source],
) -> Energy:  # fmt: skip
    time, period_us = timing(activity, program, hardware, placement, loads), None if rate is None else 1e6 / rate
    if rate is not None and time is not None and time.throughput_per_s.value < rate:
        slow = f"The chip keeps up with {time.throughput_per_s.value:.4g} a second, not with the {rate:g} that were asked for."
        time = replace(time, assumptions=(*time.assumptions, slow))
    static = static_bill(hardware, placement, time, period_us)
    rows = chip_rows(activity, program, hardware, placement, tariff(hardware, bool(static.components)))
    rows, assumed = assume(rows, at_node, assume_functions)
    components = sums([*(row.components_pj for row in rows), static.components])
    keys = static.sources.union(*(row.sources for row in rows))
    total = sum(components.values(), NOTHING)
    return Energy(
        hardware=hardware.name,
        title=hardware.title,
        timesteps=activity.timesteps,
        n_samples=activity.n_samples,
        rows=tuple(rows),
        components_pj=components,
        total_pj=total,
        unpriced=sums(row.unpriced for row in rows),
        left_out=tuple(left_out(program, hardware, placement, time, period_us)),
        bounds=tuple(sorted(static.bounds.union(*(row.bounds for row in rows)))),
        paper=views[0],
        memory=views[1],
        timing=time,
        energy_delay_nj_ms=total * time.latency_us * 1e-6 if time else None,  # 1 pJ us is 1e-6 nJ ms
        cores=placement.cores if placement.bounded else None,
        chips=placement.chips,
        assumes=placement.unshown,
        cores_range=placement.cores_range if placement.bounded else None,
        chips_range=placement.chips_range,
        cores_per_chip=Terms.of(hardware).cores_per_chip,
        obstacles=_obstacles(placement),
        events_per_mac=activity.events_per_mac(program.encoding),
        payload_bits=activity.payload_bits(program.spike_bits),
        encoding=tuple(sorted(program.encoding)),
        frames_per_second=rate,
        synop_pj=hardware.prices["synop_pj"].value if "synop_pj" in hardware.prices else None,
        assumed_functions_pj=assumed,
        functions_assumed=assume_functions and assumed is not None,
        sources={key: sources[key] for key in sorted(keys) if key in sources},  # a chip made in Python may have no entries
    )


def _obstacles(placement: Placement) -> tuple[str, ...]:
    """A sentence each, the first of every kind before the rest."""
    kinds = [obstacle.resource for obstacle in placement.obstacles]
    order = sorted(range(len(kinds)), key=lambda i: kinds[:i].count(kinds[i]))
    return tuple(placement.obstacles[i].sentence for i in order)
