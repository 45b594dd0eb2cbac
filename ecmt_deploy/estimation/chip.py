"""View (b): the chip's own prices, node by node; its static power; and what both leave out."""

from __future__ import annotations

from collections.abc import Iterator

from ecmt_deploy.chips import Hardware, Price, covered
from ecmt_deploy.chips.recipes import function_prices
from ecmt_deploy.estimation.amounts import amounts
from ecmt_deploy.estimation.bill import Bill, Tariff
from ecmt_deploy.estimation.result import Band, Row, Timing
from ecmt_deploy.estimation.routing import binary, routed
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity


def tariff(hardware: Hardware, static: bool = True) -> Tariff:
    """Prices of a chip in force; ``static``: its power is charged, and with it what it contains.

    A convolution's event without a price of its own costs any event's; an analog value a spike's, where those are graded.
    """
    prices, within = dict(hardware.prices), covered(hardware.prices)
    contained = {part for part, whole in within.items() if static or not whole.endswith("_mw")}
    stand_ins = {"synop_conv_pj": "synop_pj"}
    if hardware.limits.graded_payload_bits is not None and not binary(hardware):
        stand_ins["analog_message_pj"] = "message_pj"
    for name, other in stand_ins.items():
        if name in prices or within.get(name, other) != other:
            continue
        if other in prices:
            prices[name] = prices[other]
        contained = contained - {name} | ({name} if other in contained else set())
    return Tariff(function_prices(hardware) | prices, contained)


def chip_rows(
    activity: Activity, program: Program, hardware: Hardware, placement: Placement | None, charged: Tariff
) -> list[Row]:
    """One row per node that did anything: every amount of an action at every price that is per this action.

    Without a placement, or where its units have no cores, a message is one packet and hops are unknown.
    """
    rows = []
    for name, items in amounts(activity, program, hardware, placement, charged).items():
        bill = Bill(charged)
        for item in items:
            bill.charge(*item)
        if bill.components or bill.unpriced or activity[name].dense_macs:
            kind = program.nodes[name].kind
            rows.append(
                Row(name, kind, bill.components, bill.unpriced, tuple(sorted(bill.bounds)), tuple(sorted(bill.sources)))
            )
    return rows


def powers(hardware: Hardware) -> list[Price]:
    """What a chip draws whether or not it does anything, as far as no other price contains it."""
    contained = covered(hardware.prices)
    return [price for name, price in hardware.prices.items() if name.endswith("_mw") and name not in contained]


def static_bill(hardware: Hardware, placement: Placement, time: Timing | None, period_us: float | None = None) -> Bill:
    """Power of the chips over an inference: T steps of a full pipeline, up to the whole latency of a single inference.

    With ``period_us``, the time from one inference to the next, over that, or over the steps where they take longer. Empty
    where the time, or the number of chips, is unknown.
    """
    bill = Bill(Tariff({}, ()))
    drawn = None
    if time is not None:
        steps = time.step_us * time.steps
        ends = (steps.low, steps.value, time.latency_us.high if period_us is None else steps.high)
        drawn = Band(*(max(us, period_us or 0.0) for us in ends))
    elif period_us is not None:
        drawn = Band(period_us, period_us, period_us)
    if drawn is not None and placement.chips is not None:
        drawn *= placement.chips * 1e3  # 1 mW for 1 us is 1000 pJ
        for price in powers(hardware):
            bill.add("static", price, drawn)
        # work without a time, and units without cores, would draw it for longer and from more chips
        known = time is not None and not time.unknown
        if bill.components and (not (known or period_us) or any(not unit.cores for unit in placement.units)):
            bill.bounds.add("lower")
    return bill


def left_out(
    program: Program, hardware: Hardware, placement: Placement, time: Timing | None, period_us: float | None = None
) -> Iterator[str]:
    """What no count covers, with the reason; a phrase each, to follow "not priced: "."""
    contained = covered(hardware.prices)
    placed = routed(hardware, placement)
    if not placed:
        yield "hops between cores: the file has no cores to place the program on; every message is one packet"
    elif placement.mesh is None and not {"hop_ew_pj", "hop_ns_pj"} <= contained.keys():
        yield "hops between cores: the mesh of the chip is unknown"
    packet = hardware.limits.payload_bits_per_packet
    if placed and not binary(hardware) and packet is None and "message_pj" not in contained:
        yield "longer packets: what a packet carries is unknown; every message is one packet"
    if "synop_pj" in hardware.prices and any(program.nodes[name].graded for name in program.neurons):
        yield "the width of graded payloads: a synaptic event has one price, whatever it is multiplied by"
    yield from _power(hardware, placement, time is not None or period_us is not None)
    if time is None:
        published = hardware.times or hardware.barrier
        why = "no time is of anything that has a core" if published else "no times of its steps are published"
        yield f"latency and throughput: {why}"
    if binary(hardware):
        yield "neurons for levels: an update is charged once per multi-threshold neuron, not once per level"
    if program.exact:
        yield "rows of embeddings, and what follows from tokens and masks alone: the host computes them"
    yield f"the {'sample' if program.exact else 'image'}'s way onto the chip and the readout's off it"
    yield "memory traffic beyond what the prices contain"


def _power(hardware: Hardware, placement: Placement, timed: bool) -> Iterator[str]:
    given = powers(hardware)
    if "static_mw" not in hardware.prices and "static_mw" not in covered(hardware.prices):
        yield "static power: no figure"
    if not given:
        return
    drawn = f"static power ({sum(price.value for price in given):g} mW per chip)"
    if not timed:
        yield f"{drawn}: the time of an inference is unknown"
    elif placement.chips is None:
        yield f"{drawn}: the number of chips is unknown"
    elif any(not unit.cores for unit in placement.units):
        yield "static power of the cores that the units which fit on none would take"
