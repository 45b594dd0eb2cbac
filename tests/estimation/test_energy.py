"""Energy in three views: every picojoule by hand, sums that add, and a missing price that is never zero."""

import csv
import re
from dataclasses import replace
from io import StringIO
from math import ceil

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ecmt_deploy import chips
from ecmt_deploy import estimation as pricing
from ecmt_deploy.errors import HardwareError, RunError
from ecmt_deploy.estimation.memory import access_pj, ann_bits, memory_view
from ecmt_deploy.estimation.routing import message_bits, packets_per_message
from ecmt_deploy.estimation.tiles import TILE_BYTES
from ecmt_deploy.files import sha256
from ecmt_deploy.placement import Obstacle, Route, place
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.report import data, tables
from ecmt_deploy.report.comparison import Comparison, Entry, summary
from ecmt_deploy.report.csv import to_csv
from ecmt_deploy.report.html.page import render
from ecmt_deploy.report.model import make_report
from ecmt_deploy.report.remarks import notes, remarks
from ecmt_deploy.report.verdict import by_fit, in_brief, on_chip
from ecmt_deploy.runs.directory import load_run, save_run
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import images
from tests.support import two_layers
from tests.support.rounding import rounding_each
from tests.support.runs import record
from tests.support.two_layers import figure, near


@pytest.fixture(scope="module")
def made(all_programs):
    program = all_programs["transformer, accurate"]
    return program, simulate(program, images(4), "torch", 3)


def change(hardware, **changes):
    """A chip with other prices; those that are ``None`` are unknown."""
    prices = {name: price for name, price in {**hardware.prices, **changes}.items() if price is not None}
    return msgspec.structs.replace(hardware, prices=prices)


def limit(hardware, **changes):
    """A chip with other limits."""
    return msgspec.structs.replace(hardware, limits=msgspec.structs.replace(hardware.limits, **changes))


def by_node(result):
    return {row.node: row.components_pj for row in result.rows}


# --- by hand: tests/support/two_layers.py has the program, its steps and its counts -------------------------------------------


def test_two_layers_on_a_chip(counts):
    """View (b): amounts x prices of the made-up chip."""
    assert {name: found for name, found in counts.items() if found != Counts()} == {
        "input": Counts(analog_messages=3),
        "l1": Counts(macs=6, dense_macs=6, analog_messages=2),
        "n1": Counts(spikes=2, messages=2, neuron_updates_active=2, neuron_updates_idle=2),
        "l2": Counts(synops=4, dense_macs=4, analog_messages=2),
        "n2": Counts(spikes=2, messages=2, neuron_updates_active=3, neuron_updates_idle=1),
        "readout": Counts(ecm_ops={"readout": 4}, analog_messages=4),
    }
    result = pricing.energy(counts, two_layers.PROGRAM, two_layers.CHIP, two_layers.PLACEMENT)
    assert by_node(result) == {
        # 6 MACs x 5; its results stay on core 0, where n1 is
        "l1": {"mac": near(30, 30, 30)},
        # 2 active x 3 + 2 idle x 1 + 2 spikes x 2; 2 spikes x 2 packets x (7 out + 1 in + 0.5 for a hop east)
        "n1": {"neuron": near(12, 12, 12), "routing": near(34, 34, 34)},
        # 4 synops x 10 (8 to 12)
        "l2": {"synapse": near(32, 40, 48)},
        # 3 x 3 + 1 x 1 + 2 x 2
        "n2": {"neuron": near(14, 14, 14)},
        # 4 x 1.5
        "readout": {"ecm": near(6, 6, 6)},
    }
    # 2 chips x 2 mW x 0.0855 us (50 and 35.5 ns: tests/estimation/test_timing.py) = 342 pJ;
    # least 1 mW, most 3 mW over the whole latency of 3 steps: 2 x 3 x 0.1085 us
    assert result.components_pj["static"] == near(171, 342, 651)
    # 30 + 12 + 34 + 40 + 14 + 6 + 342
    assert result.total_pj == near(128 + 171, 136 + 342, 144 + 651)
    # 478 pJ x 0.1085 us
    assert result.energy_delay_nj_ms.value == pytest.approx(0.478 * 0.0001085)
    assert result.complete
    assert (result.cores, result.chips) == (3, 2)


