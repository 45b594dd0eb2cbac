"""Products of streams, sums over rows and wide analog values: counted where a chip does them in another way, an obstacle where
it does not, and said beside every total where nobody knows."""

from __future__ import annotations

import itertools

import msgspec
import nir
import numpy as np
import pytest

from ecmt_deploy import chips
from ecmt_deploy.chips import Abilities, Ability, Figure
from ecmt_deploy.estimation import energy
from ecmt_deploy.estimation.amounts import work
from ecmt_deploy.placement import place
from ecmt_deploy.program import Program, ops, verify
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.report.remarks import remarks
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import PROVENANCE, images
from tests.support.attention import attention
from tests.support.two_layers import CHIP

WHERE = {"source": ("x",), "method": "assumed", "grade": "C"}


def chip(abilities: dict[str, bool], **limits: int):
    """Made up; the widths of 8 and 24 bits."""
    figures = {
        name: Figure(value=value, unit="", **WHERE) for name, value in {"weight_bits": 8, "state_bits": 24, **limits}.items()
    }
    able = {name: Ability(value=value, **WHERE) for name, value in abilities.items()}
    return msgspec.structs.replace(CHIP, limits=chips.Limits(**figures), abilities=Abilities(**able))


def used(hardware) -> dict[str, int]:
    return {name: use.used for name, use in place(attention(), hardware).unit_of("softmax").use.items()}


def test_sums_over_rows_that_take_synapses_are_placed():
    """A softmax of 8 rows of 4 takes 2 sums: 8 x 2 neurons of a word each; 32 x 2 axons there and 8 x 2 back; 2 x 64 weights,
    unless rows share the one. All else is that of a chip whose cores sum."""
    by_code, by_synapses = (used(chip({"row_reductions": able})) for able in (True, False))
    more = {name: by_synapses[name] - by_code[name] for name in by_code}
    assert more == {
        "neurons": 8 * 2, "synaptic_memory_bytes": 2 * 32 * 2, "state_memory_bytes": 8 * 2 * 3, "input_axons": (32 + 8) * 2,
        "output_axons": 0, "fan_in": 0,
    }  # fmt: skip
    shared = {"row_reductions": False, "weight_sharing": True}
    assert used(chip(shared))["synaptic_memory_bytes"] == used(chip({"weight_sharing": True}))["synaptic_memory_bytes"]
    assert used(chip({})) == by_code


def test_sums_take_steps():
    """Two a sum: four for a softmax."""
    for abilities, steps in (({"row_reductions": False}, 4), ({"row_reductions": True}, 0), ({}, 0)):
        placed = place(attention(), chip(abilities))
        assert {unit.name: unit.extra_steps for unit in placed.units} == {"q": 0, "k": 0, "scores": steps}


def test_sums_that_take_synapses_are_counted_and_priced():
    """60 elements of rows of 4 in 3 samples, 2 sums: an event there and back of each, and an update of each row's sum."""
    program = attention()
    counts = {name: Counts() for name in program.nodes} | {"softmax": Counts(ecm_ops={"softmax": 60})}
    activity = Activity(3, 2, counts)

    def done(abilities: dict[str, bool]) -> dict[str, float]:
        return {action: amount for action, amount, _ in work(activity, program, "softmax", chip(abilities)) if amount}

    plain = {"ecm_ops.softmax": 20}
    assert done({"row_reductions": True}) == done({}) == plain
    assert done({"row_reductions": False}) == plain | {"synops.reduction": 2 * 20 * 2, "neuron_updates_active": 20 * 2 / 4}
    # at the made-up chip's prices
    prices = CHIP.prices
    parts = next(row.components_pj for row in energy(activity, program, chip({"row_reductions": False})).rows)
    assert parts["synapse"].value == pytest.approx(80 * prices["synop_pj"].value)
    assert parts["neuron"].value == pytest.approx(10 * prices["neuron_update_active_pj"].value)


def maxima() -> Program:
    """The largest of each of 2 rows of 5 inputs, behind weights."""
    nodes = {
        "input": nir.Input(input_type={"input": np.array([2, 5])}),
        "weights": ops.LastAxisLinear(np.eye(5)),
        "max": ops.ECM(("weights",), "max", "differential", {"axis": np.asarray(1)}),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([2, 1])}),
    }
    return verify(nodes, itertools.pairwise(nodes), PROVENANCE)


