"""View (b): the chip's own prices, node by node, and its static power over the time of an inference."""

from __future__ import annotations

from ecmt_deploy.chips import Hardware, Price, covered
from ecmt_deploy.estimation.amounts import amounts
from ecmt_deploy.estimation.bill import Bill, Tariff
from ecmt_deploy.estimation.result import Band, Row, Timing
from ecmt_deploy.estimation.routing import binary
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity


def tariff(hardware: Hardware, static: bool = True) -> Tariff:
    """Prices of a chip, those it has none of its own for at the price that stands in; ``static``: its power is charged too."""
    prices = dict(hardware.prices)
    contained = {part for part, whole in covered(prices).items() if static or not whole.endswith("_mw")}
    stand_ins = {"synop_conv_pj": "synop_pj"}
    if hardware.limits.graded_payload_bits is not None and not binary(hardware):
        stand_ins["analog_message_pj"] = "message_pj"  # a graded spike
    for name, other in stand_ins.items():
        if name not in prices:
            contained = contained - {name} | ({name} if other in contained else set())
            prices |= {name: prices[other]} if other in prices else {}
    return Tariff(prices, contained)


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
            kind = type(program.nodes[name]).__name__
            rows.append(Row(name, kind, bill.components, bill.unpriced, tuple(sorted(bill.bounds))))
    return rows


def powers(hardware: Hardware) -> list[Price]:
    """What a chip draws whether or not it does anything, as far as no other price contains it."""
    contained = covered(hardware.prices)
    return [price for name, price in hardware.prices.items() if name.endswith("_mw") and name not in contained]


def static_bill(hardware: Hardware, placement: Placement, time: Timing | None) -> Bill:
    """Power of the chips over an inference: T steps of a full pipeline, up to the whole latency of a single inference.

    Empty where its time, or the number of chips, is unknown.
    """
    bill = Bill(Tariff({}, ()))
    if time is not None and placement.chips is not None:
        pipelined = time.step_us * time.steps
        drawn = Band(pipelined.low, pipelined.value, time.latency_us.high) * (placement.chips * 1e3)  # 1 mW for 1 us is 1000 pJ
        for price in powers(hardware):
            bill.add("static", price, drawn)
        # work without a time, and units without cores, would draw it for longer and from more chips
        if bill.components and (time.unknown or any(not unit.cores for unit in placement.units)):
            bill.bounds.add("lower")
    return bill
