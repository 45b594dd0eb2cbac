"""Time by hand: tests/support/two_layers.py has the program, its steps and its counts."""

import msgspec
import nir
import numpy as np
import pytest

from ecmt_deploy import chips
from ecmt_deploy import estimation as pricing
from ecmt_deploy.chips import Limits
from ecmt_deploy.chips.schema import Barrier
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.estimation.links import Links
from ecmt_deploy.estimation.phases import fullest
from ecmt_deploy.estimation.timing import depth_of
from ecmt_deploy.estimation.timing import timing as timing_of
from ecmt_deploy.placement import Placement, Route, Unit, place
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.program import ops
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing import float_program
from ecmt_deploy.testing.handmade import images, program
from tests.support import two_layers
from tests.support.two_layers import CHIP, PLACEMENT, PROGRAM, figure, near


def time_of(counts, placement=PLACEMENT, barrier=CHIP.barrier, **times):
    """With other times; those that are ``None`` are unknown."""
    changed = {name: time for name, time in {**CHIP.times, **times}.items() if time is not None}
    chip = msgspec.structs.replace(CHIP, times=changed, barrier=barrier)
    return pricing.energy(counts, PROGRAM, chip, placement).timing


#: core 0, l1 and n1: at t = 1 (2 active x 2 + 2 spikes x 3 + 2 x 2 packets x 5) ns = 30, at t = 2 2 idle x 1 = 2.
#: Cores 1 and 2, l2 and n2, half of it each: at t = 1 (4 synops x 4 + 2 active x 2 + 1 spike x 3 + 4 packets x 2) / 2 = 15.5,
#: at t = 2 (1 x 2 + 1 x 1 + 1 x 3) / 2 = 3. A barrier of three tiles, between 1 (10 ns) and 5 (30 ns): 20.
#: In a full pipeline l1 works on t = 1 while l2 works on t = 2: 30 + 20 = 50 ns, and then 15.5 + 20 = 35.5 ns.


def lengths(phases):
    return [phase.us.value * 1e3 for phase in phases]


def test_two_layers(counts):
    timing = time_of(counts)
    assert (timing.depth, timing.steps, timing.busiest) == (2, 2, "l1")
    assert lengths(timing.phases) == pytest.approx([50, 35.5])
    assert [(phase.step, phase.busiest, phase.binds) for phase in timing.phases] == [(1, "l1", "core"), (2, "l2", "core")]
    assert [phase.core_us.value for phase in timing.phases] == pytest.approx([0.03, 0.0155])
    assert [phase.barrier_us.value for phase in timing.phases] == pytest.approx([0.02, 0.02])
    assert timing.step_us == near(0.04275, 0.04275, 0.04275)
    assert timing.throughput_per_s.value == pytest.approx(1e6 / 0.0855)
    # an inference alone: l1 at t = 1; l1 at t = 2 (2 ns) beside l2 at t = 1; l2 at t = 2
    assert lengths(timing.inference) == pytest.approx([50, 35.5, 23])
    assert timing.latency_us == near(0.1085, 0.1085, 0.1085)
    # MACs and functions have no published times anywhere: 6 and 4 over 2 steps
    assert timing.unknown == {"macs": 3.0, "ecm_ops.readout": 2.0}


def test_steps_that_are_unknown_are_alike_and_said(counts):
    """16 and 9.25 ns at every step: what the peak at t = 1 is, the mean hides."""
    timing = time_of(msgspec.structs.replace(counts, steps=()))
    assert lengths(timing.phases) == pytest.approx([36, 36])
    assert lengths(timing.inference) == pytest.approx([36, 36, 29.25])
    assert any("do not say at which step" in said for said in timing.assumptions)
    assert not any("do not say at which step" in said for said in time_of(counts).assumptions)


def test_bands_turn_round_in_the_throughput(counts):
    timing = time_of(counts, spike_ns=figure(3, "ns", low=1, high=5))
    # 2 spikes of l1 at t = 1, 1 of l2, halved, at each
    assert timing.step_us == near(0.04025, 0.04275, 0.04525)
    assert timing.latency_us == near(0.1025, 0.1085, 0.1145)
    assert timing.throughput_per_s == near(1e6 / 0.0905, 1e6 / 0.0855, 1e6 / 0.0805)


