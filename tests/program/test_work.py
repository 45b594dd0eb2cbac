"""What nodes compute, by rule: the kernels count the same, no type of node is left out, and limits of Lava runs rest on it."""

import nir
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecmt_deploy.conversion.converter import with_ranges
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.kernels import Site, kernels
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.program.ops import ShapeError
from ecmt_deploy.program.ops.convolution import ConvKernel
from ecmt_deploy.program.verification import infer
from ecmt_deploy.quantization import quantize
from ecmt_deploy.targets.lava.groups import groups
from ecmt_deploy.targets.lava.resources import memory, patience
from ecmt_deploy.testing import integer_program
from ecmt_deploy.testing.handmade import cell, every_node, program
from ecmt_deploy.testing.tokens import integer_named_inputs, named_inputs

FLOAT = np.dtype(np.float64)
MADE = {f"every node, {coding}": every_node(coding) for coding in ops.CODINGS}
MADE |= {f"named inputs, {coding}": named_inputs(coding) for coding in ops.CODINGS}
MADE |= {f"integer named inputs, {coding}": integer_named_inputs(coding) for coding in ops.CODINGS}
MADE |= {f"integer program {seed}": integer_program(seed)[0] for seed in range(40)}


def test_the_programs_hold_every_type_of_node():
    nodes = [node for made in MADE.values() for node in made.nodes.values()]
    assert {node.kind for node in nodes} == set(ops.OPS)
    assert {node.kind for node in nodes if node.format} == {name for name, op in ops.OPS.items() if op.format_type}


@pytest.mark.parametrize("name", MADE)
def test_kernels_count_what_the_rules_say(name):
    for node, kernel in kernels(MADE[name], FLOAT).items():
        said = MADE[name].work(node)
        assert said.dense_macs == getattr(kernel, "dense_macs", 0), node
        assert said.kind == kernel.ecm_kind, node
        if fan_out := getattr(kernel, "fan_out", None):
            assert said.fan_out == tuple(zip(fan_out, fan_out, strict=True)), node


@given(st.data())
@settings(max_examples=60)
def test_taps_of_a_convolution(data):
    """Padding is no tap, and no spike reaches more windows than is said."""
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    groups_, size = draw(1, 2), (draw(2, 8), draw(2, 8))
    node = ops.Conv2d(
        size, np.ones((2 * groups_, 1, draw(1, 4), draw(1, 4))), (draw(1, 4), draw(1, 4)), (draw(0, 3), draw(0, 3)),
        (draw(1, 3), draw(1, 3)), groups_, np.zeros(2 * groups_),
    )  # fmt: skip
    x = (groups_, *size)
    try:
        shape = infer(node, [x])
    except ShapeError:
        assume(False)
    said, kernel = node.work(shape, x), ConvKernel(node, Site((x,), shape, (True,), False), FLOAT)
    assert said.dense_macs == kernel.dense_macs
    one = np.zeros((x[1] * x[2], *x), bool)
    one[:, 0] = np.eye(x[1] * x[2], dtype=bool).reshape(-1, *size)
    assert max(kernel.accesses(mask) for mask in one) <= said.fan_out[0][1]


# --- limits of Lava runs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MADE)
def test_memory_and_patience_leave_no_node_out(name):
    made = MADE[name]
    network = groups(made)
    needed = memory(made, network.values(), FLOAT)
    for group in network.values():
        for member in group.members:
            held = 8 * sum(array.size for array in parameters(member.node))
            without = [g for g in network.values() if g is not group]
            assert needed - memory(made, without, FLOAT) >= held, member.name
            assert patience(made, 0.0) >= made.work(member.name).dense_macs / 5e6, member.name


def large_convolutions() -> Program:
    """Most of the work is a convolution, so that a limit without it is far off."""
    r = np.random.default_rng(0)
    return program(
        {
            "input": nir.Input(input_type={"input": np.array([2, 12, 12])}),
            "encode": nir.Conv2d((12, 12), r.normal(size=(8, 2, 3, 3)), (1, 1), (1, 1), (1, 1), 1, np.zeros(8)),
            "neuron": cell(),
            "conv": nir.Conv2d((12, 12), r.normal(size=(64, 4, 5, 5)), (1, 1), (2, 2), (1, 1), 2, np.zeros(64)),
            "mean": ops.Mean(np.array([1, 2]), False),
            "readout": ops.Readout("differential"),
            "output": nir.Output(output_type={"output": np.array([64])}),
        },
        [("input", "encode"), ("encode", "neuron"), ("neuron", "conv"), ("conv", "mean"), ("mean", "readout"),
         ("readout", "output")],
    )  # fmt: skip


def test_an_integer_program_has_the_limits_of_its_float_program():
    floating = with_ranges(SpikingModel(large_convolutions()), [torch.full((1, 2, 12, 12), 0.5)]).program
    integer = quantize(floating)
    assert integer.nodes["conv"].format
    assert patience(integer, 0.0) == patience(floating, 0.0) >= floating.work("conv").dense_macs / 5e6
    needed = [memory(made, groups(made).values(), FLOAT) for made in (floating, integer)]
    assert needed[1] >= needed[0]