def test_two_layers_in_the_papers_estimate(counts):
    """View (a): 4 events x 0.9 against 4 MACs x 4.6."""
    view = pricing.energy(counts, two_layers.PROGRAM, two_layers.CHIP, two_layers.PLACEMENT).paper
    assert view.snn_pj == pytest.approx(3.6)
    assert view.ann_pj == pytest.approx(18.4)
    assert view.ratio == pytest.approx(0.9 / 4.6)
    assert view.left_out_pj == {
        "encoding": pytest.approx(27.6),  # 6 MACs x 4.6
        "neuron": pytest.approx(1.8),  # 5 active x 0.3 + 3 idle x 0.1; what a spike costs is in the update
        "ecm": pytest.approx(63.6),  # 4 of the readout x (an add of 0.9, 2 loads and a store of 32 bits at 5)
        # in a tile of 32 KiB, 20 pJ for 64 bits: l1 6 weights and 6 pixels read, 2 results written, each 2.5; l2 4 weights
        # read, 8 states read and written; what is written into tiles on its way is priced as messages
        "routing": pytest.approx(150),  # 4 messages and 11 analog values x 10, a word written and read
        "memory": pytest.approx((15 + 15 + 5) + (10 + 8 * 15)),
    }
    assert view.total_pj == pytest.approx(3.6 + 27.6 + 1.8 + 63.6 + 165 + 150)
    assert view.unpriced == {}


def test_two_layers_with_memory(counts):
    """View (c). All memories of the cores are below 8 KiB: 10 pJ for 64 bits, so 1.25 for a weight or a pixel of 8, 3.75 for a
    state of 24, 0.3125 for an activation of ceil(log2(2 + 1)) = 2 bits. Multiply: 0.2 x bits / 8; add: 0.1.
    """
    view = pricing.energy(counts, two_layers.PROGRAM, two_layers.CHIP, two_layers.PLACEMENT).memory
    assert (view.model, view.ann_bits) == ("horowitz45", 2)
    l1, l2 = view.rows["l1"], view.rows["l2"]
    assert (view.tile_bytes, l2.memory_bytes) == (None, {"weights": 2, "states": 6})
    # 6 MACs x (0.2 + 0.1, a weight, a pixel), 3 pixels written into one core, 2 results of 8 bits; the same in both
    assert l1.snn_pj == l1.ann_pj
    parts = {"arithmetic": 1.8, "weight_memory": 7.5, "operand_memory": 7.5, "delivery_memory": 3.75, "output_memory": 2.5}
    assert l1.ann_pj == pytest.approx(parts)
    # 4 events x (0.3, a weight, a state read and written) + 2 steps x 2 outputs x (0.1, a state read and written);
    # 2 spikes written into 2 cores and read there, 3 bits and 1 that tells the two elements apart
    parts = {"arithmetic": 4 * 0.3 + 4 * 0.1, "weight_memory": 5.0, "delivery_memory": 4 * 2 * 0.625, "state_memory": 8 * 7.5}
    assert l2.snn_pj == pytest.approx(parts)
    assert l2.fixed_pj == pytest.approx(4 * 7.6)
    # 4 MACs x (0.05 + 0.1, a weight, an activation), 2 activations written into 2 cores, 2 results of 2 bits
    parts = {"arithmetic": 0.6, "weight_memory": 5.0, "operand_memory": 1.25, "delivery_memory": 1.25, "output_memory": 0.625}
    assert l2.ann_pj == pytest.approx(parts)
    # 30.4 pJ without any event are more than the ANN's 8.725
    assert l2.events_per_mac == 1
    assert l2.break_even_events_per_mac is None
    assert sum(view.snn_pj.values()) == pytest.approx(23.05 + 71.6)


