"""Graded events: an event with a payload is a multiplication in every view, and its packets are as long as its payload."""

from math import ceil

import msgspec
import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecmt_deploy import chips, energy
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.estimation.routing import message_bits, packets_per_message
from ecmt_deploy.program import ops
from ecmt_deploy.report import data, units
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import program
from tests.support import two_layers
from tests.support.two_layers import figure

#: x = (1, 0.25, 0.5): l1 (1, 0.75), n1 payloads (4, 3) of bases 0.25
PAYLOAD_BITS = 4


def graded(bits: int, base: float = 0.25) -> ops.Graded:
    return ops.Graded(np.array(base), bits)


def layers(first: ops.Op, second: ops.Op):
    """The two layers, with these neurons behind the first and the second."""
    nodes = {**two_layers.PROGRAM.nodes, "n1": first, "n2": second}
    edges = [(source, name) for name, sources in two_layers.PROGRAM.operands.items() for source in sources]
    return program(nodes, edges)


def run(made, timesteps: int = 1):
    return simulate(made, two_layers.X, "reference", timesteps)


@pytest.fixture(scope="module")
def done():
    return run(layers(graded(PAYLOAD_BITS), graded(9)))


def test_by_hand(done):
    """2 spikes x 2 outputs = 4 events, for 4 MACs; tiles of 32 KiB: 20 pJ for 64 bits; multiply 0.2 x bits / 8, add 0.1."""
    result = done.energy("horowitz45")
    assert done.activity["l2"].synops == 4
    # (a) 4 events x 4.6, for each is multiplied
    assert result.paper.snn_pj == result.paper.ann_pj == pytest.approx(18.4)
    row, view = result.memory.rows["l2"], result.memory
    assert (row.ann_bits, view.ann_bits, view.ann_bits_of, units.ann(view)) == (4, 4, "payloads", "up to int4")
    # (c) 4 events x (0.2 x 4 / 8 + 0.1, a weight of 8, a state of 24 read and written) + 1 step x 2 outputs x (0.1, a state);
    # 2 spikes of 4 bits, and one that says which of the 2 elements it is, written into the tile and read
    expected = {"arithmetic": 4 * 0.2 + 2 * 0.1, "weight_memory": 4 * 2.5, "state_memory": 6 * 15.0}
    expected["delivery_memory"] = 2 * 2 * 20 * 5 / 64
    assert row.snn_pj == pytest.approx(expected)
    # 4 MACs x (0.1 + 0.1, a weight, an activation of 4 bits), 2 activations written into the tile, 2 results of 4 bits
    expected = {"arithmetic": 0.8, "weight_memory": 10.0, "operand_memory": 4 * 1.25, "delivery_memory": 2 * 1.25,
                "output_memory": 2 * 1.25}  # fmt: skip
    assert row.ann_pj == pytest.approx(expected)


def test_levels_are_accumulated_still():
    """One of two layers with payloads: only events of those are multiplied, and the ANN has its payloads' bits throughout."""
    result = run(layers(two_layers.neuron(), graded(6))).energy("horowitz45")
    assert result.paper.snn_pj == pytest.approx(4 * 0.9)
    row = result.memory.rows["l2"]
    assert row.snn_pj["arithmetic"] == pytest.approx(4 * (0.2 + 0.1) + 2 * 0.1)  # a level has 8 bits, as it always had
    assert (row.ann_bits, result.memory.ann_bits) == (6, 6)  # ceil(log2(1 + 1)) = 1 bit would be no network


