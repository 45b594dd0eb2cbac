"""The verb ``trace``: errors are those of the streams, the readout's is the program's, and files are strict."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, DataError, RunError
from ecmt_deploy.kernels import kernels
from ecmt_deploy.program import ops
from ecmt_deploy.simulation.traces import Trace, load_trace
from ecmt_deploy.simulation.tracing import needed_rows, trace
from ecmt_deploy.testing.handmade import images

STEPS = 4


def test_the_readout_and_the_neurons_against_the_reference_kernels(program):
    """Recomputed with the NumPy kernels, sample by sample, in float64."""
    x = images(5).astype(np.float64)
    measured = {node.node: node for node in trace(SpikingModel(program).double(), torch.from_numpy(x), STEPS).nodes}
    needed = needed_rows(SpikingModel(program).double(), [torch.from_numpy(x)], measured)
    squared = {name: np.zeros((len(x), STEPS)) for name in measured}
    squares = {name: np.zeros((len(x), 1)) for name in measured}
    fired = {name: np.zeros(STEPS) for name in program.neurons}
    for i, image in enumerate(x):
        analog = run(program, image, 1, identity=True)[0]
        steps = run(program, image, STEPS)
        for name in measured:
            so_far = np.zeros(program.shapes[name])
            finite = np.isfinite(analog[name]) & needed[name].numpy()
            initial = getattr(program.nodes[name], "initial_membrane", 0.0)
            squares[name][i] = ((analog[name] - initial)[finite] ** 2).sum()
            for t in range(STEPS):
                so_far = so_far + steps[t][name]
                value = so_far / (t + 1) if program.coding == "rate" and name != "patch" and name != "encode" else so_far
                if isinstance(program.nodes[name], ops.Readout):
                    value = steps[t][name]
                squared[name][i, t] = ((value - analog[name])[finite] ** 2).sum()
                if name in fired:
                    fired[name][t] += np.count_nonzero(steps[t][name])
    assert "readout" in measured
    for name, node in measured.items():
        if name.startswith(("patch", "encode")):
            continue  # before the encoding is held
        whole = np.sqrt(squared[name].sum(0) / squares[name].sum())
        np.testing.assert_allclose(node.relative_error, whole, rtol=1e-6, atol=1e-9)
        worst = np.sqrt(squared[name] / squares[name]).max(0)
        np.testing.assert_allclose(node.worst, worst, rtol=1e-6, atol=1e-9)
        assert node.percentile_95 == node.worst  # of five samples
        if name in fired:
            size = len(x) * np.prod(program.shapes[name])
            np.testing.assert_allclose(node.spike_rate, fired[name] / size)
        else:
            assert node.spike_rate == node.saturation == ()


def test_only_rows_that_the_readout_depends_on_count(all_programs):
    """Behind the attention of a class-token model nothing but the class token matters, before it every token does."""
    program = all_programs["transformer, accurate"]
    model, x = SpikingModel(program), torch.from_numpy(images(8))
    rows = needed_rows(SpikingModel(program).double(), [x], program.nodes)
    assert rows["qkv.neuron"].all()
    for name in ("proj.neuron", "fc1.neuron", "act", "norm"):
        assert rows[name][0]
        assert not rows[name][1:].any()
    measured = {node.node: node.relative_error[-1] for node in trace(model, x, 8).nodes}
    assert max(measured.values()) < 0.7, "tokens that are silent by right are no error"


def run(program, image, steps, identity=False):
    """Streams of every node at every step."""
    running = kernels(program, np.dtype(np.float64), identity_neurons=identity)
    running["input"].present(image)
    outputs = []
    for t in range(1, steps + 1):
        streams: dict = {}
        for name, one in running.items():
            streams[name] = one.step(t, *(streams[source] for source in program.operands[name]))
        outputs.append({name: stream.value for name, stream in streams.items()})
    return outputs


@pytest.mark.parametrize("preset", ["accurate", "graded"])
def test_saturation_is_the_share_at_the_largest_spike(preset, all_programs):
    program = all_programs[f"transformer, {preset}"]
    name = program.neurons[0]
    node = program.nodes[name]
    if preset == "graded":  # so few payloads that many are the largest
        node = replace(node, payload_bits=3, least=np.minimum(node.least, 3))
        highest = node.base * np.float32(3)
    else:
        highest = node.positive_base * 2.0 ** (node.levels - 1)
    program = replace(program, nodes={**program.nodes, name: node})
    model, x = SpikingModel(program), torch.from_numpy(images(3))
    counts = []
    model.watch(x, STEPS, lambda seen, s: counts.append(float((s.abs().numpy() >= highest).mean())) if seen == name else None)
    found = next(t for t in trace(model, x, STEPS).nodes if t.node == name)
    np.testing.assert_allclose(found.saturation, counts)
    assert preset != "graded" or found.saturation[0] > 0.1


def test_batches_add_up(all_programs):
    model, x = SpikingModel(all_programs["transformer, accurate"]).double(), torch.from_numpy(images(7)).double()
    whole, parts = trace(model, x, 2), trace(model, x.split(3), 2)
    assert whole.n_samples == parts.n_samples == 7
    for a, b in zip(whole.nodes, parts.nodes, strict=True):
        np.testing.assert_allclose(a.relative_error, b.relative_error, rtol=1e-9)


def test_a_percentile_is_of_the_samples(all_programs):
    """Of 21 samples the second worst is exceeded by less than one in twenty."""
    model, x = SpikingModel(all_programs["transformer, accurate"]), torch.from_numpy(images(21))
    single = [trace(model, image[None], 2).nodes[-1].relative_error for image in x]
    readout = trace(model, x, 2).nodes[-1]
    ordered = np.sort(single, axis=0)
    np.testing.assert_allclose(readout.worst, ordered[-1], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(readout.percentile_95, ordered[-2], rtol=1e-3, atol=1e-6)
    assert (np.array(readout.worst) >= readout.relative_error).all()


def test_a_trace_of_an_older_version_is_read(all_programs, tmp_path):
    measured = msgspec.to_builtins(trace(SpikingModel(all_programs["transformer, accurate"]), torch.from_numpy(images(2)), 2))
    for node in measured["nodes"]:
        del node["worst"], node["percentile_95"]
    (tmp_path / "t.json").write_bytes(msgspec.json.encode(measured))
    assert load_trace(tmp_path / "t.json").nodes[0].worst == ()


def test_nothing_to_trace_is_refused(all_programs):
    model = SpikingModel(all_programs["transformer, paper"])
    with pytest.raises(DataError, match="no samples to trace"):
        trace(model, [], 2)
    with pytest.raises(ConfigError, match="at least 1 step"):
        trace(model, torch.from_numpy(images(1)), 0)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"n_samples": "a"}', b"[" * 100_000])
def test_a_broken_trace_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "trace.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"trace\.json: .*`ecmt-deploy trace .*` makes one") as caught:
        load_trace(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match="no such file"):
        load_trace(tmp_path / "none.json")


def test_a_trace_survives_its_file(all_programs, tmp_path):
    measured = trace(SpikingModel(all_programs["transformer, accurate"]), torch.from_numpy(images(2)), 2)
    (tmp_path / "t.json").write_bytes(msgspec.json.encode(measured))
    assert load_trace(tmp_path / "t.json") == measured
    assert isinstance(measured, Trace)