@pytest.mark.parametrize(
    ("time", "count", "per_step", "step"),
    # (24 + 14) / 2, (10 + 15.5) / 2, (30 + 7.5) / 2 ns and the barrier
    [("spike_ns", "spikes", 2.0, 0.039), ("message_ns", "packets", 2.0, 0.03275), ("synop_ns", "synops", 2.0, 0.03875)],
)
def test_work_without_a_time_makes_a_lower_bound(counts, time, count, per_step, step):
    timing = time_of(counts, **{time: None})
    assert timing.unknown == {"macs": 3.0, "ecm_ops.readout": 2.0, count: per_step}
    assert timing.step_us.value == pytest.approx(step)


@pytest.mark.parametrize(("tiles", "barrier"), [((1, 10), (3, 30)), ((3, 30), (7, 50)), ((4, 30), (7, 50)), ((1, 10), (2, 30))])
def test_barriers_of_other_sizes(counts, tiles, barrier):
    """At a point that is given, that; below the least and beyond the most, theirs, and the latter is said."""
    timing = time_of(counts, barrier=tuple(Barrier(size, figure(ns, "ns")) for size, ns in (tiles, barrier)))
    assert lengths(timing.phases) == pytest.approx([30 + 30, 15.5 + 30])
    assert any("A barrier of 3 tiles is taken to last as long as one of 2" in said for said in timing.assumptions) == (
        barrier[0] == 2
    )


def test_a_chip_without_barriers_says_so(counts):
    timing = time_of(counts, barrier=())
    assert lengths(timing.phases) == pytest.approx([30, 15.5])
    assert timing.unknown["barriers"] == 1


def test_a_clock_tick_is_the_step(counts):
    timing = time_of(counts, step_ns=figure(1e6, "ns", low=1e5, high=1e6))
    assert timing.busiest is None
    assert not timing.unknown
    assert {phase.binds for phase in timing.phases} == {"tick"}
    assert timing.step_us == near(100, 1000, 1000)
    assert timing.latency_us.value == pytest.approx(3000)
    assert any("the work with a published time fits in it" in said for said in timing.assumptions)


def test_a_step_whose_work_does_not_fit_in_a_tick_lasts_longer(counts):
    timing = time_of(counts, step_ns=figure(20, "ns"))
    assert lengths(timing.phases) == pytest.approx([30, 20])
    assert [phase.binds for phase in timing.phases] == ["core", "tick"]
    assert lengths(timing.inference) == pytest.approx([30, 20, 20])
    assert any("in 1 of 2 the work does not fit" in said for said in timing.assumptions)


def meshed(**times):
    """The chip with two tiles in a row, of a core each; the third core is the first of the next chip, in the same row."""
    mesh = {name: figure(n, "x") for name, n in (("tile_columns", 2), ("tile_rows", 1), ("cores_per_tile", 1))}
    limits = msgspec.structs.replace(CHIP.limits, **mesh)
    return msgspec.structs.replace(CHIP, limits=limits, times={**CHIP.times, **times})


def test_the_busiest_link_decides_where_it_takes_longer(counts):
    """Of 4 packets from core 0 at t = 1 half go to core 1 and half on to core 2: 4 over the first link, 2 over the second."""
    (route,) = PLACEMENT.routes
    placement = msgspec.structs.replace(PLACEMENT, routes=(msgspec.structs.replace(route, hops_ew=1.5),))
    timing = pricing.energy(counts, PROGRAM, meshed(hop_ns=figure(10, "ns", low=5, high=20)), placement).timing
    assert [(phase.binds, phase.link_us.value) for phase in timing.phases] == [("link", pytest.approx(0.04)), ("core", 0)]
    assert timing.phases[0].us == near(0.05, 0.06, 0.1)  # 5 ns a hop: 20 ns, less than the core's 30
    assert lengths(timing.inference) == pytest.approx([60, 35.5, 23])
    assert timing.busiest is None
    quick = pricing.energy(counts, PROGRAM, meshed(hop_ns=figure(5, "ns")), placement).timing
    assert lengths(quick.phases) == pytest.approx([50, 35.5])
    assert any("links are taken to keep up" in said for said in time_of(counts).assumptions)