def test_packets_hops_and_crossings(counts):
    """A message to 3 cores, one of them in its tile, 5 hops east-west, 2 north-south, one border crossed."""
    route = Route("n1", "l2", packets=3.0, within_tile=1.0, hops_ew=5.0, hops_ns=2.0, chip_crossings=1.0)
    placement = msgspec.structs.replace(two_layers.PLACEMENT, routes=(route,))
    result = pricing.energy(counts, two_layers.PROGRAM, two_layers.CHIP, placement)
    # 2 messages x 2 packets
    assert by_node(result)["n1"]["routing"].value == pytest.approx(4 * (3 * (7 + 1) + 1 * 0.1 + 5 * 0.5 + 2 * 0.25))
    assert by_node(result)["n1"]["chip_crossing"].value == pytest.approx(4 * 100)
    # two levels of either sign and silence are 3 bits
    for room, packets in ((2, 2), (3, 1), (1, 3)):
        chip = limit(two_layers.CHIP, payload_bits_per_packet=figure(room, "bit"))
        assert (
            by_node(pricing.energy(counts, two_layers.PROGRAM, chip, placement))["n1"]["chip_crossing"].value == packets * 200
        )
    nothing = dict.fromkeys(("message_pj", "message_in_pj", "tile_pj", "hop_ew_pj", "hop_ns_pj", "chip_crossing_pj"))
    row = next(
        r
        for r in pricing.energy(counts, two_layers.PROGRAM, change(two_layers.CHIP, **nothing), placement).rows
        if r.node == "n1"
    )
    assert row.unpriced == {
        "packets": 12, "packets_in": 12, "packets_within_tile": 4, "hops_ew": 20, "hops_ns": 8, "chip_crossings": 4
    }  # fmt: skip
    assert set(row.components_pj) == {"neuron"}


def test_an_analog_value_is_a_graded_packet_or_unpriced(counts):
    route = Route("l2", "n2", packets=1.0, within_tile=0.0, hops_ew=1.0, hops_ns=0.0, chip_crossings=0.0)
    placement = msgspec.structs.replace(two_layers.PLACEMENT, routes=(route,))

    def l2(chip):
        return next(r for r in pricing.energy(counts, two_layers.PROGRAM, chip, placement).rows if r.node == "l2")

    # 2 messages; the width of the state is unknown: one packet each
    assert l2(two_layers.CHIP).components_pj["routing"].value == pytest.approx(2 * 8.5)
    wide = limit(two_layers.CHIP, state_bits=figure(24, "bit"))
    assert l2(wide).components_pj["routing"].value == pytest.approx(2 * 12 * 8.5)
    own = change(wide, analog_message_pj=figure(1))
    assert l2(own).components_pj["routing"].value == pytest.approx(2 * 12 * 2.5)
    binary = limit(wide, graded_payload_bits=figure(1, "bit"))
    assert "routing" not in l2(binary).components_pj
    assert l2(binary).unpriced == {"analog_packets": 24}


def test_messages_of_a_unit_without_cores_have_no_way(counts):
    first, second = two_layers.PLACEMENT.units
    units = (first, msgspec.structs.replace(second, cores=0))
    placement = msgspec.structs.replace(two_layers.PLACEMENT, units=units, routes=(), cores=1)
    result = pricing.energy(counts, two_layers.PROGRAM, two_layers.CHIP, placement)
    assert "routing" not in result.components_pj
    assert result.unpriced == {"messages": 4, "analog_messages": 6}


