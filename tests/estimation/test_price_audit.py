"""Every component of every chip file, priced a second time: from the raw TOML, by arithmetic of its own.

Every count is a prime of its own, so that two that are exchanged, or one that is charged twice, change the sum.
"""

from __future__ import annotations

from collections import defaultdict
from importlib import resources
from math import ceil, log2
from typing import Any

import msgspec
import pytest

from ecmt_deploy import chips
from ecmt_deploy import estimation as pricing
from ecmt_deploy.chips.actions import KINDS
from ecmt_deploy.chips.recipes import RECIPES
from ecmt_deploy.placement import Placement, Route, Unit, Use
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.testing.handmade import every_node

SYNOPS, CONVOLUTION, PRODUCT, MACS, ACTIVE, IDLE, SPIKES, MESSAGES, ANALOG = 101, 103, 107, 109, 113, 127, 131, 137, 139
ELEMENTS = dict(zip(KINDS, (n for n in range(149, 2000) if all(n % d for d in range(2, n))), strict=False))
SPIKING = Route("qk.neuron", "qk", packets=2.0, within_tile=3.0, hops_ew=5.0, hops_ns=7.0, chip_crossings=11.0)
STREAM = Route("norm", "qk.neuron", packets=13.0, within_tile=17.0, hops_ew=19.0, hops_ns=23.0, chip_crossings=29.0)
STEPS, CHIPS = 3, 2

PROGRAM = every_node("differential")
COUNTS = {
    "qk": Counts(synops=SYNOPS, macs=MACS),
    "spread": Counts(synops=CONVOLUTION),
    "values": Counts(synops=PRODUCT),
    "qk.neuron": Counts(spikes=SPIKES, neuron_updates_active=ACTIVE, neuron_updates_idle=IDLE, messages=MESSAGES),
    "norm": Counts(analog_messages=ANALOG),
    "add": Counts(ecm_ops=ELEMENTS),
}
ACTIVITY = Activity(1, STEPS, {name: COUNTS.get(name, Counts()) for name in PROGRAM.nodes})
Span = tuple[float, float, float]


def raw(name: str) -> dict[str, Any]:
    file: dict[str, Any] = msgspec.toml.decode((resources.files("ecmt_deploy.hw_configs") / f"{name}.toml").read_bytes())
    return file


def span(entry: dict[str, Any]) -> Span:
    return entry.get("low", entry["value"]), entry["value"], entry.get("high", entry["value"])


