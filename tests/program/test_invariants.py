"""The invariants of the numerics as properties, for the NumPy kernels and the torch engine alike."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.engine.functions import TORCH
from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.ops.multi_threshold import NeuronKernel
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.targets.reference import ReferenceTarget
from ecmt_deploy.testing.handmade import images, neuron
from ecmt_deploy.testing.transformer import TinyTransformer

STEPS = 6
FLOAT64 = np.dtype(np.float64)
values = st.floats(-20, 20, allow_nan=False)
PARAMETERS = {
    **{name: {**f.example, **({"axis": 1} if "axis" in f.example else {})} for name, f in FUNCTIONS.items()},
    "layer_norm": {"eps": 1e-5, "normalized_axes": 1, "weight": np.arange(4.0), "bias": np.ones(4)},
    "rms_norm": {"eps": 1e-5, "normalized_axes": 1, "weight": np.arange(4.0)},
    "group_norm": {"eps": 1e-5, "groups": 3, "weight": np.arange(3.0), "bias": np.ones(3)},
}  # fmt: skip
POSITIVE = {"sqrt", "rsqrt", "reciprocal", "log", "divide"}


def run(node, inputs, shapes, shape, spiking=False):
    """Outputs of a kernel over steps; ``inputs`` is a list of operand tuples."""
    site = Site(tuple(shapes), shape, (spiking,) * len(shapes), False)
    running = kernel(node, site, FLOAT64)
    ones = [np.ones(s, bool) for s in shapes]
    return [running.step(t, *map(Stream, operands, ones)).value for t, operands in enumerate(inputs, 1)], running


@settings(max_examples=60)
@given(
    arrays(float, (STEPS, 3, 4), elements=values),
    st.sampled_from(ops.RULES),
    st.floats(0.01, 5),
    st.integers(1, 10),
)
def test_conservation(x, rule, base, levels):
    """Sum of spikes plus membrane is the sum of inputs."""
    spikes, running = run(neuron((4,), base, rule, levels), [(step,) for step in x], [(3, 4)], (3, 4))
    assert isinstance(running, NeuronKernel)
    np.testing.assert_allclose(np.sum(spikes, axis=0) + running.v, x.sum(axis=0), atol=1e-9)
    allowed = {0.0} | {s * b * 2.0**k for k in range(levels) for s, b in ((1, base), (-1, base * 1.1))}
    assert set(np.concatenate(spikes).ravel().tolist()) <= allowed


@pytest.mark.parametrize("rule", ops.RULES)
def test_the_largest_level_that_is_reached_fires(rule):
    """Against a brute force reading of the rule, thresholds and all."""
    x = np.linspace(-9, 9, 1001)
    node = neuron((), 0.5, rule, 4)
    (spikes,), _ = run(node, [(x,)], [x.shape], x.shape)
    for v, s in zip(x, spikes, strict=True):
        expected = 0.0
        for base, sign in ((0.55, -1), (0.5, 1)):
            for k in range(4):
                level = base * 2.0**k
                threshold = 0.74 * level if rule == "nearest" else level - base / 2
                if sign * v >= threshold:
                    expected = sign * level
        assert s == expected


@pytest.mark.parametrize("coding", ops.CODINGS)
@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=15)
@given(data=st.data())
def test_compensation_telescopes(function, coding, data):
    """Sum of y_t is T f(mean x) in rate coding, and f(sum x) in differential coding."""
    entry = FUNCTIONS[function]
    low = 0.1 if function in POSITIVE else -4
    element = st.floats(low, 4, allow_nan=False)
    xs = [data.draw(arrays(float, (STEPS, 3, 4), elements=element)) for _ in range(entry.operands)]
    parameters = {k: np.asarray(v) for k, v in PARAMETERS.get(function, {}).items()}
    shapes = [(3, 4)] * entry.operands
    node = ops.ECM(("x",) * entry.operands, function, coding, parameters)
    outputs, _ = run(node, list(zip(*xs, strict=True)), shapes, entry.shape(parameters, shapes))
    sums = [x.sum(axis=0) for x in xs]
    expected = entry.evaluate(parameters, *sums)
    if coding == "rate":
        expected = STEPS * entry.evaluate(parameters, *(s / STEPS for s in sums))
    np.testing.assert_allclose(np.sum(outputs, axis=0), expected, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("coding", ops.CODINGS)
@pytest.mark.parametrize("product", ops.PRODUCTS)
@settings(max_examples=20)
@given(data=st.data())
def test_products_telescope(product, coding, data):
    """Sum of y_t is A B / T in rate coding, A B in differential coding, A and B the sums of the operands."""
    shapes = [(2, 3, 4), (2, 4, 5)] if product == "matmul" else [(2, 3, 4), (3, 4)]
    a, b = (data.draw(arrays(float, (STEPS, *shape), elements=values)) for shape in shapes)
    shape = (2, 3, 5) if product == "matmul" else (2, 3, 4)
    outputs, _ = run(ops.ECMProduct(("a", "b"), product, coding), list(zip(a, b, strict=True)), shapes, shape, spiking=True)
    total_a, total_b = a.sum(axis=0), b.sum(axis=0)
    expected = total_a @ total_b if product == "matmul" else total_a * total_b
    np.testing.assert_allclose(np.sum(outputs, axis=0), expected / (STEPS if coding == "rate" else 1), atol=1e-7)


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=15)
@given(data=st.data())
def test_numpy_and_torch_compute_the_same_functions(function, data):
    entry = FUNCTIONS[function]
    element = st.floats(0.1 if function in POSITIVE else -6, 6, allow_nan=False)
    xs = [data.draw(arrays(float, (2, 3, 4), elements=element)) for _ in range(entry.operands)]
    parameters = {k: np.asarray(v) for k, v in PARAMETERS.get(function, {}).items()}
    for_torch = {k: torch.from_numpy(v.astype(float)) if v.ndim else v.item() for k, v in parameters.items()}
    batched = TORCH[function](for_torch, *map(torch.from_numpy, xs)).numpy()
    for sample in range(2):
        alone = entry.evaluate(parameters, *(x[sample] for x in xs))
        np.testing.assert_allclose(batched[sample], alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("preset", ["paper", "accurate"])
def test_identity_neurons_give_the_network_at_every_step(preset):
    """With neurons as identity the readout equals the original module's output after every step, in both codings."""
    x, model = images(3), TinyTransformer().double()
    with torch.no_grad():
        expected = model(torch.from_numpy(x).double()).numpy()
    spiking = convert(model, torch.from_numpy(images(16, seed=1)).double(), ConvertConfig(preset=preset))
    outputs = ReferenceTarget().run(spiking.program, x, 5, dtype=FLOAT64, identity_neurons=True).outputs
    for after_step in outputs:
        np.testing.assert_allclose(after_step, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("target", ["reference", "torch"])
def test_activity_adds_up_over_splits_of_the_batch(target, program):
    x = images(6)
    whole = simulate(program, x, target, 3).activity
    for cut in (1, 2, 3):
        assert simulate(program, x[:cut], target, 3).activity + simulate(program, x[cut:], target, 3).activity == whole


def test_synops_are_true_taps(program: Program):
    """Convolution and matrix synops against a count by brute force over every event and every weight."""
    import nir

    for name, node in program.nodes.items():
        if not isinstance(node, nir.Conv2d) or name in program.encoding:
            continue
        site = Site.of(program, name)
        spikes = (np.random.default_rng(0).random(site.operand_shapes[0]) < 0.3).astype(float)
        running = kernel(node, site, FLOAT64)
        running.step(1, Stream(spikes, spikes != 0))
        taps = 0
        _, height, width = spikes.shape
        out, per_group, kh, kw = node.weight.shape
        _, rows, columns = site.shape
        for o in range(out):
            group = o // (out // node.groups)
            for y, x, c, i, j in np.ndindex(rows, columns, per_group, kh, kw):
                yy, xx = y * node.stride[0] + i - node.padding[0], x * node.stride[1] + j - node.padding[1]
                inside = 0 <= yy < height and 0 <= xx < width
                taps += bool(inside and spikes[group * per_group + c, yy, xx])
        assert running.counts.synops == taps


def test_nothing_happens_without_change(all_programs):
    """Differential coding is event-driven: a neuron layer that is told nothing and holds nothing stays idle."""
    program = all_programs["transformer, accurate"]
    early, late = (simulate(program, images(2), "torch", t).activity for t in (20, 24))
    grown = {name: late[name].spikes - early[name].spikes for name in program.neurons}
    assert sum(grown.values()) < 0.05 * sum(late[name].spikes for name in program.neurons)