def test_links_of_a_mesh_by_hand():
    """Two cores at (0, 0) and (1, 0) send to two at (1, 1) and (0, 1), all pairs alike: a quarter of the packets each."""
    limits = msgspec.structs.replace(
        CHIP.limits, **{name: figure(n, "x") for name, n in (("tile_columns", 2), ("tile_rows", 2), ("cores_per_tile", 1))}
    )
    chip = msgspec.structs.replace(CHIP, limits=limits)
    first, second = Unit("a", ("a",), 0, 2, 1, 1, {}, None), Unit("b", ("b",), 2, 2, 1, 1, {}, None)
    placement = msgspec.structs.replace(PLACEMENT, units=(first, second), cores=4, mesh=(2, 2, 1))
    links = Links(chip, placement)
    pattern = links.pattern(first, second)
    # of 8 packets: 2 stay in their column, 2 go east and 2 west first, and all 8 go down, 4 in each column
    packets = links.packets(pattern, Route("a", "b", 8, 0, 4, 8, 0)).reshape(4, 2, 2)
    east, west, south, north = packets
    assert (east[0, 0], west[0, 0], south[0, 0], south[1, 0]) == (2, 2, 4, 4)
    assert packets.sum() == pytest.approx(12)
    assert not north.any()


def by_core(*rows):
    return np.array(rows, np.int64)


def measured(**changes):
    """The same counts, but three of the four events and packets at core 1."""
    actions = {
        "synops": by_core((0, 0, 0), (0, 3, 1), (0, 0, 0)),
        "neuron_updates_active": by_core((2, 0, 0), (0, 1, 1), (0, 1, 0)),
        "neuron_updates_idle": by_core((0, 0, 0), (2, 0, 0), (0, 0, 1)),
        "spikes": by_core((2, 0, 0), (0, 1, 0), (0, 1, 0)),
        "packets": by_core((4, 0, 0), (0, 0, 0), (0, 0, 0)),
        "packets_in": by_core((0, 0, 0), (0, 3, 1), (0, 0, 0)),
    }
    links = changes.pop("links", ())
    packets = changes.pop("link_packets", np.zeros((3, len(links)), np.int64))
    return Loads({**actions, **changes}, packets, links, 1)


def test_measured_loads_are_the_fullest_cores_own(counts):
    """Core 1 at t = 1: 3 x 4 + 2 + 3 + 3 x 2 = 23 ns, at t = 2: 2 + 3 = 5 ns, while core 0 has 30 and 2."""
    timing = time_with(counts, measured())
    assert lengths(timing.inference) == pytest.approx([50, 43, 25])
    assert lengths(timing.phases) == pytest.approx([50, 43])
    assert [phase.busiest for phase in timing.inference] == ["l1", "l2", "l2"]
    assert any("are measured" in said for said in timing.assumptions)
    # two samples of the same
    assert time_with(counts, measured() + measured()).phases == timing.phases


def test_measured_links(counts):
    links = ((0, 0, 0, 1, 0), (0, 1, 0, 2, 0))
    loads = measured(links=links, link_packets=by_core((4, 3), (0, 0), (0, 0)))
    timing = time_with(counts, loads, hop_ns=figure(10, "ns"))
    assert lengths(timing.phases) == pytest.approx([60, 43])
    assert timing.phases[0].binds == "link"


def test_loads_of_another_placement_are_not_used_and_that_is_said(counts):
    timing = time_with(counts, Loads({}, np.zeros((3, 0), np.int64), (), 1))
    assert timing.phases == time_of(counts).phases
    assert any("of another placement" in said for said in timing.assumptions)


def time_with(counts, loads, **times):
    chip = msgspec.structs.replace(CHIP, times={**CHIP.times, **times})
    return timing_of(counts, PROGRAM, chip, PLACEMENT, loads)


