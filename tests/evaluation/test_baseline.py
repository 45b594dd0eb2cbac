"""Plain quantisation of the network that a program came from, whatever the program expects and however it is divided."""

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecmt_deploy import evaluate, load, models
from ecmt_deploy.config import find_preset
from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.baseline import answer, fewest_bits, largest_channels, largest_operands, least_error, quantised
from ecmt_deploy.evaluation.samples import evaluation_data
from ecmt_deploy.evaluation.score import Evaluation
from ecmt_deploy.program import ops
from ecmt_deploy.report import tables
from ecmt_deploy.testing.handmade import PROVENANCE
from tests.support.trained import program_file


@pytest.fixture(scope="module", params=["accurate", "paper"])
def program(request, tmp_path_factory):
    path = Path(shutil.copy(program_file(request.param, 32, timesteps=2), tmp_path_factory.mktemp("programs") / "p.nir"))
    return path, load(path)


#: what does not look into the program is the same for every preset
of_any_preset = pytest.mark.parametrize("program", ["accurate", pytest.param("paper", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """The same model in another basis, in a file and in memory."""
    path = Path(shutil.copy(program_file("graded", 32, budget=0.3), tmp_path_factory.mktemp("turned") / "g.nir"))
    return path, load(path)


@pytest.fixture(scope="module")
def captured():
    """The model that the programs came from."""
    x = torch.zeros(1, 1, 8, 8)
    return capture(called(models.load("zoo:vit_digits").module, x), x)


@pytest.fixture
def samples(program) -> torch.Tensor:
    return torch.from_numpy(evaluation_data(program[1].program, "digits", 96).arrays()[0])


@pytest.mark.parametrize("bits", [3, 6])
def test_is_a_program_of_graded_neurons_that_expect_nothing(program, samples, captured, bits):
    """Whatever the program's neurons expect: the network quantised is the analog program with one graded event per value."""
    _, model = program
    preset = find_preset(model.program.provenance.config["preset"])
    lowered = lower(captured, preset.coding, samples.dtype, PROVENANCE, preset.analog_readout_layer).program
    clips = largest_operands(model.program)
    plain = with_nodes(lowered, {
        name: ops.Graded(np.float32(clips[name] / (2 ** (bits - 1) - 1)), bits) for name in lowered.neurons
    })  # fmt: skip
    expected, found = SpikingModel(plain)(samples, 1)[-1], answer(model, samples, clips, bits)
    apart, error = ((found - other).norm(dim=-1) for other in (expected, model.analog(samples)))
    assert float(apart.median()) < 0.01 * float(error.median())
    assert (apart < 0.5 * error).float().mean() > 0.9  # a value on a tie may go the other way


@of_any_preset
def test_a_program_in_another_basis_needs_one_in_its_own(program, turned):
    """What it takes is the other program's network: the same one, quantised in the basis that it has."""
    (path, model), (file, turned) = program, turned
    with pytest.raises(ConfigError, match="basis of its principal components.*--network FILE"):
        evaluate(file, "digits", limit=64, quantized_baseline=True)
    x, y = evaluation_data(model.program, "digits", 64).arrays()
    found = evaluate(file, "digits", limit=64, quantized_baseline=True, network=path)
    assert evaluate(turned, (x, y), quantized_baseline=True, network=model).quantized.bits == found.quantized.bits
    assert found.quantized.bits <= 8
    with pytest.raises(ConfigError, match="--network FILE is for an integer program.*--quantized-baseline"):
        evaluate(turned, (x, y), network=model)
    assert evaluate(file, "digits", limit=64, quantized_baseline=True, network=model).quantized == found.quantized
    other = SpikingModel(replace(model.program, provenance=msgspec.structs.replace(
        model.program.provenance, weights_sha256="0" * 64)))  # fmt: skip
    with pytest.raises(ConfigError, match="other weights"):
        evaluate(turned, (x, y), quantized_baseline=True, network=other)


def test_without_rounding_it_is_the_analog_network(program, samples):
    _, model = program
    seen = set()

    def passing(name, operand):
        seen.add(name)
        return operand.clone()

    torch.testing.assert_close(model.analog(samples, passing=passing), model.analog(samples))
    assert seen == set(model.program.neurons)


@of_any_preset
def test_from_file_and_in_memory_with_as_few_bits_as_it_takes(program, tmp_path):
    path, model = program
    out = tmp_path / "eval.json"
    result = evaluate(path, "digits", limit=96, quantized_baseline=True, out=out)
    assert msgspec.json.decode(out.read_bytes(), type=Evaluation) == result
    x, y = evaluation_data(model.program, "digits", 96).arrays()
    assert evaluate(model, iter([(x, y)]), quantized_baseline=True).quantized == result.quantized
    assert msgspec.structs.replace(result, quantized=None) == evaluate(path, "digits", limit=96)
    found = result.quantized
    *fewer, last = found.agreement.items()
    assert last[0] == found.bits == len(found.agreement) + 1
    assert last[1] >= result.agreement[-1] > max([share for _, share in fewer], default=-1)
    assert f"from {found.bits} bits on" in tables.quantized(result)
    assert f"--ann-bits {found.bits}" in tables.quantized(result)


@of_any_preset
def test_processes_add_up(program, samples):
    """Each counts its own batches; all together decide when it is enough."""
    _, model = program
    batches = samples.split(32)
    agreeing = 92
    whole = fewest_bits(model, lambda: batches, samples[:32], agreeing, 96)
    largest = largest_operands(model.program)
    asked = iter(range(2, 17))

    def gather(mine):
        bits = next(asked)
        ways = [largest, least_error(model, samples[:32], largest, bits), largest_channels(model, samples[:32], largest)]
        theirs = [
            sum(int((answer(model, x, w, bits).argmax(1) == model.analog(x).argmax(1)).sum()) for x in batches[1:])
            for w in ways
        ]
        return [mine, theirs]

    assert fewest_bits(model, lambda: batches[:1], samples[:32], agreeing, 96, gather) == whole


@of_any_preset
def test_where_no_width_is_enough(program, samples):
    _, model = program
    found = fewest_bits(model, lambda: [samples], samples[:8], len(samples) + 1, len(samples))
    assert found.bits is None
    assert list(found.agreement) == list(range(2, 17))
    assert found.agreement[16] > 0.97


@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=40), st.floats(0.1, 8), st.integers(2, 16))
def test_rounding(values, clip, bits):
    x = torch.tensor(values, dtype=torch.float64)
    q = quantised(x, clip, bits)
    most = 2 ** (bits - 1) - 1
    inside = x.abs() <= clip
    assert ((q - x).abs()[inside] <= clip / most / 2 * (1 + 1e-9)).all()
    assert (q.abs() <= clip * (1 + 1e-9)).all()
    assert len(q.unique()) <= 2 * most + 1


@of_any_preset
def test_what_cannot_be_measured(program, tmp_path):
    path, model = program
    with pytest.raises(ConfigError, match="leave it out with --shard"):
        evaluate(path, "digits", shard="1/2", checkpoint=tmp_path, quantized_baseline=True)
    bare = msgspec.structs.replace(model.program.provenance, ranges=None)
    with pytest.raises(ConfigError, match=r"convert the model anew"):
        evaluate(replace(model.program, provenance=bare), "digits", limit=4, quantized_baseline=True)
