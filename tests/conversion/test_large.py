"""Programs as large as memory allows: one copy of the weights, and no other; percentiles without the activations."""

import subprocess
import sys
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ecmt_deploy.engine.model
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.calibration.tools.percentiles import Tails
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.program import Program, ops, read, write
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.testing.handmade import images, program
from ecmt_deploy.testing.transformer import TinyTransformer

#: resident memory of a process now, and the most since it was last asked (bytes)
PEAK = """
def peak():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024
"""
LOADS = """
import sys, torch
from ecmt_deploy import load
torch.nn.functional.linear(torch.ones(64, 64), torch.ones(64, 64))
before, _ = peak()
model = load(sys.argv[1])
model(torch.ones(1, 1000), 2)
print(peak()[1] - before)
"""
CONVERTS = """
import sys, torch
from torch import nn
from ecmt_deploy import ConvertConfig, convert
x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
convert(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval(), x, ConvertConfig(preset=sys.argv[1]))
layers = [layer for _ in range(40) for layer in (nn.Linear(1000, 1000), nn.ReLU())]
model = nn.Sequential(nn.Linear(4, 1000), *layers).eval()
before, _ = peak()
convert(model, x, ConvertConfig(preset=sys.argv[1], budget=5.0 if sys.argv[1] == "accurate" else None))
print(peak()[1] - before)
"""
WEIGHTS = 40 * 1000 * 1000 * 4

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel tells peaks on Linux only")


def added(code: str, *arguments: str) -> int:
    """Bytes that a piece of code adds to a process, at its peak."""
    done = subprocess.run([sys.executable, "-c", PEAK + code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def chain(layers: int, width: int) -> Program:
    """Linear layers with neurons between, random float32 weights."""
    r = np.random.default_rng(0)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(input_type={"input": np.array([width])})}
    edges, last = [], "input"
    for i in range(layers):
        weight = r.standard_normal((width, width), np.float32) / np.float32(width**0.5)
        base = np.float32(0.1).reshape(())
        for name, node in (
            (f"{i}.neuron", ops.MultiThreshold(base, base, 6, "nearest", 0.74)),
            (str(i), nir.Linear(weight)),
        ):
            nodes[name] = node
            edges.append((last, name))
            last = name
    nodes |= {"readout": ops.Readout("differential"), "output": nir.Output(output_type={"output": np.array([width])})}
    return program(nodes, [*edges, (last, "readout"), ("readout", "output")])


@linux
def test_a_loaded_program_is_in_memory_once(tmp_path):
    write(chain(40, 1000), tmp_path / "p.nir")
    size = (tmp_path / "p.nir").stat().st_size
    assert size > WEIGHTS
    assert size < added(LOADS, str(tmp_path / "p.nir")) < 1.3 * size


@linux
@pytest.mark.parametrize("preset", ["paper", pytest.param("accurate", marks=pytest.mark.slow)])
def test_a_conversion_holds_one_copy_of_the_weights(preset):
    assert WEIGHTS < added(CONVERTS, preset) < 1.5 * WEIGHTS


@settings(max_examples=200)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]), share=st.sampled_from([0.99, 0.999, 0.9, 0.51]))
def test_tails_give_the_percentiles_of_the_whole(data, dtype, share):
    """Against the published rule on the values in order, for few values and ties as well."""
    count = data.draw(st.integers(1, 2000))
    r = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    values = r.standard_cauchy(count).round(data.draw(st.integers(0, 6))).astype(dtype)  # few digits: ties
    tails = Tails(count, share)
    for part in np.split(values, sorted(data.draw(st.lists(st.integers(0, count), max_size=6)))):
        tails.see(torch.from_numpy(part.copy()))
    ordered = np.sort(values)
    kth = [max(int(part * count), 1) for part in (1 - share, share)]
    assert tails.percentiles() == tuple(float(ordered[k - 1]) for k in kth)
    if count >= 1 / (1 - share):  # torch's own words for it
        assert tails.percentiles() == tuple(torch.from_numpy(values).kthvalue(k).values.item() for k in kth)


def test_tails_of_values_that_are_missing_are_refused():
    tails = Tails(10, 0.99)
    tails.see(torch.ones(9))
    with pytest.raises(ValueError, match="9 values were seen, expected 10"):
        tails.percentiles()


def test_a_batch_that_does_not_fit_has_the_percentiles_of_the_whole(monkeypatch):
    x, config = torch.from_numpy(images(16, seed=1)).double(), ConvertConfig(preset="paper")
    whole = convert(TinyTransformer(outlier=3.0).double(), x, config).program
    monkeypatch.setattr(ecmt_deploy.engine.model, "MEMORY_BYTES", 1)
    parts = convert(TinyTransformer(outlier=3.0).double(), x, config)
    assert parts.pieces(16, 1) == (1, 1)
    for name in whole.neurons:
        for mine, theirs in zip(parameters(whole.nodes[name]), parameters(parts.program.nodes[name]), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)


class Overflows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(32, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        nn.init.constant_(self.first.weight, 1.0)

    def forward(self, x):
        return self.third(torch.tanh(self.second(torch.exp(self.first(x.flatten(1))))))


def test_infinity_at_a_neuron_is_refused_by_name():
    x = torch.from_numpy(images(6, seed=1))
    x[4] = 1e3
    with pytest.raises(ConversionError, match=r"neuron second\.neuron: inf reaches it"):
        convert(Overflows().eval(), x, ConvertConfig(preset="paper"))


def contents(program: Program) -> list[bytes]:
    return [array.tobytes() for node in program.nodes.values() for array in parameters(node)]


@pytest.mark.parametrize("preset", ["paper", "accurate"])
def test_a_program_stays_what_it_is_when_the_model_is_trained(preset):
    model = TinyTransformer()
    spiking = convert(model, torch.from_numpy(images(16, seed=1)), ConvertConfig(preset=preset))
    before, outputs = contents(spiking.program), spiking(torch.from_numpy(images(2)), 3)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(7.0)
    assert contents(spiking.program) == before
    assert torch.equal(spiking(torch.from_numpy(images(2)), 3), outputs)


def test_nothing_that_runs_writes_to_the_program(program: Program):
    before, model = contents(program), SpikingModel(program)
    x = torch.from_numpy(images(3))
    model(x, 3)
    model.analog(x)
    model.count(x, 3)
    model.alone(program.neurons[0], x, 2)
    model.backward(x, torch.Generator())
    for buffer in model.bfloat16().buffers():
        if buffer.is_floating_point():  # those of another dtype are the model's own
            buffer.zero_()
    assert contents(program) == before


def test_files_of_other_writers_are_read_alike(all_programs, tmp_path):
    """Big-endian, compressed, strings of fixed length: what HDF5 allows, and means the same."""
    made, path = all_programs["every node, differential"], tmp_path / "p.nir"
    write(made, path)
    with h5py.File(path, "r+") as file:
        entry = file["node/nodes/qk"]
        weight = entry["weight"][()]
        del entry["weight"], entry["type"]
        entry.create_dataset("weight", data=weight.astype(">f8"), compression="gzip", shuffle=True, chunks=True)
        entry["type"] = np.bytes_("LastAxisLinear")
    back = read(path).nodes["qk"].weight
    assert back.dtype == np.dtype("=f8")
    np.testing.assert_array_equal(back, made.nodes["qk"].weight)
