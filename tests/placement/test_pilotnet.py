"""PilotNet on loihi2 beside what its makers published: cores by the compiler's log, energy and time as measured."""

import pytest

from docs.generate.documents import block
from docs.generate.pilotnet import CHIP, DOCUMENT, LOG, cores, lines, pilotnet
from ecmt_deploy import chips
from ecmt_deploy.estimation import energy
from ecmt_deploy.placement import place
from ecmt_deploy.program.activity import Activity, Counts

#: raw figures of the notebook pilotnet_snn/benchmark.ipynb: power in all and static, in mW; inferences a second; steps of one
TOTAL_MW, STATIC_MW, INFERENCES, STEPS = 679, 232, 408.91, 16
#: synaptic events of a step, read off its activity plot
EVENTS = 2.29e6


@pytest.fixture(scope="module")
def program():
    return pilotnet()


@pytest.fixture(scope="module")
def priced(program):
    """The published number of events, as many a multiply-accumulate in every layer."""
    dense = {name: program.work(name).dense_macs for name in LOG}
    rate = EVENTS / sum(dense.values())
    counts = {name: Counts() for name in program.nodes}
    for name, macs in dense.items():
        counts[name] = Counts(synops=round(macs * rate * STEPS), dense_macs=macs)
    return energy(Activity(1, STEPS, counts), program, CHIP)


def test_cores_are_those_of_the_compilers_log(program):
    placed = cores(place(program, CHIP))
    assert placed.keys() == LOG.keys()
    assert sum(placed.values()) == pytest.approx(sum(LOG.values()), rel=0.2)
    # convolutions exactly; of dense layers the compiler first makes as many parts as need over limit, and then halves those
    assert {name: n for name, n in placed.items() if name.startswith("conv")} == {"conv1": 25, "conv2": 13, "conv3": 3,
                                                                                  "conv4": 3, "conv5": 2}  # fmt: skip
    assert (placed["dense1"], LOG["dense1"]) == (8, 12)
    assert all(placed[name] == LOG[name] for name in ("dense2", "dense3", "dense4"))


def test_the_page_has_the_table():
    assert block(DOCUMENT, "pilotnet") == lines(), "run `python -m docs.generate.pilotnet`"


def test_the_prices_are_the_notebooks(priced):
    """0.447 W over 408.91 inferences a second is 1.093 mJ each, so 29.8 pJ an event; the notebook itself says 1.094 mJ."""
    prices, dynamic_pj = chips.hardware(CHIP).prices, (TOTAL_MW - STATIC_MW) * 1e9 / INFERENCES
    assert dynamic_pj == pytest.approx(1.094e9, rel=1e-3)
    assert prices["synop_pj"].value == pytest.approx(dynamic_pj / STEPS / EVENTS, rel=3e-3)
    assert prices["synop_pj"].low == pytest.approx(2600 / 380, rel=0.01)
    assert prices["synop_pj"].high == pytest.approx(2 * dynamic_pj / STEPS / EVENTS, rel=0.01)
    assert prices["synop_pj"].bound == "exact"
    assert prices["static_mw"].value == STATIC_MW
    # at the best rate of a whole system an update would be a few per cent of that: nothing is left for a price of its own
    neurons = 99 * 32 * 24 + 49 * 15 * 36 + 24 * 7 * 48 + 22 * 4 * 64 + 20 * 2 * 64 + 161 + 200 * 66 * 3
    assert neurons * 2600 / 240 < 0.03 * dynamic_pj / STEPS
    assert {"neuron_update_active_pj", "neuron_update_idle_pj"} <= set(prices["synop_pj"].covers)
    assert priced.components_pj["synapse"].value == pytest.approx(dynamic_pj, rel=3e-3)


def test_a_step_takes_as_long_as_measured(priced):
    measured_us = 1e6 / INFERENCES / STEPS
    assert measured_us == pytest.approx(152.9, rel=1e-3)
    step = priced.timing.step_us
    assert step.low <= measured_us <= step.high
    assert step.value == pytest.approx(measured_us, rel=0.2)
    assert not priced.timing.unknown


def test_static_power_and_latency_are_priced(priced):
    """One chip of 232 mW for 16 steps; all in all near the 0.679 W that were measured."""
    time = priced.timing
    assert priced.chips == 1
    assert priced.components_pj["static"].value == pytest.approx(STATIC_MW * 16 * time.step_us.value * 1e3)
    assert priced.total_pj.value == pytest.approx(TOTAL_MW * 1e9 / INFERENCES, rel=0.1)
    # as counts are not known by step, steps differ only where the pipeline fills and drains
    assert time.latency_us.value == pytest.approx(sum(step.us.value for step in time.inference))
    assert len(time.inference) == time.depth + 15
    assert max(step.us.value for step in time.inference) == pytest.approx(time.step_us.value)