def test_integer_programs_have_their_own_widths(all_programs):
    """Payloads, states and weights as the nodes say; on a chip of 8-bit packets."""
    from ecmt_deploy.quantization import quantize

    loihi2 = limit(chips.hardware("loihi2"), payload_bits_per_packet=figure(8, "bit"))
    program = quantize(all_programs["transformer, accurate"], loihi2)
    run = simulate(program, images(1), "reference", 2, precision="fixed")
    spike, analog = program.nodes["qkv.neuron"], program.nodes["norm1"]
    assert message_bits(spike, loihi2) == spike.format.payload_bits
    assert packets_per_message(spike, loihi2) == ceil(spike.format.payload_bits / 8)
    assert packets_per_message(analog, loihi2) == ceil(analog.format.state_bits / 8) > 1
    assert message_bits(spike, chips.hardware("loihi1")) == 0
    result = pricing.energy(run.activity, program, loihi2)
    kinds = {row.node: row.kind for row in result.rows}
    assert kinds["qkv"] == "LastAxisLinear"
    assert {"qkv", "matmul", "fc1", "head"} <= set(result.memory.rows)
    dense, qkv, row = run.activity["qkv"].dense_macs, program.nodes["qkv"], result.memory.rows["qkv"]
    weight = access_pj(chips.hardware("horowitz45").memory, row.memory_bytes["weights"], qkv.format.weight_bits)
    assert row.ann_pj["weight_memory"] == pytest.approx(dense * weight)


def test_remainders_of_rounding_are_read_and_written_where_a_row_changed(all_programs):
    from ecmt_deploy.quantization import quantize

    program, chip = quantize(all_programs["transformer, accurate"]), chips.hardware("horowitz45")
    activity = simulate(program, images(1), "reference", 2, precision="fixed").activity
    carried, alone = (memory_view(activity, made, chip).rows for made in (program, rounding_each(program)))
    for name, row in carried.items():
        bits = program.nodes[name].format.remainder_bits
        accesses = 0 if name in program.encoding else 2 * activity[name].analog_messages  # read and written
        extra = accesses * access_pj(chip.memory, TILE_BYTES, bits)
        more = {part: pj - alone[name].snn_pj[part] for part, pj in row.snn_pj.items()}
        assert more.pop("state_memory", 0.0) == pytest.approx(extra)
        assert not any(more.values())
    assert carried["qkv"].fixed_pj > alone["qkv"].fixed_pj


# --- sums -------------------------------------------------------------------------------------------------------------


def without_static(result):
    return result.total_pj.value - result.components_pj.get("static", pricing.NOTHING).value


@settings(max_examples=15)
@given(st.lists(st.integers(0, 10**6), min_size=14, max_size=14), st.integers(1, 50), st.integers(1, 50))
def test_energy_is_additive_over_samples(made, placements, numbers, first, second):
    """Energy times samples adds, in all views; static energy does not, for the busiest core decides the time."""
    program, _ = made
    names = list(program.nodes)
    a, b = (
        Activity(n, 3, {name: Counts(*numbers[i : i + 6], ecm_ops={"softmax": numbers[i + 6]}) for name in names})
        for i, n in ((0, first), (7, second))
    )
    for name in chips.available():
        parts, whole = (
            [pricing.energy(x, program, chips.hardware(name), placements[name]) for x in xs] for xs in ((a, b), (a + b,))
        )
        for of in (without_static, lambda r: r.paper.snn_pj, lambda r: r.paper.ann_pj):
            sums = [sum(of(result) * result.n_samples for result in results) for results in (parts, whole)]
            assert sums[0] == pytest.approx(sums[1])


@pytest.fixture(scope="module")
def placements(made):
    return {name: place(made[0], chips.hardware(name)) for name in chips.available()}


