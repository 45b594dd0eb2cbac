"""The batched engine: the same run in pieces of any size, one neuron alone, what observers see."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import nir
import numpy as np
import pytest
import torch

from ecmt_deploy.config import Execution
from ecmt_deploy.engine import SpikingModel, synapses
from ecmt_deploy.engine.functions import IN_PLACE, TORCH
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.kernels import kernels
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.graph import named_parameters, parameters
from ecmt_deploy.testing import case
from ecmt_deploy.testing.handmade import cell, images
from ecmt_deploy.testing.handmade import program as handmade

STEPS = 5


@pytest.mark.parametrize(("samples", "steps"), [(6, 2), (3, 5), (1, 5), (1, 3), (1, 1)])
def test_pieces_of_time_and_batch_add_up_to_the_whole(program, samples, steps):
    """State passes from piece to piece, and every count is taken once."""
    model, x = SpikingModel(program).double(), torch.from_numpy(images(6)).double()
    whole, counts = model.count(x, STEPS, samples=5)
    model.pieces = lambda batch, timesteps: (samples, steps)
    outputs, pieces = model.count(x, STEPS, samples=5)
    assert pieces.differences(counts) == []
    np.testing.assert_allclose(outputs.numpy(), whole.numpy(), rtol=0, atol=1e-12 * float(whole.abs().max()))


def test_the_plan_fits_the_memory_and_divides_the_batch(program):
    model = SpikingModel(program)
    assert model.pieces(12, STEPS) == (12, STEPS)
    one = model.step_bytes
    for room in range(1, 12 * STEPS):
        model.memory_bytes = room * one
        samples, steps = model.pieces(12, STEPS)
        assert samples * steps <= room
        assert 12 % samples == 0
        assert steps == STEPS or samples == 1
    model.memory_bytes = 1  # not even one fits: it is what can be done
    assert model.pieces(12, STEPS) == (1, 1)


def test_one_neuron_alone_is_that_of_the_reference(program):
    """With all others as identity, whatever takes its spikes; what it has not sent is its membrane."""
    x = images(2).astype(np.float64)
    model = SpikingModel(program).double()
    for name in program.neurons:
        readout, unsent = model.alone(name, torch.from_numpy(x), STEPS)
        for i, image in enumerate(x):
            running = kernels(program, np.dtype(np.float64), identity_neurons=True)
            running[name] = kernels(program, np.dtype(np.float64))[name]
            running["input"].present(image)
            for t in range(1, STEPS + 1):
                streams: dict = {}
                for node, one in running.items():
                    streams[node] = one.step(t, *(streams[source] for source in program.operands[node]))
            np.testing.assert_allclose(readout[i].numpy(), streams["readout"].value, rtol=1e-9, atol=1e-9, err_msg=name)
            np.testing.assert_allclose(unsent[i].numpy(), running[name].v, rtol=1e-9, atol=1e-9, err_msg=name)


def test_no_samples_are_no_readouts(program):
    model = SpikingModel(program)
    outputs, counts = model.count(torch.zeros(0, *program.input_shape), STEPS)
    assert outputs.shape == (STEPS, 0, *program.output_shape)
    assert counts.n_samples == 0


def one_layer(neuron: ops.Op) -> Program:
    """A program with one shape of neuron, as a kernel of each takes seconds to make."""
    nodes = {
        "input": nir.Input(input_type={"input": np.array([2, 4, 4])}),
        "neuron": neuron,
        "linear": ops.LastAxisLinear(np.random.default_rng(0).normal(size=(4, 4))),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([2, 4, 4])}),
    }
    return handmade(nodes, list(pairwise(nodes)))


LAYERS = {
    "one layer": cell((4,)),
    "one graded layer": ops.Graded(
        np.array([0.3, 0.1, 0.7, 0.2]), 4, np.array([[1], [3], [2], [8]], np.int16), np.array([0.1, 0.0, 0.2, -0.3])
    ),
}


@pytest.mark.parametrize(
    "name",
    [*LAYERS, *(pytest.param(f"transformer, {preset}", marks=pytest.mark.slow) for preset in ("accurate", "paper", "graded"))],
)
def test_fused_kernels_compute_the_same(name):
    """In float64 every count is equal; C++ is needed to make kernels, and its absence is an error of one line."""
    program = one_layer(LAYERS[name]) if name in LAYERS else case(name).program
    model, x = SpikingModel(program).double(), torch.from_numpy(images(4)).double()
    outputs, counts = model.count(x, 2)
    model.use(Execution(compiled=True))
    fused, fused_counts = model.count(x, 2)
    assert fused_counts.differences(counts) == []
    np.testing.assert_allclose(fused.numpy(), outputs.numpy(), rtol=0, atol=1e-12 * float(outputs.abs().max()))


@pytest.mark.parametrize("preset", ["accurate", "graded"])
def test_rows_that_cannot_fire_need_no_product(preset, all_programs, monkeypatch):
    """Rows whose neurons have nothing to fire are left out of linear nodes, and nothing changes."""
    program = all_programs[f"transformer, {preset}"]
    smallest, silence = {
        "accurate": ("lowest_level", lambda neuron: neuron.levels),
        "graded": ("least", lambda neuron: 2 ** (neuron.payload_bits - 1)),
    }[preset]
    nodes = dict(program.nodes)
    for name, node in program.nodes.items():
        (source, *_) = program.operands[name] or ("",)
        neuron = program.nodes.get(source)
        if isinstance(node, ops.LastAxisLinear) and hasattr(neuron, smallest) and len(program.shapes[source]) > 1:
            values = np.broadcast_to(getattr(neuron, smallest), program.shapes[source]).copy()
            values[1:] = silence(neuron)
            nodes[source] = replace(neuron, **{smallest: values})
    program = replace(program, nodes=nodes)
    x = torch.from_numpy(images(4)).double()
    monkeypatch.setattr(synapses, "FIRING_ROWS", -1.0)
    outputs, counts = SpikingModel(program).double().count(x, STEPS)
    monkeypatch.setattr(synapses, "FIRING_ROWS", 0.99)
    model = SpikingModel(program).double()
    skipping, skipping_counts = model.count(x, STEPS)
    assert any(model.plan[name].firing_rows is not None for name in program.nodes)
    assert skipping_counts.differences(counts) == []
    np.testing.assert_allclose(skipping.numpy(), outputs.numpy(), rtol=0, atol=1e-12 * float(outputs.abs().max()))
    np.testing.assert_array_equal(model.analog(x).numpy(), SpikingModel(program).double().analog(x).numpy())


@pytest.mark.parametrize("function", sorted(IN_PLACE))
def test_functions_in_place_are_the_same(function):
    x = torch.linspace(-8, 8, 1001)
    expected = TORCH[function]({}, x)
    assert torch.equal(IN_PLACE[function]({}, x), expected)
    assert torch.equal(x, expected)


def test_kernels_without_a_compiler(program, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match="need a C\\+\\+ compiler, and g\\+\\+ is not on the PATH; install one"):
        SpikingModel(program).use(Execution(compiled=True))


def test_running_leaves_the_program_as_it_is(program):
    """Nodes write into memory that nobody needs any more, and never into the program's or the caller's."""
    before = [array.copy() for node in program.nodes.values() for array in parameters(node)]
    x = torch.from_numpy(images(3))
    kept = x.clone()
    model = SpikingModel(program)
    first, _ = model.count(x, STEPS)
    again, _ = model.count(x, STEPS)
    assert torch.equal(first, again)
    assert torch.equal(x, kept)
    after = [array for node in program.nodes.values() for array in parameters(node)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_bfloat16_where_the_levels_allow(all_programs):
    """Eight binary digits tell eight levels apart: the readout stays near that of float32; more levels are refused."""
    model, x = SpikingModel(all_programs["transformer, paper"]), torch.from_numpy(images(8))
    exact = model(x, STEPS)
    model.use(Execution(dtype="bfloat16"))
    narrow = model(x, STEPS)
    assert narrow.dtype == torch.bfloat16
    error = (narrow.float() - exact)[-1].norm() / exact[-1].norm()
    assert 0 < error < 0.2
    with pytest.raises(ConfigError, match="bfloat16 tells 8 levels apart, and .* use --dtype float32"):
        SpikingModel(all_programs["transformer, accurate"]).use(Execution(dtype="bfloat16"))
    with pytest.raises(ConfigError, match="bfloat16 holds payloads of 8 bits, and .* convert with --payload-bits 8"):
        SpikingModel(case("transformer, graded").program).use(Execution(dtype="bfloat16"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_payloads_in_narrow_floats_are_the_nearest(dtype):
    """The reciprocal of a base has more digits than such floats hold: a payload of many bases would be another."""
    seen: dict[str, torch.Tensor] = {}
    for base in torch.linspace(0.5, 1, 128, dtype=torch.float64).to(dtype).reshape(32, 4):
        model = SpikingModel(one_layer(ops.Graded(base.double().numpy(), 8))).to(dtype)
        x = (torch.arange(-127, 128)[:, None] * base.float()).to(dtype)
        model.watch(x[:, None, None].expand(-1, 2, 4, 4), 1, lambda name, value: seen.update({name: value.double()}))
        payloads = (seen["neuron"][:, 0, 0] / base.double()).round()
        assert torch.equal(payloads, (x.double() / base.double()).round().clamp(-127, 127))


KINDS_OF_RUN = {
    "count": lambda model, x: model.count(x, STEPS)[1],
    "forward": lambda model, x: model(x, STEPS).tolist(),
    "analog": lambda model, x: model.analog(x).tolist(),
    "alone": lambda model, x: [part.tolist() for part in model.alone(model.program.neurons[1], x, 3)],
    "in pieces": lambda model, x: model.count(x[:1], STEPS)[1],
}


@pytest.mark.parametrize("name", ["every node, rate", "transformer, accurate"])
def test_one_model_serves_many_threads(all_programs, name):
    """Runs of every kind at once come to what each comes to alone: nothing that changes lies on the model."""
    model = SpikingModel(all_programs[name])
    batches = [torch.from_numpy(images(24, seed=seed)) for seed in range(2)]
    asked = [(kind, batch) for kind in KINDS_OF_RUN for batch in batches] * 3
    alone = [KINDS_OF_RUN[kind](model, batch) for kind, batch in asked]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: KINDS_OF_RUN[one[0]](model, one[1]), asked))
    assert together == alone


def test_running_changes_nothing_on_the_model(program):
    """The rule behind it: no attribute of a model or of its ops is another after a run."""
    model, x = SpikingModel(program), torch.from_numpy(images(3))

    def attributes():
        return {name: {key: id(value) for key, value in vars(module).items()} for name, module in model.named_modules()}

    before = attributes()
    for kind in KINDS_OF_RUN.values():
        kind(model, x)
    assert attributes() == before


def test_the_state_dict_holds_the_parameters(program):
    """As every module's: by name, in the dtype and place of the model; and only the program's own go back in."""
    model = SpikingModel(program)
    state = model.state_dict()
    held = {f"{name}.{field}" for name, node in program.nodes.items() for field in named_parameters(node)}
    assert set(state) == held
    weight = next(key for key in state if key.endswith("weight"))
    node = program.nodes[weight.rpartition(".")[0]]
    source = node.weight if hasattr(node, "weight") else node.parameters["weight"]
    np.testing.assert_array_equal(state[weight].numpy(), source)
    assert SpikingModel(program).double().state_dict()[weight].dtype == torch.float64
    model.load_state_dict(state)
    within = torch.nn.Sequential(model)
    within.load_state_dict(within.state_dict())
    with pytest.raises(RuntimeError, match="another program; convert the model anew"):
        model.load_state_dict({**state, weight: state[weight] + 1})
    with pytest.raises(RuntimeError, match=f"Missing key.*{weight}"):
        model.load_state_dict({key: value for key, value in state.items() if key != weight})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        model.load_state_dict({**state, "more": state[weight]})


def test_compile_is_torchs_own():
    assert SpikingModel.compile is torch.nn.Module.compile


@pytest.mark.parametrize("wrong", [{"dtype": "float8"}, {"memory_bytes": 0}])
def test_executions_that_make_no_sense(wrong):
    with pytest.raises(ConfigError):
        Execution(**wrong)


def test_the_analog_program_keeps_to_the_memory_too(program):
    model, x = SpikingModel(program).double(), torch.from_numpy(images(6)).double()
    whole = model.analog(x)
    asked = []
    plan = model.pieces
    model.pieces = lambda batch, timesteps: asked.append((batch, timesteps)) or plan(batch, timesteps)
    model.memory_bytes = 1  # sample by sample
    np.testing.assert_allclose(model.analog(x).numpy(), whole.numpy(), rtol=0, atol=1e-12 * float(whole.abs().max()))
    assert asked == [(6, 1)]
