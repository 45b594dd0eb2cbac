"""Energy = counts x price, in three views, and time. Pure arithmetic: no input, no output, no defaults for what is unknown.

(a) the papers' estimate (:mod:`~ecmt_deploy.estimation.paper`), (b) the chip's own prices
(:mod:`~ecmt_deploy.estimation.chip`), (c) memory included, against the same network quantised
(:mod:`~ecmt_deploy.estimation.memory`). ``docs/energy.md`` has the formulas.
"""

from __future__ import annotations

from typing import Any

from ecmt_deploy.chips import Hardware, Times, covered
from ecmt_deploy.door import ChipLike, ProgramLike, as_activity, as_chip, as_program
from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.estimation.bill import band, sums
from ecmt_deploy.estimation.chip import chip_rows
from ecmt_deploy.estimation.export import COMPONENTS, to_csv
from ecmt_deploy.estimation.memory import has_model, memory_view, together
from ecmt_deploy.estimation.paper import PAPER_AC_PJ, PAPER_MAC_PJ, paper_view
from ecmt_deploy.estimation.remarks import bound_mark, notes, remarks
from ecmt_deploy.estimation.result import NOTHING, Band, Energy, MemoryRow, MemoryView, PaperView, Row, Timing
from ecmt_deploy.estimation.routing import binary, routed
from ecmt_deploy.estimation.timing import timing
from ecmt_deploy.placement import Placement, place

__all__ = [
    "COMPONENTS", "NOTHING", "PAPER_AC_PJ", "PAPER_MAC_PJ", "Band", "Energy", "MemoryRow", "MemoryView", "PaperView", "Row",
    "Timing", "bound_mark", "energy", "notes", "remarks", "to_csv", "together",
]  # fmt: skip

#: the chip file that prices views (a) and (c)
ARITHMETIC = "horowitz45"


def energy(
    activity: Any,
    program: ProgramLike | None = None,
    hardware: ChipLike | None = None,
    placement: Placement | None = None,
    arithmetic: ChipLike = ARITHMETIC,
) -> Energy:
    """Price the counts of a run: ``energy(run, chip)``, or ``energy(activity, program, chip)``.

    Parameters
    ----------
    activity : a ``Run``, or the ``Activity`` of a run of ``program``, or an ``Evaluation`` of it
    program : the program: a ``Program``, the path of its file, or a ``SpikingModel`` that carries one; a ``Run`` knows its own
    hardware : the chip, its name or file
    placement : where the program is on the chip; by default it is placed
    arithmetic : prices of views (a) and (c); a chip with a model of memories uses its own for view (c)

    Raises
    ------
    RunError
        if activity or placement are not of this program, the activity is over no samples, or the placement on another chip.
    ConfigError, ProgramError, HardwareError
        if there is no program or no such chip.
    """
    if hardware is None:  # energy(run, chip)
        program, hardware = None, program
    if hardware is None:
        raise ConfigError("no chip is named; pass its name, such as energy(run, 'loihi2')")
    if program is None and getattr(activity, "program", None) is None:
        raise ConfigError(f"{type(activity).__name__} does not know its program; pass energy(activity, program, chip)")
    program = as_program(activity if program is None else program)
    hardware, arithmetic, activity = as_chip(hardware), as_chip(arithmetic), as_activity(activity)
    if set(activity.keys()) != set(program.nodes):
        raise RunError("the counts are not of this program: their nodes differ; run it again with this program")
    if activity.n_samples < 1:
        raise RunError("the counts are over no samples; run the program on at least one")
    placement = placement or place(program, hardware)
    if not {node for unit in placement.units for node in unit.nodes} <= set(program.nodes):
        raise RunError("the placement is not of this program: it has nodes that the program has not; place this program")
    if placement.hardware != hardware.name:
        raise RunError(f"the program is placed on {placement.hardware}, and the prices are {hardware.name}'s; place it there")

    time = timing(activity, program, hardware, placement)
    static = _static(hardware, placement, time)
    contained = _contained(hardware, static is not None)
    rows = chip_rows(activity, program, hardware, placement, contained)
    at_45_nm = chip_rows(activity, program, arithmetic, None, covered(arithmetic))
    memory = memory_view(activity, program, hardware if has_model(hardware) else arithmetic)
    components = sums(row.components_pj for row in rows)
    bounds = {bound for row in rows for bound in row.bounds}
    if static is not None:
        assert hardware.prices.static_mw is not None
        components["static"] = static
        # work without a time, and units without cores, would draw it for longer and from more chips
        least = bool(time and time.unknown) or any(not unit.cores for unit in placement.units)
        bounds |= {hardware.prices.static_mw.bound, *(["lower"] if least else [])}
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
        left_out=tuple(_left_out(hardware, placement, time)),
        bounds=tuple(sorted(bounds)),
        paper=paper_view(activity, program.encoding, at_45_nm, memory),
        memory=memory,
        timing=time,
        energy_delay_nj_ms=_energy_delay(total, time) if time else None,
        cores=placement.cores if placement.bounded else None,
        chips=placement.chips,
        obstacles=_obstacles(placement),
        events_per_mac=activity.events_per_mac(program.encoding),
        encoding=tuple(sorted(program.encoding)),
        synop_pj=hardware.prices.synop_pj.value if hardware.prices.synop_pj else None,
    )