@pytest.mark.parametrize("name", chips.available())
def test_energy_is_additive_over_layers_and_components(made, placements, name):
    program, run = made
    result = pricing.energy(run.activity, program, chips.hardware(name), placements[name])
    for end in ("low", "value", "high"):
        layers = sum(getattr(row.priced_pj, end) for row in result.rows)
        components = {c: getattr(band, end) for c, band in result.components_pj.items()}
        assert layers == pytest.approx(sum(components.values()) - components.get("static", 0))
        assert getattr(result.total_pj, end) == pytest.approx(sum(components.values()))
    for side in ("snn_pj", "ann_pj"):
        rows = sum(sum(getattr(row, side).values()) for row in result.memory.rows.values())
        assert rows == pytest.approx(sum(getattr(result.memory, side).values()))
    assert msgspec.json.decode(msgspec.json.encode(result), type=pricing.Energy) == result


# --- a missing price --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "count"),
    [
        ("synop_pj", "synops"), ("neuron_update_idle_pj", "neuron_updates_idle"), ("spike_pj", "spikes"),
        ("message_pj", "packets"), ("hop_ew_pj", "hops_ew"),
    ],
)  # fmt: skip
def test_a_missing_price_is_unpriced_and_changes_nothing_else(made, placements, price, count):
    program, run = made
    chip = change(chips.hardware("loihi1_sanafe"), synop_conv_pj=None)
    if price == "message_pj":  # it says that it contains these two
        chip = change(chip, message_in_pj=None, message_pj=msgspec.structs.replace(chip.prices["message_pj"], covers=()))
    without = change(chip, **{price: None})
    full, partial = (pricing.energy(run.activity, program, c, placements["loihi1_sanafe"]) for c in (chip, without))
    amount = partial.unpriced[count]
    assert amount > 0
    assert not partial.complete
    assert {**full.unpriced, count: amount} == pytest.approx(partial.unpriced)
    assert full.total_pj.value - partial.total_pj.value == pytest.approx(amount * chip.prices[price].value)


def test_a_covered_price_is_neither_charged_nor_unpriced(made):
    program, run = made
    loihi2 = chips.hardware("loihi2")
    for chip in (loihi2, change(loihi2, message_pj=figure(1e6))):
        result = pricing.energy(run.activity, program, chip)
        assert not {"messages", "packets", "analog_packets"} & set(result.unpriced)
        assert "routing" not in result.components_pj
        assert "upper" not in result.bounds, "one chip was measured at more than its file once called a ceiling"


def test_what_static_power_contains_is_missing_where_it_is_not_charged(made):
    program, run = made
    chip = chips.hardware("truenorth")
    assert "neuron_updates_idle" not in pricing.energy(run.activity, program, chip).unpriced
    timeless = msgspec.structs.replace(chip, times={}, barrier=())
    result = pricing.energy(run.activity, program, timeless)
    assert "static" not in result.components_pj
    assert "neuron_updates_idle" in result.unpriced
    assert any("time of an inference is unknown" in line for line in result.left_out)


def test_convolutions_and_products_have_prices_of_their_own(all_programs):
    program = all_programs["every node, differential"]
    run = simulate(program, images(2), "reference", 2)
    chip = chips.hardware("loihi1_sanafe")
    rows = by_node(pricing.energy(run.activity, program, chip))
    assert rows["spread"]["synapse"].value == pytest.approx(
        run.activity["spread"].synops / 2 * chip.prices["synop_conv_pj"].value
    )
    assert rows["qk"]["synapse"].value == pytest.approx(run.activity["qk"].synops / 2 * chip.prices["synop_pj"].value)
    assert rows["scores"]["product"].value == pytest.approx(run.activity["scores"].synops / 2 * chip.prices["synop_pj"].value)
    same = by_node(pricing.energy(run.activity, program, change(chip, synop_conv_pj=None)))
    assert same["spread"]["synapse"].value == pytest.approx(run.activity["spread"].synops / 2 * chip.prices["synop_pj"].value)


# --- views (a) and (c) ------------------------------------------------------------------------------------------------


