"""Which nodes share a process, and what travels between processes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ecmt_deploy.kernels import Stream
from ecmt_deploy.program import ops
from ecmt_deploy.targets.lava.groups import MAX_PORTS, groups, message_shape, pack, unpack
from ecmt_deploy.testing import case
from tests.support.rounding import rounding_each
from tests.support.targets import PROGRAMS

MEMORY = (ops.MultiThreshold, ops.ECM, ops.ECMProduct, ops.Hold, ops.Readout)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_node_runs_once_and_memory_is_last(all_programs, name):
    program = all_programs[name]
    made = groups(program)
    members = [member.name for group in made.values() for member in group.members]
    assert sorted(members) == sorted(k for k, node in program.nodes.items() if node.role != "movement")
    for group in made.values():
        assert not any(isinstance(member.node, MEMORY) for member in group.members[:-1])
        assert len(group.ports) <= MAX_PORTS
    assert len(made) < len(members)


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_the_last_member_is_seen_from_outside_and_operands_come_first(all_programs, name):
    seen: set[str] = set()
    for name_, group in groups(all_programs[name]).items():
        assert set(group.ports) <= seen
        assert group.name == name_
        inside = {member.name for member in group.members}
        for member in group.members:
            assert {s for wire in member.operands for s in wire.sources} <= inside | set(group.ports)
        seen.add(name_)


SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, max_side=4)


@given(
    SHAPES.flatmap(
        lambda shape: st.tuples(
            arrays.arrays(np.float64, shape, elements=st.floats(allow_nan=False)),
            arrays.arrays(bool, shape),
        )
    )
)
def test_an_analog_message_is_the_stream(stream):
    sent = Stream(*stream)
    value = sent.value
    message = pack(sent, False, np.dtype(np.float64))
    assert message.shape == message_shape(value.shape, False, np.dtype(np.float64))
    received = unpack(message, value.shape, False, np.dtype(np.float64))
    np.testing.assert_array_equal(received.value, value)
    np.testing.assert_array_equal(received.changed, sent.changed)


@given(arrays.arrays(np.int64, SHAPES, elements=st.integers(-(2**31) + 1, 2**31 - 1)))
def test_integers_travel_as_32_bits(value):
    for spikes in (True, False):
        message = pack(Stream(value, value != 0 if spikes else np.ones(value.shape, bool)), spikes, np.dtype(np.int32))
        assert message.dtype == np.int32
        assert message.shape == message_shape(value.shape, spikes, np.dtype(np.int32))
        received = unpack(message, value.shape, spikes, np.dtype(np.int64))
        assert received.value.dtype == np.int64
        np.testing.assert_array_equal(received.value, value)


def test_a_remainder_of_rounding_keeps_no_node_from_joining():
    program = case("integer transformer, accurate").program
    made, alone = groups(program), groups(rounding_each(program))
    assert {name: [m.name for m in group.members] for name, group in made.items()} == {
        name: [m.name for m in group.members] for name, group in alone.items()
    }
    joined = [m for group in made.values() for m in group.members[:-1]]
    assert any(program.state(member.name) for member in joined)
    assert all(set(program.state(member.name)) <= {"remainder"} for member in joined)