@given(bits=st.lists(st.integers(2, 16), min_size=2, max_size=2), axes=st.booleans())
def test_payloads_are_seen_through_wiring(bits, axes):
    """Two neurons side by side, moved: the widest of them is what an event may have to be multiplied by."""
    made = program(
        {
            **{name: two_layers.PROGRAM.nodes[name] for name in ("input", "l1", "l2")},
            "left": graded(bits[0]), "right": graded(bits[1]) if axes else two_layers.neuron(),
            "first": ops.Slice(0, 0, 1, 1), "second": ops.Slice(0, 1, 2, 1), "both": ops.Concat(("left", "right"), 0),
            "readout": ops.Readout("rate"), "output": nir.Output(output_type={"output": np.array([2])}),
        },
        [("input", "l1"), ("l1", "first"), ("l1", "second"), ("first", "left"), ("second", "right"), ("left", "both"),
         ("right", "both"), ("both", "l2"), ("l2", "readout"), ("readout", "output")],
    )  # fmt: skip
    assert made.emitters["both"] == {"left", "right"}
    assert made.payload_bits("both") == (max(bits) if axes else bits[0])
    assert made.payload_bits("l2") is None


@pytest.mark.parametrize("name", ["accurate", "paper"])
def test_programs_of_levels_are_priced_as_they_were(all_programs, name):
    made = all_programs[f"transformer, {name}"]
    assert all(made.payload_bits(stream) is None for stream in made.nodes)


@pytest.mark.parametrize("bits", [1, 5, 16])
def test_the_anns_bits_can_be_chosen(done, bits):
    results = [done.energy("horowitz45", ann_bits=bits), *energy(done, ["horowitz45"], ann_bits=bits)]
    for result in results:
        view = result.memory
        assert (view.ann_bits, view.ann_bits_of, units.ann(view)) == (bits, "asked", f"int{bits}")
        assert view.rows["l2"].ann_pj["arithmetic"] == pytest.approx(4 * (0.2 * bits / 8 + 0.1))
        assert view.rows["l1"].ann_bits == 8  # the image
        assert view.snn_pj == done.energy("horowitz45").memory.snn_pj
    table = data.nodes(results)
    assert bits in table.column("ann_bits")


@pytest.mark.parametrize("bits", [0, -1, 33, 2.5])
def test_what_is_no_width(done, bits):
    with pytest.raises(ConfigError, match="ann_bits is"):
        done.energy("horowitz45", ann_bits=bits)


@given(bits=st.integers(2, 16), room=st.integers(1, 32))
def test_a_packet_carries_so_many_payload_bits(bits, room):
    """On every chip with payloads a graded spike is as long as its payload; on one of binary spikes nothing is carried."""
    for name in ("loihi2", "spinnaker2"):
        chip = chips.hardware(name)
        limits = msgspec.structs.replace(chip.limits, payload_bits_per_packet=figure(room, "bit"))
        chip = msgspec.structs.replace(chip, limits=limits)
        assert message_bits(graded(bits), chip) == bits
        assert packets_per_message(graded(bits), chip) == ceil(bits / room)
    assert message_bits(graded(bits), chips.hardware("truenorth")) == 0
    assert packets_per_message(graded(bits), chips.hardware("loihi2")) == 1  # what a packet carries is unknown


def test_longer_payloads_are_more_packets():
    """The chip of the two layers carries 2 bits a packet: a payload of 4 takes 2 packets, one of 5 three."""
    routing = []
    for bits in (4, 5):
        done = run(layers(graded(bits), graded(9)))
        priced = energy(done.activity, done.program, two_layers.CHIP, two_layers.PLACEMENT)
        routing.append(next(row for row in priced.rows if row.node == "n1").components_pj["routing"].value)
    # 2 spikes x packets x (7 out + 1 in + 0.5 for a hop east)
    assert routing == pytest.approx([2 * 2 * 8.5, 2 * 3 * 8.5])


def test_what_the_width_of_a_payload_adds_on_a_chip_is_said(done):
    said = "the width of graded payloads: a synaptic event has one price, whatever it is multiplied by"
    assert said in done.energy("loihi2").left_out
    assert said not in done.energy("dynapcnn").left_out  # it has no price of an event at all
    assert said not in run(two_layers.PROGRAM).energy("loihi2").left_out