def test_the_papers_prices_are_horowitz():
    described = chips.hardware("horowitz45")
    assert described.prices["mac_pj"].value == pricing.PAPER_MAC_PJ
    add, mul = (described.operations[name].value for name in ("fp32_add_pj", "fp32_mul_pj"))
    assert add == pricing.PAPER_AC_PJ
    assert add + mul == pytest.approx(pricing.PAPER_MAC_PJ)


def test_the_papers_ratio_is_events_per_mac(made, all_programs):
    """0.9 / 4.6 x events per MAC, which is T x the rate of the spiking operands weighted by the MACs they take part in."""
    program, run = made
    result = pricing.energy(run.activity, program, chips.hardware("loihi2"))
    others = [c for name, c in run.activity.items() if name not in program.encoding]
    assert result.encoding == ("patch",)
    assert run.activity["patch"].macs == run.activity["patch"].dense_macs
    events = sum(c.synops for c in others) / sum(c.dense_macs for c in others)
    assert result.events_per_mac == pytest.approx(events)
    assert result.paper.ratio == pytest.approx(0.9 / 4.6 * events)
    # with preset `paper` the head takes analog values: MACs of 4.6 pJ, at every step
    program = all_programs["transformer, paper"]
    run = simulate(program, images(2), "reference", 2)
    view = pricing.energy(run.activity, program, chips.hardware("loihi2")).paper
    macs = sum(c.macs for name, c in run.activity.items() if name not in program.encoding)
    synops = sum(c.synops for _, c in run.activity.items())
    assert macs > 0
    assert view.snn_pj == pytest.approx((0.9 * synops + 4.6 * macs) / 2)


def test_energy_of_an_access():
    """By hand between the points of horowitz45: 8 KiB 10, 32 KiB 20, 1 MiB 100 pJ for 64 bits."""
    memory = chips.hardware("horowitz45").memory
    assert access_pj(memory, 100, 64) == 10
    assert access_pj(memory, 20 * 1024, 64) == pytest.approx(15)
    assert access_pj(memory, 32 * 1024, 32) == pytest.approx(10)
    assert access_pj(memory, (32 + 992 / 2) * 1024, 64) == pytest.approx(60)
    assert access_pj(memory, (1024 + 992) * 1024, 64) == pytest.approx(180)  # on along the last segment
    assert access_pj(memory, 1e12, 64) == memory.dram_pj.value
    one = chips.Memory(access_bits=memory.access_bits, sram=memory.sram[:1])
    assert access_pj(one, 16384, 64) == pytest.approx(20)


def test_bits_of_the_ann():
    assert [ann_bits(t) for t in (1, 2, 3, 4, 7, 8, 15)] == [1, 2, 2, 3, 3, 4, 4]


def test_at_break_even_both_cost_the_same(made):
    program, run = made
    chip = chips.hardware("horowitz45")
    large = msgspec.structs.replace(chip, limits=msgspec.structs.replace(chip.limits, state_bits=figure(1, "bit")))
    view = memory_view(run.activity, program, large)
    even = {name: row for name, row in view.rows.items() if row.break_even_events_per_mac is not None}
    assert len(even) >= 4
    for row in even.values():
        per_event = (sum(row.snn_pj.values()) - row.fixed_pj) / row.events_per_mac
        assert row.fixed_pj + per_event * row.break_even_events_per_mac == pytest.approx(sum(row.ann_pj.values()))
        assert pricing.together([row]) == pytest.approx((row.events_per_mac, row.break_even_events_per_mac))
    # all layers together: one factor on all their events
    events, both = pricing.together(view.rows.values())
    spiking = [row for row in view.rows.values() if row.events_per_mac and row is not view.rows["patch"]]
    snn = sum(row.fixed_pj + (sum(row.snn_pj.values()) - row.fixed_pj) * both / events for row in spiking)
    assert snn == pytest.approx(sum(sum(row.ann_pj.values()) for row in spiking))
    assert view.rows["patch"].break_even_events_per_mac is None


