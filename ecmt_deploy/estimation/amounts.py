"""What every node does, as amounts of actions: from its counts, and along its routes."""

from __future__ import annotations

from collections.abc import Iterator

from ecmt_deploy.chips import Hardware
from ecmt_deploy.estimation.bill import Tariff
from ecmt_deploy.estimation.routing import packets_of, routed, stranded, traffic
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.placement.sums import row_size
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.program.ops import Op

#: counts that are work of a core under their own names, as actions
WORK_COUNTS = ("macs", "neuron_updates_active", "neuron_updates_idle", "spikes")
#: an action, how much of it, and the name it is listed under where it has no price
Amount = tuple[str, float, str]


def work(activity: Activity, program: Program, name: str, hardware: Hardware) -> Iterator[Amount]:
    """What a node does where it is, per inference: synapses, neurons and functions, and sums over rows that take synapses."""
    counts, samples = activity[name], activity.n_samples
    yield from _sums(counts, program, name, hardware, samples)
    yield synapses_of(program.nodes[name]), counts.synops / samples, "synops"
    for count in WORK_COUNTS:
        yield count, getattr(counts, count) / samples, count
    for function, amount in counts.ecm_ops.items():
        yield f"ecm_ops.{function}", amount / samples, f"ecm_ops.{function}"


def _sums(counts: Counts, program: Program, name: str, hardware: Hardware, samples: int) -> Iterator[Amount]:
    """On a chip whose cores do not reduce rows: an event of each element to the neuron that sums, and one back; an update of
    that neuron a row. Of a maximum, two events and an update for all elements of a row but one. They stay on the core that
    holds the row, so no packet is among them."""
    node, able = program.nodes[name], hardware.abilities.row_reductions
    if not (node.reductions or node.maxima) or able is None or able.value:
        return
    elements = sum(counts.ecm_ops.values()) / samples
    rows = elements / row_size(node, program.shapes[program.operands[name][0]])
    pairs = node.maxima * (elements - rows)
    yield "synops.reduction", 2 * (node.reductions * elements + pairs), "synops"
    yield "neuron_updates_active", node.reductions * rows + pairs, "neuron_updates_active"


def synapses_of(node: Op) -> str:
    """What a synaptic event of a node is."""
    if node.role == "product":
        return "synops.product"
    return "synops.convolution" if node.layer == "convolution" else "synops"


def amounts(
    activity: Activity, program: Program, hardware: Hardware, placement: Placement | None, charged: Tariff
) -> dict[str, list[Amount]]:
    """What every node does and sends, per inference.

    Parameters
    ----------
    placement : where messages go; without one, or where its units have no cores, a message is one packet and hops are unknown
    charged : prices; where a packet with an analog value has none, its hops are as unknown as the packet
    """
    samples = activity.n_samples
    found = {name: [] if name in program.outside else list(work(activity, program, name, hardware)) for name in activity}
    if placement is None or not routed(hardware, placement):
        for name, counts in activity.items():
            if name in program.outside - program.entering:
                continue
            found[name].append(("packets", counts.messages / samples, "messages"))
            found[name].append(("packets.analog", counts.analog_messages / samples, "analog_messages"))
        return found
    for sent in traffic(activity, program, hardware, placement):
        packets = packets_of(program.nodes[sent.source])
        if packets == "packets.analog" and "analog_message_pj" not in {*charged.table, *charged.contained}:
            found[sent.source].append((packets, sent.packets, "analog_packets"))
            continue
        found[sent.source] += [
            (packets, sent.packets, "packets"),
            ("packets_in", sent.packets, "packets_in"),
            ("packets_within_tile", sent.within_tile, "packets_within_tile"),
            *((name, getattr(sent, name), name) for name in ("hops_ew", "hops_ns", "chip_crossings")),
        ]
    for name in stranded(program, placement) if "message_pj" not in charged.contained else ():
        for count in ("messages", "analog_messages"):
            found[name].append(("stranded", getattr(activity[name], count) / samples, count))
    return found