def _contained(hardware: Hardware, static: bool) -> frozenset[str]:
    """Prices that others contain; those in the static power only where that is charged."""
    return frozenset(part for part, whole in covered(hardware).items() if static or whole != "static_mw")


def _static(hardware: Hardware, placement: Placement, time: Timing | None) -> Band | None:
    """Power of the chips over an inference: T steps of a full pipeline, up to the whole latency of a single inference."""
    power = hardware.prices.static_mw
    if power is None or "static_mw" in covered(hardware) or time is None or placement.chips is None:
        return None
    drawn = band(power) * (placement.chips * 1e3)  # 1 mW for 1 us is 1000 pJ
    pipelined = time.step_us * time.steps
    return Band(drawn.low * pipelined.low, drawn.value * pipelined.value, drawn.high * time.latency_us.high)


def _obstacles(placement: Placement) -> tuple[str, ...]:
    """A sentence each, the first of every kind before the rest."""
    kinds = [obstacle.resource for obstacle in placement.obstacles]
    order = sorted(range(len(kinds)), key=lambda i: kinds[:i].count(kinds[i]))
    return tuple(placement.obstacles[i].sentence for i in order)


def _energy_delay(total: Band, time: Timing) -> Band:
    """Energy x latency; 1 pJ us is 1e-6 nJ ms."""
    pairs = ((total.low, time.latency_us.low), (total.value, time.latency_us.value), (total.high, time.latency_us.high))
    return Band(*(pj * us * 1e-6 for pj, us in pairs))


def _left_out(hardware: Hardware, placement: Placement, time: Timing | None) -> list[str]:
    """What no count covers, with the reason."""
    prices, limits, contained = hardware.prices, hardware.limits, covered(hardware)
    said = []
    placed = routed(hardware, placement)
    if not placed:
        said.append("hops between cores: the file has no cores to place the program on; every message is one packet")
    elif placement.mesh is None and not {"hop_ew_pj", "hop_ns_pj"} <= contained.keys():
        said.append("hops between cores: the mesh of the chip is unknown")
    if placed and not binary(hardware) and limits.payload_bits_per_packet is None and "message_pj" not in contained:
        said.append("longer packets: what a packet carries is unknown; every message is one packet")
    if "static_mw" not in contained:
        if prices.static_mw is None:
            said.append("static power: no figure")
        elif time is None:
            said.append(f"static power ({prices.static_mw.value:g} mW per chip): the time of an inference is unknown")
        elif placement.chips is None:
            said.append(f"static power ({prices.static_mw.value:g} mW per chip): the number of chips is unknown")
        elif any(not unit.cores for unit in placement.units):
            said.append("static power of the cores that the units which fit on none would take")
    if time is None:
        why = "no times of its steps are published" if hardware.times == Times() else "no time is of anything that has a core"
        said.append(f"latency and throughput: {why}")
    if binary(hardware):
        said.append("neurons for levels: an update is charged once per multi-threshold neuron, not once per level")
    said.append("the image's way onto the chip and the readout's off it")
    said.append("memory traffic beyond what the prices contain")
    return said
