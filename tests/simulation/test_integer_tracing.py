"""``trace`` of integer programs: errors against the network, and the node that adds the most by itself is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecmt_deploy import data, quantize, trace
from ecmt_deploy.conversion.converter import with_ranges
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program import Program, read
from ecmt_deploy.report import tables
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.tracing import as_numbers
from ecmt_deploy.testing import case
from ecmt_deploy.testing.handmade import images
from tests.support.trained import program_file

PLANTED, OUTLIER = "blocks.1.mlp.fc1", 100


@pytest.fixture(scope="module")
def digits() -> Program:
    """The bundled model as a float program."""
    return read(program_file("accurate"))


@pytest.fixture(scope="module")
def samples(digits) -> torch.Tensor:
    chosen = data.evaluation("digits", preprocessing=digits.provenance.preprocessing, n_classes=10, limit=8)
    return torch.from_numpy(chosen.arrays()[0])


def planted(program: Program, samples: torch.Tensor) -> Program:
    """The same mathematics with one channel before a layer so much smaller, and its weights so much larger, that few bits leave
    nothing of all other weights."""
    before, neuron, node = (program.nodes[name] for name in ("blocks.1.norm2", f"{PLANTED}.neuron", PLANTED))
    shape = (*before.parameters["weight"].shape,)
    factor = np.ones(shape, np.float32)
    factor[3] = OUTLIER
    norm = {**before.parameters, **{key: before.parameters[key] / factor for key in ("weight", "bias")}}
    nodes = {
        **program.nodes,
        "blocks.1.norm2": replace(before, parameters=norm),
        f"{PLANTED}.neuron": replace(neuron, initial_membrane=neuron.initial_membrane / factor),
        PLANTED: replace(node, weight=node.weight * factor),
    }
    return with_ranges(SpikingModel(replace(program, nodes=nodes)), [samples]).program


def test_a_planted_layer_is_named_first(digits, samples):
    """An outlier channel at 4 bits: its layer adds the largest error, and no error of others is put down to it."""
    bad = planted(digits, samples)
    found = trace(quantize(bad, weight_bits=4), samples, precision="fixed", network=bad)
    first, second, *_ = found.breaking
    assert first.node == PLANTED
    assert first.own_error > 1.5 * second.own_error
    assert tables.breaks(found).startswith(f"largest errors that nodes add by themselves, given their operands: {PLANTED} (")
    wide = {node.node: node.own_error for node in trace(bad, samples, precision="fixed").nodes}
    assert wide[PLANTED] < first.own_error / 4, "8 bits are finer"


@pytest.mark.parametrize("preset", ["paper", "accurate", "graded, 4 steps"])
def test_errors_are_against_the_network_and_small_at_full_width(preset):
    program, x = case(f"transformer, {preset}").program, torch.from_numpy(images(4))
    integers, floats = trace(program, x, precision="fixed"), trace(program, x)
    assert [node.node for node in integers.nodes] == [node.node for node in floats.nodes]
    made = quantize(program)
    run = simulate(made, x, "reference", precision="fixed")
    analog = SpikingModel(program).analog(x).numpy()
    off = np.sqrt(((run.outputs - analog) ** 2).sum(axis=(1, 2)) / (analog**2).sum())
    readout = next(node for node in integers.nodes if node.node == "readout")
    np.testing.assert_allclose(readout.relative_error, off, rtol=1e-5)
    own = {node.node: node.own_error for node in integers.nodes}
    assert max(value for value in own.values() if value is not None) < 0.05
    assert all(own[name] is None for name in program.neurons)
    assert all(node.own_error is None for node in floats.nodes)
    for mine, other in zip(integers.nodes, floats.nodes, strict=True):
        assert mine.spike_rate == pytest.approx(other.spike_rate, abs=0.1)


def test_streams_as_numbers():
    program = case("integer transformer, accurate").program
    name = program.neurons[0]
    node = program.nodes[name]
    payload = torch.full(program.shapes[name], 2.0)
    expected = 2 * np.broadcast_to(node.unit, payload.shape) * 2.0 ** int(node.format.exponent)
    np.testing.assert_array_equal(as_numbers(program, name, payload).numpy(), expected)


def test_an_integer_program_needs_its_network():
    program = case("integer transformer, accurate").program
    with pytest.raises(ConfigError, match="run it with --precision fixed"):
        trace(program, images(1))
    with pytest.raises(ConfigError, match="--network FILE"):
        trace(program, images(1), precision="fixed")
