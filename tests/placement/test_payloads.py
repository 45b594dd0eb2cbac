"""Graded payloads on chips whose spikes carry none, or fewer bits: an obstacle with the way round it, before anything runs."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecmt_deploy import chips
from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.errors import TargetError
from ecmt_deploy.placement import place
from ecmt_deploy.program import ops
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import images
from tests.support.two_layers import figure


def with_payloads(program, *bits: int):
    """The program with graded neurons, of these widths in turn, in place of its own; float."""
    neurons = {name: ops.Graded(np.array(0.1), bits[i % len(bits)]) for i, name in enumerate(program.neurons)}
    return with_nodes(program, neurons)


def carrying(bits: int | None):
    loihi2 = chips.hardware("loihi2")
    payload = None if bits is None else figure(bits, "bit")
    return msgspec.structs.replace(loihi2, limits=msgspec.structs.replace(loihi2.limits, graded_payload_bits=payload))


def about_payloads(program, chip):
    return [found for found in place(program, chip).obstacles if "payload" in found.mend]


@given(bits=st.lists(st.integers(2, 16), min_size=1, max_size=4), room=st.sampled_from([None, 1, 2, 5, 8, 16, 32]))
def test_wider_payloads_than_the_chips(all_programs, bits, room):
    program = with_payloads(all_programs["transformer, accurate"], *bits)
    found = about_payloads(program, carrying(room))
    widths = [program.nodes[name].payload_bits for name in program.neurons]
    too_wide = [width for width in widths if room is not None and width > room]
    assert len(found) == bool(too_wide)
    for each in found:
        assert (each.need, each.limit) == (max(widths), room) == (program.nodes[each.node].payload_bits, room)
        way = "--preset accurate" if room == 1 else f"--payload-bits {room}"
        nodes = "1 node" if len(too_wide) == 1 else f"{len(too_wide)} nodes"
        assert each.mend.endswith(f"for {nodes}: convert with {way}")


@pytest.mark.parametrize("room", [1, 4])
def test_levels_are_no_payloads(all_programs, room):
    for name in ("transformer, accurate", "transformer, paper"):
        assert not about_payloads(all_programs[name], carrying(room))
    assert any("payload of a spike is unknown" in said for said in place(all_programs[name], carrying(None)).assumptions)


@pytest.mark.parametrize("chip", ["truenorth", "loihi1", "loihi1_sanafe", "odin", "dynapcnn"])
def test_a_run_for_a_chip_of_binary_spikes_is_refused_first_for_that(all_programs, chip):
    program = with_payloads(all_programs["transformer, accurate"], 6)
    expected = rf"does not fit {chip}: .*graded_payload_bits 6 needed, limit 1; binary .*: convert with --preset accurate; "
    with pytest.raises(TargetError, match=expected):
        simulate(program, images(1), "reference", 1, hardware=chip)
    assert simulate(program, images(1), "reference", 1, hardware="loihi2").outputs.shape[0] == 1
