"""View (b): the chip's own prices, node by node."""

from __future__ import annotations

from collections.abc import Collection

import nir

from ecmt_deploy.chips import Figure, Hardware
from ecmt_deploy.estimation.bill import Bill
from ecmt_deploy.estimation.result import Row
from ecmt_deploy.estimation.routing import Traffic, binary, routed, stranded, traffic
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program import fixed as f
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.activity import Activity, Counts

CONVOLUTIONS = (nir.Conv1d, nir.Conv2d, f.FixedConv)
#: component and price of each count that has one price wherever it occurs
_CHARGES = {
    "macs": ("mac", "mac_pj"),
    "neuron_updates_active": ("neuron", "neuron_update_active_pj"),
    "neuron_updates_idle": ("neuron", "neuron_update_idle_pj"),
    "spikes": ("neuron", "spike_pj"),
}


def chip_rows(
    activity: Activity, program: Program, hardware: Hardware, placement: Placement | None, contained: Collection[str]
) -> list[Row]:
    """One row per node that did anything.

    Parameters
    ----------
    placement : where messages go; without one, or where its units have no cores, a message is one packet and hops are unknown
    contained : prices that others contain
    """
    bills = {name: Bill(contained) for name in activity}
    for name, counts in activity.items():
        _work(bills[name], program.nodes[name], counts, activity.n_samples, hardware)
    if placement is not None and routed(hardware, placement):
        for sent in traffic(activity, program, hardware, placement):
            _send(bills[sent.route.source], sent, hardware)
        for name in stranded(program, placement):
            for count in ("messages", "analog_messages"):
                bills[name].charge("routing", count, getattr(activity[name], count) / activity.n_samples, "message_pj", None)
    else:
        for name, counts in activity.items():
            _unplaced(bills[name], counts, activity.n_samples, hardware)
    rows = [
        Row(name, type(program.nodes[name]).__name__, bill.components, bill.unpriced, tuple(sorted(bill.bounds)))
        for name, bill in bills.items()
    ]
    return [row for row in rows if row.components_pj or row.unpriced or activity[row.node].dense_macs]


def _work(bill: Bill, node: nir.NIRNode, counts: Counts, samples: int, hardware: Hardware) -> None:
    """Synapses, neurons and functions."""
    prices = hardware.prices
    component = "product" if isinstance(node, n.ECMProduct) else "synapse"
    convolution = isinstance(node, CONVOLUTIONS) and prices.synop_conv_pj is not None
    price = "synop_conv_pj" if convolution else "synop_pj"
    bill.charge(component, "synops", counts.synops / samples, price, getattr(prices, price))
    for count, (component, price) in _CHARGES.items():
        bill.charge(component, count, getattr(counts, count) / samples, price, getattr(prices, price))
    for function, amount in counts.ecm_ops.items():
        bill.charge("ecm", f"ecm_ops.{function}", amount / samples, "ecm_op_pj", prices.ecm_op_pj.get(function))


def analog_price(hardware: Hardware) -> tuple[str, Figure | None]:
    """Name and price of a packet with an analog value: its own, or a spike's where spikes are graded."""
    prices, payload = hardware.prices, hardware.limits.graded_payload_bits
    if prices.analog_message_pj is None and payload is not None and not binary(hardware):
        return "message_pj", prices.message_pj
    return "analog_message_pj", prices.analog_message_pj


def _send(bill: Bill, sent: Traffic, hardware: Hardware) -> None:
    """Packets along one route. Where nothing prices an analog value, its hops are as unknown as its packets."""
    prices = hardware.prices
    name, figure = analog_price(hardware) if sent.analog else ("message_pj", prices.message_pj)
    if sent.analog and figure is None and name not in bill.contained:
        bill.charge("routing", "analog_packets", sent.packets, name, None)
        return
    bill.charge("routing", "packets", sent.packets, name, figure)
    bill.charge("routing", "packets_in", sent.packets, "message_in_pj", prices.message_in_pj)
    bill.charge("routing", "packets_within_tile", sent.within_tile, "tile_pj", prices.tile_pj)
    bill.charge("routing", "hops_ew", sent.hops_ew, "hop_ew_pj", prices.hop_ew_pj)
    bill.charge("routing", "hops_ns", sent.hops_ns, "hop_ns_pj", prices.hop_ns_pj)
    bill.charge("chip_crossing", "chip_crossings", sent.chip_crossings, "chip_crossing_pj", prices.chip_crossing_pj)


def _unplaced(bill: Bill, counts: Counts, samples: int, hardware: Hardware) -> None:
    """Messages without a way: one packet each."""
    name, figure = analog_price(hardware)
    bill.charge("routing", "messages", counts.messages / samples, "message_pj", hardware.prices.message_pj)
    bill.charge("routing", "analog_messages", counts.analog_messages / samples, name, figure)