class Audit:
    """What a chip's file says that the counts cost, and what it leaves without a price."""

    def __init__(self, file: dict[str, Any], routed: bool, with_power: bool) -> None:
        self.file, self.limits = file, file["limits"]
        functions = file["prices"].get("ecm_op_pj", {})
        self.prices = {name: entry for name, entry in file["prices"].items() if name != "ecm_op_pj"}
        self.prices |= {f"ecm_op_pj.{kind}": entry for kind, entry in functions.items()}
        covering = {
            name: entry.get("covers", ()) for name, entry in self.prices.items() if with_power or not name.endswith("_mw")
        }
        self.contained = {part for parts in covering.values() for part in parts}
        self.components: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        self.unpriced: dict[str, float] = defaultdict(float)
        self.synapses()
        self.neurons()
        self.functions()
        self.messages(routed)

    def add(self, component: str, price: Span, amount: float) -> None:
        for end in range(3):
            self.components[component][end] += price[end] * amount

    def charge(self, component: str, name: str, amount: float, listed: str, *actions: str) -> None:
        """An amount at its usual price, and at the prices of the chip's own that are per one of ``actions``."""
        if name in self.prices:
            self.add(component, span(self.prices[name]), amount)
        elif name not in self.contained:
            self.unpriced[listed] += amount
        for own, entry in self.prices.items():
            if entry.get("per") in actions and own not in self.contained:
                self.add(own.rpartition("_")[0], span(entry), amount)

    def synapses(self) -> None:
        conv = "synop_conv_pj" if {"synop_conv_pj"} & {*self.prices, *self.contained} else "synop_pj"
        self.charge("synapse", "synop_pj", SYNOPS, "synops", "synops")
        self.charge("synapse", conv, CONVOLUTION, "synops", "synops", "synops.convolution")
        self.charge("product", "synop_pj", PRODUCT, "synops", "synops", "synops.product")
        self.charge("mac", "mac_pj", MACS, "macs", "macs")

    def neurons(self) -> None:
        self.charge("neuron", "neuron_update_active_pj", ACTIVE, "neuron_updates_active", "neuron_updates_active")
        self.charge("neuron", "neuron_update_idle_pj", IDLE, "neuron_updates_idle", "neuron_updates_idle")
        self.charge("neuron", "spike_pj", SPIKES, "spikes", "spikes")

    def functions(self) -> None:
        for kind, amount in ELEMENTS.items():
            recipe = self.by_recipe(kind)
            if recipe is not None and f"ecm_op_pj.{kind}" not in self.prices:
                self.add("ecm", recipe, amount)
            else:
                self.charge("ecm", f"ecm_op_pj.{kind}", amount, f"ecm_ops.{kind}", "ecm_ops", f"ecm_ops.{kind}")

    def by_recipe(self, kind: str) -> Span | None:
        """fp32 or fp16 arithmetic of the file times what an element takes."""
        operations = {name: entry["value"] for name, entry in self.file.get("operations", {}).items()}
        for width in (32, 16):
            if f"fp{width}_add_pj" in operations and f"fp{width}_mul_pj" in operations:
                break
        else:
            return None
        add, mul = operations[f"fp{width}_add_pj"], operations[f"fp{width}_mul_pj"]
        load, store = operations.get(f"fp{width}_load_pj"), operations.get(f"fp{width}_store_pj")
        if load is None:  # 10 pJ for 64 bits of 8 KB
            memory = self.file["memory"]
            load = store = memory["sram"][0]["access"]["value"] * width / memory["access_bits"]["value"]
        costs = {"add": add, "mul": mul, "compare": operations.get(f"fp{width}_compare_pj", add), "table": load}
        element, row, rate = RECIPES[kind]
        arithmetic = sum(times * costs[name] for name, times in element.items() if name in costs)
        costs |= {"load": load, "store": store}
        whole = sum(times * costs[name] for name, times in element.items())
        whole += sum(times * costs[name] for name, times in row.items()) / 16
        return arithmetic, whole, whole + sum(times * costs[name] for name, times in rate.items())

    def messages(self, routed: bool) -> None:
        payload = self.limits.get("graded_payload_bits", {}).get("value")
        analog = "analog_message_pj" if {"analog_message_pj"} & {*self.prices, *self.contained} else None
        if analog is None and payload is not None and payload > 1 and {"message_pj"} & {*self.prices, *self.contained}:
            analog = "message_pj"  # a value is a spike with a payload, where that has a price
        if not routed:
            self.charge("routing", "message_pj", MESSAGES, "messages", "packets")
            self.charge("routing", analog or "analog_message_pj", ANALOG, "analog_messages", "packets", "packets.analog")
            return
        room = self.limits.get("payload_bits_per_packet", {}).get("value")
        levels = PROGRAM.nodes["qk.neuron"].levels
        spike = 1 if payload == 1 or room is None else max(ceil(ceil(log2(2 * levels + 1)) / room), 1)
        state = self.limits.get("state_bits", {}).get("value")
        value = 1 if room is None or state is None else ceil(state / room)
        self.routed("message_pj", "packets", MESSAGES * spike, SPIKING)
        if analog is None:
            self.unpriced["analog_packets"] += ANALOG * value * STREAM.packets
        else:
            self.routed(analog, "packets.analog", ANALOG * value, STREAM)

    def routed(self, price: str, action: str, packets: float, route: Route) -> None:
        self.charge("routing", price, packets * route.packets, "packets", "packets", action)
        self.charge("routing", "message_in_pj", packets * route.packets, "packets_in", "packets_in")
        self.charge("routing", "tile_pj", packets * route.within_tile, "packets_within_tile", "packets_within_tile")
        self.charge("routing", "hop_ew_pj", packets * route.hops_ew, "hops_ew", "hops_ew")
        self.charge("routing", "hop_ns_pj", packets * route.hops_ns, "hops_ns", "hops_ns")
        self.charge("chip_crossing", "chip_crossing_pj", packets * route.chip_crossings, "chip_crossings", "chip_crossings")