@pytest.mark.parametrize("seed", range(20))
def test_peaks_and_uneven_cores_take_longer_and_what_follows_from_one_another(seed):
    """The mean over steps and over cores is never longer; an inference fits its full pipeline and is no shorter than it."""
    program_, x, timesteps = float_program(seed)
    activity = simulate(program_, x, "reference", timesteps).activity
    chip = chips.hardware("loihi1")
    placement = place(program_, chip)
    timing, even = (timing_of(a, program_, chip, placement) for a in (activity, msgspec.structs.replace(activity, steps=())))
    if timing is None:
        return
    assert timing.step_us.value >= even.step_us.value * (1 - 1e-12)
    interval, longest = 1e6 / timing.throughput_per_s.value, max(phase.us.value for phase in timing.phases)
    assert interval <= timing.latency_us.value * (1 + 1e-12)
    assert timing.latency_us.value <= (timing.depth + timesteps - 1) * longest * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_measured_loads_are_never_less_than_the_even_spread(seed):
    """Events that fall on cores of equal tiles at random: the fullest core has no less than its even share."""
    rng = np.random.default_rng(seed)
    uneven = {}
    for name in ("synops", "neuron_updates_active", "neuron_updates_idle", "spikes", "packets_in"):
        even = measured().core_actions[name]
        both = even[:, 1:].sum(axis=1)
        mine = rng.binomial(both, rng.uniform())
        uneven[name] = np.stack([even[:, 0], mine, both - mine], axis=1)
    counts = simulate(PROGRAM, two_layers.X, "reference", two_layers.TIMESTEPS).activity
    found, spread_evenly = time_with(counts, measured(**uneven)), time_of(counts)
    for mine, even in zip(found.inference, spread_evenly.inference, strict=True):
        assert mine.us.value >= even.us.value * (1 - 1e-12)
    assert found.latency_us.value >= spread_evenly.latency_us.value * (1 - 1e-12)
    assert found.throughput_per_s.value <= spread_evenly.throughput_per_s.value * (1 + 1e-12)


def test_the_fullest_tile_of_a_unit_that_is_not_divided_evenly():
    """Of a row of 2 elements on 2 cores one each; of 5 by tiles of 2 the fullest has two fifths."""
    shape = {"output": np.array([5])}
    made = program(
        {"input": nir.Input(input_type={"input": np.array([3])}), "a": ops.LastAxisLinear(np.ones((5, 3))),
         "readout": ops.Readout("rate"), "output": nir.Output(output_type=shape)},
        [("input", "a"), ("a", "readout"), ("readout", "output")],
    )  # fmt: skip
    assert fullest(Unit("a", ("a",), 0, 3, 1, 2, {}, None), made) == pytest.approx(2 / 5)
    assert fullest(Unit("a", ("a",), 0, 1, 1, 5, {}, None), made) == 1
    assert fullest(PLACEMENT.units[1], PROGRAM) == 1 / 2


def test_sums_over_rows_through_synapses_add_steps(counts):
    first, second = PLACEMENT.units
    longer = msgspec.structs.replace(PLACEMENT, units=(msgspec.structs.replace(first, extra_steps=2), second))
    assert depth_of(PROGRAM, PLACEMENT) == 2
    assert depth_of(PROGRAM, longer) == 4
    # two steps in which nothing works but the barrier, between those of l1 and of l2
    assert lengths(time_of(counts, longer).inference) == pytest.approx([50, 22, 20, 35.5, 23])


def test_static_power_over_the_time_from_one_frame_to_the_next(counts):
    """2 chips of 2 mW (1 to 3); a full pipeline takes 85.5 ns."""

    def priced(rate, chip=CHIP):
        return pricing.energy(counts, PROGRAM, chip, PLACEMENT, frames_per_second=rate)

    assert priced(1e6).components_pj["static"] == near(2000, 4000, 6000)
    fast = priced(2e7)  # every 50 ns, which it cannot
    assert fast.components_pj["static"] == near(171, 342, 513)
    assert any("not with the 2e+07 that were asked for" in said for said in fast.timing.assumptions)
    # whatever the time of a step is
    untimed = priced(1e6, msgspec.structs.replace(CHIP, times={}, barrier=()))
    assert untimed.components_pj["static"] == near(2000, 4000, 6000)
    assert not any("static power" in line for line in untimed.left_out)
    for rate in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="frames_per_second is .*; expected a number above 0"):
            priced(rate)


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
def test_a_chips_time_is_the_sum_of_its_steps(all_programs, name):
    made = all_programs["transformer, accurate"]
    counts = simulate(made, images(2), "reference", 3).activity
    result = pricing.energy(counts, made, chips.hardware(name))
    timing = result.timing
    assert (len(timing.phases), len(timing.inference)) == (3, timing.depth + 2)
    assert timing.latency_us.value == pytest.approx(sum(phase.us.value for phase in timing.inference))
    assert timing.throughput_per_s.value == pytest.approx(1e6 / sum(phase.us.value for phase in timing.phases))
    assert 1 < timing.depth < len(made.nodes)
    power = chips.hardware(name).prices["static_mw"]
    expected = power.value * result.chips * 3 * timing.step_us.value * 1e3
    assert result.components_pj["static"].value == pytest.approx(expected)