def test_a_maximum_is_no_sum():
    """Pairs of the 5 of a row: 4 neurons of two synapses each, in 3 rounds (5, 3, 2, 1). Each keeps a word of 24 bits."""
    program = maxima()
    placed = {able: place(program, chip({"row_reductions": able})).unit_of("max") for able in (True, False)}
    more = {name: use.used - placed[True].use[name].used for name, use in placed[False].use.items()}
    assert more == {
        "neurons": 2 * 4, "synaptic_memory_bytes": 2 * 2 * 4, "state_memory_bytes": 2 * 4 * 3, "input_axons": 2 * (4 + 4),
        "output_axons": 0, "fan_in": 0,
    }  # fmt: skip
    assert {able: unit.extra_steps for able, unit in placed.items()} == {True: 0, False: 3}
    activity = Activity(1, 1, {name: Counts() for name in program.nodes} | {"max": Counts(ecm_ops={"max": 10})})
    chips_of = {able: chip({"row_reductions": able}) for able in (True, False)}
    done = {able: {a: n for a, n, _ in work(activity, program, "max", each) if n} for able, each in chips_of.items()}
    assert done == {True: {"ecm_ops.max": 10}, False: {"ecm_ops.max": 10, "synops.reduction": 16, "neuron_updates_active": 8}}
    said = "Assumes that cores take maxima over the rows that they hold (max), which nobody has shown on this chip."
    assert [said in place(program, chip(able)).unshown for able in ({}, {"row_reductions": False})] == [True, False]


def test_products_of_streams_where_a_chip_has_none_where_it_has_and_where_nobody_knows():
    no, yes, unknown = (place(attention(), chip(able)) for able in ({"stream_products": False}, {"stream_products": True}, {}))
    assert [(o.node, o.resource, o.need) for o in no.obstacles] == [("scores", "stream_products", None)]
    assert no.obstacles[0].mend == "a chip that multiplies two streams, for 1 node of kind product"
    assert yes.fits
    assert unknown.fits
    said = "Assumes that two streams can be multiplied by each other (scores), which nobody has shown on this chip."
    assert said in unknown.unshown
    assert said not in (*no.unshown, *yes.unshown)


def test_what_nobody_has_shown_stands_beside_the_total(all_programs):
    """On loihi2 attention is a product of two streams; its cores are known to sum through synapses; a residual stream has more
    bits than a spike."""
    program = all_programs["transformer, accurate"]
    result = energy(simulate(program, images(1), "reference", 1).activity, program, "loihi2")
    assert len(result.assumes) == 2
    assert "two streams can be multiplied" in result.assumes[0]
    assert "analog values of up to 24 bits travel as one spike, whose payload has 16" in result.assumes[1]
    beside = list(remarks(result))
    assert all(any(said[1:] in line for line in beside) for said in result.assumes)
    assert not energy(simulate(program, images(1), "reference", 1).activity, program, "spinnaker2").assumes


def test_analog_values_wider_than_a_spike(all_programs):
    """Of float programs too; not where packets are cut, where the payload is wide enough, or unknown."""
    program = all_programs["transformer, accurate"]
    assert not program.integer
    able = {"stream_products": True, "row_reductions": True}
    small = {"neurons_per_core": 30}

    def said(**limits: int) -> list[str]:
        return [line for line in place(program, chip(able, **small, **limits)).unshown if "analog" in line]

    (line,) = said(graded_payload_bits=16)
    analog = [name for name, node in program.nodes.items() if node.emits != "spikes"]
    assert any(f"such as {name})" in line for name in analog)
    assert not said(graded_payload_bits=24)
    assert not said(graded_payload_bits=16, payload_bits_per_packet=8)
    assert not said()
    assert not said(graded_payload_bits=1), "an obstacle there"


def test_every_op_says_how_often_it_sums():
    assert ops.ECM(("x",), "softmax", "rate", {}).reductions == 2
    assert ops.ECM(("x",), "gelu", "rate", {}).reductions == 0
    assert ops.Readout("rate").reductions == 0