def placement(name: str) -> Placement:
    homes = (("norm",), ("qk.neuron",), tuple(node for node in PROGRAM.nodes if node not in ("norm", "qk.neuron")))
    use = {f"{memory}memory_bytes": Use(1, None) for memory in ("", "synaptic_", "state_")}
    units = tuple(Unit(nodes[0], nodes, core, 1, 1, 1, use, None) for core, nodes in enumerate(homes))
    return Placement(
        hardware=name, title=name, units=units, routes=(SPIKING, STREAM), cores=3, chips=CHIPS, mesh=(3, 1, 1), obstacles=(),
        assumptions=(),
    )  # fmt: skip


@pytest.mark.parametrize("name", chips.available())
def test_every_component_of_every_chip_by_hand(name):
    result = pricing.energy(ACTIVITY, PROGRAM, name, placement(name))
    audit = Audit(raw(name), routed=bool(raw(name)["limits"]), with_power="static" in result.components_pj)
    found = {part: band for part, band in result.components_pj.items() if part != "static"}
    assert found.keys() == audit.components.keys()
    for part, band in found.items():
        assert (band.low, band.value, band.high) == pytest.approx(audit.components[part]), part
    assert result.unpriced == pytest.approx(dict(audit.unpriced))


@pytest.mark.parametrize("name", chips.available())
def test_static_power_by_hand(name):
    """Power x chips x the steps of a full pipeline; the high end over the whole latency. 1 mW for 1 ns is 1 pJ.

    A step of a chip with a clock tick is that of its file; others' steps are those of the timing, which has tests of its own.
    """
    result = pricing.energy(ACTIVITY, PROGRAM, name, placement(name))
    powers = [span(entry) for price, entry in raw(name)["prices"].items() if price.endswith("_mw")]
    if not powers or result.timing is None:
        assert "static" not in result.components_pj
        return
    step, steps = raw(name).get("times", {}).get("step_ns"), result.timing.steps
    assert steps == STEPS
    step_ns = span(step) if step else tuple(1e3 * getattr(result.timing.step_us, end) for end in ("low", "value", "high"))
    latency_ns = (result.timing.depth + steps - 1) * step_ns[2] if step else 1e3 * result.timing.latency_us.high
    low, value, high = (sum(power[end] for power in powers) * CHIPS for end in range(3))
    static = result.components_pj["static"]
    assert (static.low, static.value) == pytest.approx((low * step_ns[0] * steps, value * step_ns[1] * steps))
    assert static.high == pytest.approx(high * latency_ns)


def test_the_audit_sees_every_price_of_every_file():
    """A price that no count above is charged at would be one that nobody checks."""
    touched = {
        "synop_pj", "synop_conv_pj", "mac_pj", "neuron_update_active_pj", "neuron_update_idle_pj", "spike_pj", "message_pj",
        "message_in_pj", "analog_message_pj", "tile_pj", "hop_ew_pj", "hop_ns_pj", "chip_crossing_pj", "static_mw", "ecm_op_pj",
    }  # fmt: skip
    for name in chips.available():
        usual = {price for price, entry in raw(name)["prices"].items() if "per" not in entry}
        assert usual <= touched, name


def test_the_audit_can_fail():
    """Exchanging two prices of one component, or charging a count twice, changes what is found."""
    file = raw("loihi1_sanafe")
    expected = {part: list(ends) for part, ends in Audit(file, True, True).components.items()}
    prices = file["prices"]
    prices["hop_ew_pj"], prices["hop_ns_pj"] = prices["hop_ns_pj"], prices["hop_ew_pj"]
    assert Audit(file, True, True).components["routing"] != pytest.approx(expected["routing"])
    assert (
        len(set(ELEMENTS.values()) | {SYNOPS, CONVOLUTION, PRODUCT, MACS, ACTIVE, IDLE, SPIKES, MESSAGES, ANALOG})
        == len(KINDS) + 9
    )
