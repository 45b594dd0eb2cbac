"""What a total leaves out because no count covers it, with the reason."""

from __future__ import annotations

from collections.abc import Iterator

from ecmt_deploy.chips import Hardware, covered
from ecmt_deploy.estimation.chip import powers
from ecmt_deploy.estimation.result import Timing
from ecmt_deploy.estimation.routing import binary, routed
from ecmt_deploy.placement.result import Placement


def left_out(hardware: Hardware, placement: Placement, time: Timing | None) -> Iterator[str]:
    """A phrase each, to follow "not priced: "."""
    contained = covered(hardware.prices)
    placed = routed(hardware, placement)
    if not placed:
        yield "hops between cores: the file has no cores to place the program on; every message is one packet"
    elif placement.mesh is None and not {"hop_ew_pj", "hop_ns_pj"} <= contained.keys():
        yield "hops between cores: the mesh of the chip is unknown"
    packet = hardware.limits.payload_bits_per_packet
    if placed and not binary(hardware) and packet is None and "message_pj" not in contained:
        yield "longer packets: what a packet carries is unknown; every message is one packet"
    yield from _power(hardware, placement, time)
    if time is None:
        published = hardware.times or hardware.barrier
        why = "no time is of anything that has a core" if published else "no times of its steps are published"
        yield f"latency and throughput: {why}"
    if binary(hardware):
        yield "neurons for levels: an update is charged once per multi-threshold neuron, not once per level"
    yield "the image's way onto the chip and the readout's off it"
    yield "memory traffic beyond what the prices contain"


def _power(hardware: Hardware, placement: Placement, time: Timing | None) -> Iterator[str]:
    given = powers(hardware)
    if "static_mw" not in hardware.prices and "static_mw" not in covered(hardware.prices):
        yield "static power: no figure"
    if not given:
        return
    drawn = f"static power ({sum(price.value for price in given):g} mW per chip)"
    if time is None:
        yield f"{drawn}: the time of an inference is unknown"
    elif placement.chips is None:
        yield f"{drawn}: the number of chips is unknown"
    elif any(not unit.cores for unit in placement.units):
        yield "static power of the cores that the units which fit on none would take"
