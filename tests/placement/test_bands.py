"""Limits with a range: placements at both ends, and energies whose bands cover them."""

from itertools import pairwise

import msgspec
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecmt_deploy import chips
from ecmt_deploy.chips import Ability, Figure
from ecmt_deploy.estimation import energy
from ecmt_deploy.placement import place, place_band
from ecmt_deploy.program import ops
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import images, neuron
from ecmt_deploy.testing.handmade import program as verified
from tests.support.two_layers import CHIP

WHERE = {"source": ("x",), "method": "assumed", "grade": "C"}


def layers(tokens: int = 4):
    """4 tokens, or more, of 3 features -> 2 channels -> neurons -> 4 channels: 8 and 16 elements."""
    nodes = {
        "input": nir.Input(input_type={"input": np.array([tokens, 3])}),
        "first": ops.LastAxisLinear(np.ones((2, 3))),
        "neuron": neuron(),
        "second": ops.LastAxisLinear(np.ones((4, 2))),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([tokens, 4])}),
    }
    return verified(nodes, list(pairwise(nodes)))


def chip(**limits: tuple[int, int | None, int | None]):
    """Made up, with limits of (value, low, high)."""
    given_limits = {
        name: Figure(value=value, low=low, high=high, unit="", **WHERE) for name, (value, low, high) in limits.items()
    }
    return msgspec.structs.replace(CHIP, limits=chips.Limits(**given_limits))


def test_cores_at_both_ends_by_hand():
    """8 and 16 neurons: in cores of 4 that is 2 + 4, of 8 it is 1 + 2, of 2 it is 4 + 8; chips of 2 cores."""
    band = place_band(layers(), chip(neurons_per_core=(4, 2, 8), cores_per_chip=(2, None, None)))
    assert [(each.cores, each.chips) for each in band] == [(3, 2), (6, 3), (12, 6)]
    assert (band.value.cores_range, band.value.chips_range) == ((3, 12), (2, 6))
    assert band.value.verdict == "fits: 6 (3 to 12) cores on 3 (2 to 6) chips"
    assert band.ends == (band.low, band.high)
    plain = place(layers(), chip(neurons_per_core=(4, 2, 8), cores_per_chip=(2, None, None)))
    assert plain.verdict == "fits: 6 cores on 3 chips"
    assert msgspec.structs.replace(band.value, cores_range=None, chips_range=None) == plain


def test_limits_without_a_range_are_placed_once():
    band = place_band(layers(), chip(neurons_per_core=(4, None, None)))
    assert band.low is band.value is band.high
    assert band.ends == ()
    assert band.value.cores_range == (6, 6)
    assert band.value.verdict == "fits: 6 cores"


def test_an_end_at_which_nothing_fits_is_left_out_and_said():
    band = place_band(layers(), chip(fan_in_per_neuron=(3, 2, 3)))
    assert band.high is band.value
    assert any("low ends of the chip's limits" in said for said in band.value.assumptions)
    assert band.value.fits


def test_the_most_room_does_without_the_habits_of_a_compiler():
    halving = chips.Abilities(halved_layers=Ability(value=True, **WHERE), weight_sharing=Ability(value=True, **WHERE))
    hardware = msgspec.structs.replace(chip(neurons_per_core=(20, 12, 20)), abilities=halving)
    band = place_band(layers(tokens=11), hardware)
    # 11 tokens of 2, and of 4 channels, 20 neurons a core: room for 8 and for 4 rows, so 2 and 3 cores; at will, 22 and 44
    # elements take 2 and 3 too. 12 a core: 4 rows, and 2
    assert [each.cores for each in band] == [2 + 3, 2 + 3, 3 + 6]
    assert band.value.unit_of("first").rows_per_core == 8
    assert band.low.unit_of("first").rows_per_core == 6


@settings(max_examples=15)
@given(st.data())
def test_bands_cover_the_placements_at_their_ends(all_programs, data):
    program = all_programs[data.draw(st.sampled_from(["transformer, accurate", "transformer, graded"]))]
    ends = sorted(data.draw(st.lists(st.integers(6, 60), min_size=3, max_size=3)))
    hardware = chips.hardware("loihi1_sanafe")
    neurons = msgspec.structs.replace(hardware.limits.neurons_per_core, value=ends[1], low=ends[0], high=ends[2])
    known = msgspec.structs.replace(hardware.limits, neurons_per_core=neurons, graded_payload_bits=None)
    hardware = msgspec.structs.replace(hardware, limits=known)
    run = simulate(program, images(2), "reference", 2)
    band = place_band(program, hardware)
    cores = [each.cores for each in band]  # more room may change what shares cores, so that an end need not be the least
    assert band.value.cores_range == (min(cores), max(cores))
    together = energy(run.activity, program, hardware)
    assert together == energy(run.activity, program, hardware, band)
    assert (together.cores, together.cores_range) == (band.value.cores, band.value.cores_range)
    for placed in band:
        alone = energy(run.activity, program, hardware, placed)
        for mine, its in [
            (together.total_pj, alone.total_pj), (together.timing.step_us, alone.timing.step_us),
            (together.timing.latency_us, alone.timing.latency_us),
            (together.timing.throughput_per_s, alone.timing.throughput_per_s),
            *((together.components_pj[name], its) for name, its in alone.components_pj.items()),
        ]:  # fmt: skip
            assert mine.low <= its.low <= its.high <= mine.high
    alone = energy(run.activity, program, hardware, place(program, hardware))
    assert together.total_pj.value == pytest.approx(alone.total_pj.value)
    assert together.timing.step_us.value == alone.timing.step_us.value
    assert alone.cores_range is None
