"""Time by hand: tests/support/two_layers.py has the program, its steps and its counts."""

import msgspec
import nir
import numpy as np
import pytest

from ecmt_deploy import chips
from ecmt_deploy import estimation as pricing
from ecmt_deploy.chips import Limits
from ecmt_deploy.chips.schema import Barrier
from ecmt_deploy.estimation.timing import depth_of
from ecmt_deploy.placement import Placement, Unit
from ecmt_deploy.program import ops
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import images, program
from tests.support.two_layers import CHIP, PLACEMENT, PROGRAM, figure, near


def time_of(counts, placement=PLACEMENT, barrier=CHIP.barrier, **times):
    """With other times; those that are ``None`` are unknown."""
    changed = {name: time for name, time in {**CHIP.times, **times}.items() if time is not None}
    chip = msgspec.structs.replace(CHIP, times=changed, barrier=barrier)
    return pricing.energy(counts, PROGRAM, chip, placement).timing


def test_two_layers(counts):
    """Core 0, l1 and n1, in a step: (2 active x 2 + 2 idle x 1 + 2 spikes x 3 + 2 x 2 packets x 5) ns / 2 steps = 16 ns.
    Cores 1 and 2, l2 and n2: (4 synops x 4 + 3 x 2 + 1 x 1 + 2 x 3 + 4 packets x 2) / 2 steps / 2 cores = 9.25 ns.
    Three tiles, between 1 (10 ns) and 5 (30 ns): 20 ns. A step: 16 + 20 = 36 ns.
    """
    timing = time_of(counts)
    assert (timing.depth, timing.steps, timing.busiest) == (2, 2, "l1")
    assert timing.step_us == near(0.036, 0.036, 0.036)
    # 2 units one behind the other, 2 steps: 3 chip steps
    assert timing.latency_us == near(0.108, 0.108, 0.108)
    assert timing.throughput_per_s.value == pytest.approx(1e6 / 0.072)
    # MACs and functions have no published times anywhere: 6 and 4 over 2 steps
    assert timing.unknown == {"macs": 3.0, "ecm_ops.readout": 2.0}


def test_bands_turn_round_in_the_throughput(counts):
    timing = time_of(counts, spike_ns=figure(3, "ns", low=1, high=5))
    assert timing.step_us == near(0.034, 0.036, 0.038)
    assert timing.latency_us == near(0.102, 0.108, 0.114)
    assert timing.throughput_per_s == near(1e6 / 0.076, 1e6 / 0.072, 1e6 / 0.068)


@pytest.mark.parametrize(
    ("time", "count", "per_step", "step"),
    # core 0 without spikes: 13 ns; without packets out: 6 ns, so the other two cores are the busiest
    [("spike_ns", "spikes", 2.0, 0.033), ("message_ns", "packets", 2.0, 0.02925), ("synop_ns", "synops", 2.0, 0.036)],
)
def test_work_without_a_time_makes_a_lower_bound(counts, time, count, per_step, step):
    timing = time_of(counts, **{time: None})
    assert timing.unknown == {"macs": 3.0, "ecm_ops.readout": 2.0, count: per_step}
    assert timing.step_us.value == pytest.approx(step)


@pytest.mark.parametrize(("tiles", "barrier"), [((1, 10), (3, 30)), ((3, 30), (7, 50)), ((4, 30), (7, 50)), ((1, 10), (2, 30))])
def test_barriers_of_other_sizes(counts, tiles, barrier):
    """At a point that is given, that; below the least and beyond the most, theirs, and the latter is said."""
    timing = time_of(counts, barrier=tuple(Barrier(size, figure(ns, "ns")) for size, ns in (tiles, barrier)))
    assert timing.step_us.value == pytest.approx(0.016 + 0.030)
    assert any("A barrier of 3 tiles is taken to last as long as one of 2" in said for said in timing.assumptions) == (
        barrier[0] == 2
    )


def test_a_chip_without_barriers_says_so(counts):
    timing = time_of(counts, barrier=())
    assert timing.step_us.value == pytest.approx(0.016)
    assert timing.unknown["barriers"] == 1


def test_a_clock_tick_is_the_step(counts):
    timing = time_of(counts, step_ns=figure(1e6, "ns", low=1e5, high=1e6))
    assert timing.busiest is None
    assert not timing.unknown
    assert timing.step_us == near(100, 1000, 1000)
    assert timing.latency_us.value == pytest.approx(3000)


def test_no_times_no_timing(counts):
    without = msgspec.structs.replace(CHIP, times={}, barrier=())
    for chip in (without, msgspec.structs.replace(CHIP, limits=Limits())):
        result = pricing.energy(counts, PROGRAM, chip, PLACEMENT)
        assert result.timing is None
        assert result.energy_delay_nj_ms is None
        assert "static" not in result.components_pj
        assert any("static power (2 mW per chip)" in line for line in result.left_out)
        assert any("latency and throughput" in line for line in result.left_out)


def test_units_without_cores_have_no_time(counts):
    first, second = PLACEMENT.units
    units = (first, msgspec.structs.replace(second, cores=0))
    timing = time_of(counts, msgspec.structs.replace(PLACEMENT, units=units, routes=(), cores=1))
    # 4 synops, 3 + 1 updates, 2 spikes over 2 steps
    assert timing.unknown == {
        "macs": 3.0, "ecm_ops.readout": 2.0, "synops": 2.0, "neuron_updates_active": 1.5, "neuron_updates_idle": 0.5,
        "spikes": 1.0,
    }  # fmt: skip


def units(*groups: str) -> Placement:
    made = tuple(Unit(g.split()[0], tuple(g.split()), i, 1, 1, 1, {}, None) for i, g in enumerate(groups))
    return Placement("x", "x", made, (), len(made), None, None, (), ())


def test_depth_is_the_longest_way_in_units():
    """A branch and a short cut: a -> (b -> c | wiring) -> d; the way over b and c decides."""
    line = ops.LastAxisLinear(np.eye(2))
    made = program(
        {
            "input": nir.Input(input_type={"input": np.array([2])}),
            "a": line, "b": line, "c": line, "turn": ops.Take(0, np.array([1, 0])), "d": ops.Add(("c", "turn")),
            "readout": ops.Readout("rate"), "output": nir.Output(output_type={"output": np.array([2])}),
        },
        [("input", "a"), ("a", "b"), ("b", "c"), ("a", "turn"), ("c", "d"), ("turn", "d"), ("d", "readout"),
         ("readout", "output")],
    )  # fmt: skip
    assert depth_of(made, units("a", "b", "c", "d readout")) == 4
    assert depth_of(made, units("a", "b c", "d readout")) == 3
    assert depth_of(made, units("a b c d readout")) == 1
    # back to a unit that has worked before is a step of its own
    assert depth_of(made, units("a c", "b", "d readout")) == 4


@pytest.mark.parametrize("name", ["loihi1", "loihi1_sanafe", "spinnaker2", "truenorth"])
def test_a_chips_step_is_its_busiest_unit(all_programs, name):
    made = all_programs["transformer, accurate"]
    counts = simulate(made, images(2), "reference", 3).activity
    result = pricing.energy(counts, made, chips.hardware(name))
    timing = result.timing
    assert timing.latency_us.value == pytest.approx((timing.depth + 2) * timing.step_us.value)
    assert timing.throughput_per_s.value == pytest.approx(1e6 / (3 * timing.step_us.value))
    assert 1 < timing.depth < len(made.nodes)
    power = chips.hardware(name).prices["static_mw"]
    expected = power.value * result.chips * 3 * timing.step_us.value * 1e3
    assert result.components_pj["static"].value == pytest.approx(expected)