def test_a_chip_with_memories_of_its_own_has_its_own_view(counts):
    own = msgspec.structs.replace(chips.hardware("horowitz45"), name="handmade", limits=two_layers.CHIP.limits)
    result = pricing.energy(counts, two_layers.PROGRAM, own, two_layers.PLACEMENT)
    assert result.memory.model == "handmade"
    with pytest.raises(HardwareError, match="handmade: no memory"):
        memory_view(counts, two_layers.PROGRAM, two_layers.CHIP)


# --- errors, tables ---------------------------------------------------------------------------------------------------


def test_counts_and_placements_of_something_else_are_refused(made, all_programs, placements):
    program, run = made
    with pytest.raises(RunError, match="not of this program"):
        pricing.energy(run.activity, all_programs["every node, rate"], chips.hardware("loihi2"))
    with pytest.raises(RunError, match="placed on loihi1, and the prices are loihi2's"):
        pricing.energy(run.activity, program, chips.hardware("loihi2"), placements["loihi1"])
    with pytest.raises(RunError, match="placement is not of this program"):
        pricing.energy(run.activity, program, two_layers.CHIP, two_layers.PLACEMENT)
    with pytest.raises(RunError, match="no samples"):
        pricing.energy(Activity(0, 3, run.activity.nodes), program, chips.hardware("loihi2"))


def test_the_csv_adds_up(made, placements):
    program, run = made
    results = [pricing.energy(run.activity, program, chips.hardware(name), placements[name]) for name in placements]
    lines = list(csv.DictReader(StringIO(to_csv(data.nodes(results)))))
    for result in results:
        mine = [line for line in lines if line["hardware"] == result.hardware]
        total = mine.pop()
        assert (total["node"], len(mine)) == ("total", len(result.rows))
        for column in ("priced_pj", "priced_low_pj", "priced_high_pj"):
            rows = sum(float(line[column] or 0) for line in mine)
            static = float(total[column.replace("priced", "static")] or 0)
            assert rows + static == pytest.approx(float(total[column] or 0))


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(made, placements, width):
    """No table is wider than the terminal, every chip and every layer is in one, and no name is markup."""

    program, run = made
    results = [pricing.energy(run.activity, program, chips.hardware(name), placements[name]) for name in placements]
    hostile = msgspec.structs.replace(results[0], hardware="[red]x[/blue]")
    out = StringIO()
    Console(file=out, width=width).print(tables.energy([*results, hostile], width, details=True))
    shown = out.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    for expected in (*placements, "[red]x[/blue]", "qkv", "(model)", "synapse", "break-even", "never"):
        assert expected in shown
    assert "…" not in shown


def test_the_answer_comes_first(made, placements):
    """A sentence a chip, those that fit first, then one table; the rest with details."""
    program, run = made
    results = [pricing.energy(run.activity, program, chips.hardware(name), placements[name]) for name in ("seneca", "loihi2")]
    texts = []
    for details in (False, True):
        out = StringIO()
        Console(file=out, width=4000).print(tables.energy(results, 4000, details=details))
        texts.append(out.getvalue())
    for text, sentence in zip(texts, (in_brief, on_chip), strict=True):
        said = [sentence(result).replace("\xa0", " ") for result in by_fit(results)]
        assert [line.replace("\xa0", " ") for line in text.splitlines()[: len(said)]] == said
    lines = texts[0].splitlines()
    assert sum(line.startswith("Energy per inference") for line in lines) == 1
    for more in ("(a) The papers' estimate", "(c) Memory included", "From the papers' figure to seneca's", "latency, µs"):
        assert more not in texts[0]
        assert more in texts[1]


def test_notes_are_said_once_and_name_their_chips(made, placements):
    program, run = made
    results = [pricing.energy(run.activity, program, chips.hardware(name), placements[name]) for name in placements]
    lines = notes(results)
    assert len(lines) == len(set(lines))
    assert any(line.startswith("all: not priced: memory traffic") for line in lines)
    assert any(line.startswith("loihi2: the total leaves out") for line in lines)
    assert sum(len(list(remarks(result))) for result in results) > len(lines)


