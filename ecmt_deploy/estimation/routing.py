"""Packets, hops and crossings: messages of a run along the routes of a placement."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import msgspec

from ecmt_deploy.chips import Hardware, Limits
from ecmt_deploy.placement.result import Placement, Route
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.ops import Op


def binary(hardware: Hardware) -> bool:
    """Whether the chip's spikes carry nothing: which level fired is in the address."""
    payload = hardware.limits.graded_payload_bits
    return payload is not None and payload.value == 1


def message_bits(node: Op, hardware: Hardware) -> int | None:
    """Payload of one message of a node: level and sign of a spike (in integer programs the payload itself), the state of an
    analog value; ``None`` where unknown.
    """
    if node.emits == "spikes" and binary(hardware):
        return 0
    if node.message_bits is not None:
        return node.message_bits
    state = hardware.limits.state_bits
    return None if state is None else int(state.value)


def packets_per_message(node: Op, hardware: Hardware) -> int:
    """Packets that one message takes; 1 where its payload, or what a packet carries, is unknown."""
    room, bits = hardware.limits.payload_bits_per_packet, message_bits(node, hardware)
    return 1 if room is None or bits is None else max(ceil(bits / room.value), 1)


def routed(hardware: Hardware, placement: Placement) -> bool:
    """Whether the placement is on cores: a file without limits describes none."""
    return placement.cores > 0 and hardware.limits != Limits()


def stranded(program: Program, placement: Placement) -> frozenset[str]:
    """Nodes that send to, or from, a unit that no core can hold: at least part of their messages has no way."""
    coreless = {node for unit in placement.units if not unit.cores for node in unit.nodes}
    arriving = (program.emitters[operand] for name in coreless for operand in program.operands[name])
    return frozenset(coreless).union(*arriving)


def packets_of(node: Op) -> str:
    """What a packet of a node is: with a spike, or with an analog value."""
    return "packets" if node.emits == "spikes" else "packets.analog"


def traffic(activity: Activity, program: Program, hardware: Hardware, placement: Placement) -> Iterator[Route]:
    """What goes along every route per inference, all steps together; routes without messages are left out."""
    for route in placement.routes:
        counts = activity[route.source]
        if messages := counts.messages + counts.analog_messages:
            packets = messages * packets_per_message(program.nodes[route.source], hardware) / activity.n_samples
            scaled = {name: packets * getattr(route, name) for name in Route.__struct_fields__[2:]}
            yield msgspec.structs.replace(route, **scaled)