def test_obstacles_are_said_the_first_of_every_kind_first(counts):
    obstacles = tuple(Obstacle(f"n{i}", what, None, None, "mend") for i, what in enumerate(("a", "a", "b", "a")))
    placement = msgspec.structs.replace(two_layers.PLACEMENT, obstacles=obstacles)
    result = pricing.energy(counts, two_layers.PROGRAM, two_layers.CHIP, placement)
    assert [line[:2] for line in result.obstacles] == ["n0", "n2", "n1", "n3"]
    assert "priced as if it could: n2: b missing; mend." in remarks(result)
    assert any("1 more; `ecmt-deploy inspect" in line for line in remarks(result))


# --- run directories and names ----------------------------------------------------------------------------------------


def test_a_chip_without_limits_is_the_same_in_every_view(made):
    """Whether a program fits it, and on how many cores, is unknown: to Python, terminal, page, table and JSON."""
    program, run = made
    chip = chips.hardware("horowitz45")
    placement = place(program, chip)
    result = pricing.energy(run.activity, program, chip, placement)
    assert (result.fits, result.cores, result.chips) == ("unknown", None, None)
    assert "unknown" in repr(placement)
    assert "unknown" in repr(result)
    out = StringIO()
    Console(file=out, width=100).print(tables.energy([result], 100, details=True))
    shown = dict(line.split(maxsplit=1) for line in out.getvalue().splitlines() if line.startswith(("fits", "cores", "chips")))
    assert {name: value.strip() for name, value in shown.items()} == dict.fromkeys(("fits", "cores", "chips"), "unknown")
    report = make_report(record(program, run), run.activity, program, [(chip, placement, result)])
    page = render(report)
    assert '<td class="n">unknown</td><td class="n">unknown</td><td>unknown</td>' in page
    assert "whether the program fits, and on how many cores, is unknown" in page
    assert not re.search(r"\d+ cores", page)
    row = dict(zip(*summary_of(report), strict=True))
    assert (row["fits"], row["cores"], row["chips"]) == ("unknown", None, None)


def summary_of(report):
    table = summary(Comparison([Entry("a", "a", report)]))
    return table.header, table.rows[0]


def test_runs_are_kept_whole_and_nothing_else_is_replaced(made, tmp_path):
    from ecmt_deploy.program import write

    program, run = made
    write(program, tmp_path / "p.nir")
    save_run(tmp_path / "run", record(program, run), run, program, tmp_path / "p.nir")
    with pytest.raises(RunError, match="holds a run already"):
        save_run(tmp_path / "run", record(program, run), run, program, tmp_path / "p.nir")
    kept = save_run(tmp_path / "run", record(program, run), run, program, tmp_path / "p.nir", overwrite=True)
    loaded = load_run(tmp_path / "run")
    assert loaded.record == kept.record == record(program, run, program_sha256=sha256(tmp_path / "p.nir"))
    assert loaded.activity == run.activity
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "outputs.npy"), run.outputs)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.nir", "run"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important")
    with pytest.raises(RunError, match="no run directory"):
        save_run(tmp_path / "mine", record(program, run), run, program, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    (tmp_path / "run" / "activity.json").write_text("{}")
    with pytest.raises(RunError, match="activity.json"):
        load_run(tmp_path / "run")


def test_names_from_files_are_no_markup(made):
    """Brackets in names are shown, not obeyed."""
    from io import StringIO

    program, _ = made
    hostile = msgspec.structs.replace(program.provenance, model="[red]model[/blue]")
    out = StringIO()
    Console(file=out, width=120).print(tables.provenance(replace(program, provenance=hostile)))
    assert "[red]model[/blue]" in out.getvalue()
