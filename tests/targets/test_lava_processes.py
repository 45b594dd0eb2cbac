"""The process library: a hand-made network computes what the reference computes, and is visible to Monitors."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest

from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing import case
from ecmt_deploy.testing.handmade import program
from tests.support.targets import needs_lava

pytestmark = needs_lava
STEPS = 5


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parents[2] / "examples" / "lava_attention.py"
    spec = importlib.util.spec_from_file_location("lava_attention", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def attention_program(w, tokens: int, dim: int) -> Program:
    """The example's block as a program."""

    def neuron() -> ops.MultiThreshold:
        return ops.MultiThreshold(np.array(1 / 256), np.array(1 / 256), 12, "nearest", 0.74)

    names = ("entry", "query.neuron", "key.neuron", "value.neuron", "attention", "mixed.neuron")
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input(input_type={"input": np.array([tokens, dim])}),
        "query": ops.LastAxisLinear(w.query), "key": ops.LastAxisLinear(w.key), "value": ops.LastAxisLinear(w.value),
        "turn": ops.Permute(np.array([1, 0])),
        "scores": ops.ECMProduct(("query.neuron", "turn"), "matmul", "differential"),
        "softmax": ops.ECM(("scores",), "softmax", "differential", {"axis": np.asarray(1)}),
        "mixed": ops.ECMProduct(("attention", "value.neuron"), "matmul", "differential"),
        "projection": ops.LastAxisLinear(w.projection),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([tokens, dim])}),
        **{name: neuron() for name in names},
    }  # fmt: skip
    edges = [
        ("input", "entry"), ("entry", "query"), ("entry", "key"), ("entry", "value"), ("query", "query.neuron"),
        ("key", "key.neuron"), ("value", "value.neuron"), ("key.neuron", "turn"), ("query.neuron", "scores"),
        ("turn", "scores"), ("scores", "softmax"), ("softmax", "attention"), ("attention", "mixed"),
        ("value.neuron", "mixed"), ("mixed", "mixed.neuron"), ("mixed.neuron", "projection"),
        ("projection", "readout"), ("readout", "output"),
    ]  # fmt: skip
    return program(nodes, edges)


@pytest.mark.parametrize(
    ("method", "expected"), [("fork", "fork"), ("spawn", "has set multiprocessing's start method to 'spawn'")]
)
def test_a_program_that_has_used_multiprocessing_before(method, expected):
    """Lava sets the start method when it is imported; a user's program may have set it already."""
    code = f"""
import multiprocessing
multiprocessing.set_start_method({method!r})
from ecmt_deploy.errors import TargetError
try:
    import ecmt_deploy.targets.lava.processes
    print(multiprocessing.get_start_method())
except TargetError as e:
    print(e)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert expected in said


#: what a user's program may import first; on Python 3.11 and later some of it cannot be imported by itself, and fails
LAVA_FIRST = ["lava", "lava.magma.core.run_configs", "lava.magma.core.model.py.model", "lava.magma.core.process.process",
              "lava.proc.monitor.process", "lava.proc.lif.process", "lava.magma.compiler.compiler"]  # fmt: skip


@pytest.mark.parametrize("module", LAVA_FIRST)
def test_lava_may_be_imported_before(module):
    code = f"""
import contextlib, importlib, sys
with contextlib.suppress(ValueError) if sys.version_info >= (3, 11) else contextlib.nullcontext():
    importlib.import_module({module!r})
from ecmt_deploy.targets.lava.processes import MultiThreshold
importlib.import_module({module!r})
from lava.magma.core.process.process import AbstractProcess
assert isinstance(MultiThreshold(shape=(2, 3), positive_base=1.0), AbstractProcess)
print("works")
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout == "works\n", said.stderr


def test_without_lava_one_line_says_how_to_install_it(monkeypatch):
    from ecmt_deploy.errors import TargetError
    from ecmt_deploy.targets.lava import compat

    def absent(name: str) -> str:
        raise compat.PackageNotFoundError(name)

    monkeypatch.setattr(compat, "version", absent)
    with pytest.raises(TargetError, match="needs lava-nc, which is not installed; install it: pip install") as caught:
        compat.prepare()
    assert "\n" not in str(caught.value)


def test_the_attention_block_by_hand_equals_the_program(example):
    x, w = np.random.default_rng(1).normal(size=(6, 8)), example.weights(8)
    answer, spikes, membrane = example.spiking_attention(x, w, STEPS)
    made = attention_program(w, 6, 8)
    run = simulate(made, x[None], "reference", STEPS, probes=["query.neuron:spikes", "query.neuron:membrane"])
    recorded_spikes, recorded_membrane = (series[0] for series in run.probes.values())
    np.testing.assert_allclose(answer, run.outputs[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(spikes, recorded_spikes)
    np.testing.assert_allclose(membrane, recorded_membrane, rtol=0, atol=1e-12)
    assert spikes.any()


def test_the_attention_block_approaches_the_ordinary_one(example):
    x, w = np.random.default_rng(1).normal(size=(6, 8)), example.weights(8)
    answer, _, _ = example.spiking_attention(x, w, STEPS)
    expected = example.attention(x, w)
    errors = np.linalg.norm(answer - expected, axis=(1, 2)) / np.linalg.norm(expected)
    assert errors[-1] < 0.05 < errors[0]


def run_one(process, x: np.ndarray, port: str, variable: str) -> tuple[np.ndarray, np.ndarray]:
    """Output and state of one process that receives ``x`` (steps, *shape)."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer
    from lava.proc.monitor.process import Monitor

    source, output, state = RingBuffer(data=np.moveaxis(x, 0, -1)), Monitor(), Monitor()
    source.s_out.connect(process.a_in)
    output.probe(getattr(process, port), len(x))
    state.probe(getattr(process, variable), len(x))
    process.run(RunSteps(len(x)), Loihi2SimCfg(select_tag="floating_pt"))
    recorded = output.get_data()[process.name][port], state.get_data()[process.name][variable]
    process.stop()
    return recorded


def test_a_graded_neuron_conserves_and_resets():
    from ecmt_deploy.targets.lava.processes import Graded

    x = np.random.default_rng(0).normal(size=(8, 3, 4)) * 8
    neurons = Graded(shape=(3, 4), base=0.25, payload_bits=5, least=[1, 2, 3, 16], initial_membrane=0.1, reset_interval=4)
    spikes, v = run_one(neurons, x, "s_out", "v")
    for inference in (slice(0, 4), slice(4, 8)):
        np.testing.assert_allclose(
            spikes[inference].cumsum(axis=0) + v[inference], 0.1 + x[inference].cumsum(axis=0), atol=1e-12
        )
    payloads = np.abs(spikes / 0.25)
    assert set(payloads.ravel()) <= {*range(16)}
    assert payloads.max() == 15, "none is clipped"
    assert not set(payloads[..., 1].ravel()) & {1}
    assert not payloads[..., 3].any()


def test_a_neuron_conserves_and_resets():
    from ecmt_deploy.targets.lava.processes import MultiThreshold

    x = np.random.default_rng(0).normal(size=(8, 3, 4))
    neurons = MultiThreshold(shape=(3, 4), positive_base=0.25, negative_base=0.3, levels=4, reset_interval=4)
    spikes, v = run_one(neurons, x, "s_out", "v")
    for inference in (slice(0, 4), slice(4, 8)):
        np.testing.assert_allclose(spikes[inference].cumsum(axis=0) + v[inference], x[inference].cumsum(axis=0), atol=1e-12)
    assert set(np.abs(spikes[spikes < 0])) <= {0.3 * 2**k for k in range(4)}


@pytest.mark.parametrize("coding", ["differential", "rate"])
@pytest.mark.parametrize("kind", ["softmax", "layer_norm", "gelu"])
def test_compensation_adds_up_to_the_function(kind, coding):
    from ecmt_deploy.targets.lava.processes import ECMGELU, ECMLayerNorm, ECMSoftmax

    r = np.random.default_rng(0)
    x, weight, bias = r.normal(size=(3, 2, 5)), r.normal(size=5), r.normal(size=5)
    made = {
        "softmax": lambda: ECMSoftmax(shape=(2, 5), coding=coding),
        "layer_norm": lambda: ECMLayerNorm(shape=(2, 5), weight=weight, bias=bias, coding=coding),
        "gelu": lambda: ECMGELU(shape=(2, 5), coding=coding),
    }[kind]()
    parameters = {"axis": 1, "eps": 1e-6, "normalized_axes": 1, "weight": weight, "bias": bias}
    out, accumulator = run_one(made, x, "a_out", "accumulator")
    np.testing.assert_allclose(accumulator, x.cumsum(axis=0), atol=1e-12)
    for t in range(1, 4):
        total = x[:t].sum(axis=0)
        at, steps = (total, 1) if coding == "differential" else (total / t, t)
        expected = steps * FUNCTIONS[kind].evaluate(parameters, at)
        np.testing.assert_allclose(out[:t].sum(axis=0), expected, atol=1e-12)


SHAPES = [(5, (5,)), (np.int64(5), (5,)), (np.array(5), (5,)), ((5,), (5,)), ([2, 3], (2, 3)), (np.array([2, 3]), (2, 3)),
          ((np.int32(2), 3), (2, 3)), (range(2, 4), (2, 3))]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), SHAPES)
def test_shapes_as_people_give_them(given, expected):
    from ecmt_deploy.targets.lava.processes import (
        ECMGELU,
        ECMLayerNorm,
        ECMProduct,
        ECMSoftmax,
        Graded,
        MultiThreshold,
        TokenLinear,
    )

    assert MultiThreshold(shape=given, positive_base=1.0).v.shape == Graded(shape=given, base=1.0).v.shape == expected
    for kind in (ECMSoftmax, ECMLayerNorm, ECMGELU):
        assert kind(shape=given).a_out.shape == expected
    assert ECMProduct(shape_left=given, shape_right=given, product="multiply").a_out.shape == expected
    assert TokenLinear(weights=np.ones((4, 7)), tokens=given).a_out.shape == (*expected, 4)
    node = MultiThreshold(shape=given, positive_base=1.0).proc_params["node"]
    assert MultiThreshold.from_node(node, given).s_out.shape == expected


@pytest.mark.parametrize("given", [0, -3, (2, 0), (2, -1), (), [], 2.0, (2.5,), True, (True,), None, "ab", {3}])
def test_what_is_no_shape_is_said_at_once(given):
    from ecmt_deploy.targets.lava.processes import (
        ECMGELU,
        ECMLayerNorm,
        ECMProduct,
        ECMSoftmax,
        Graded,
        MultiThreshold,
        TokenLinear,
    )

    for make in (
        lambda: MultiThreshold(shape=given, positive_base=1.0),
        lambda: Graded(shape=given, base=1.0),
        *(lambda kind=kind: kind(shape=given) for kind in (ECMSoftmax, ECMLayerNorm, ECMGELU)),
        lambda: ECMProduct(shape_left=given, shape_right=(2,), product="multiply"),
        lambda: ECMProduct(shape_left=(2,), shape_right=given, product="multiply"),
    ):
        with pytest.raises(ValueError, match=r"shape is .*, expected one or several sizes of at least 1"):
            make()
    if np.size(given):  # no tokens at all is a vector
        with pytest.raises(ValueError, match="shape is"):
            TokenLinear(weights=np.ones((4, 7)), tokens=given)


def test_wrong_arguments_are_said_at_once():
    from ecmt_deploy.targets.lava.processes import ECMGELU, ECMProduct, ECMSoftmax, Graded, MultiThreshold, TokenLinear

    for make in (
        lambda: MultiThreshold(shape=(2,), positive_base=-1.0),
        lambda: MultiThreshold(shape=(2,), positive_base=1.0, levels=0),
        lambda: MultiThreshold(shape=(2,), positive_base=1.0, levels=2.5),
        lambda: MultiThreshold(shape=(2,), positive_base=1.0, reset_interval=0),
        lambda: Graded(shape=(2,), base=0.0),
        lambda: Graded(shape=(2,), base=np.nan),
        lambda: Graded(shape=(2,), base=np.ones(3)),
        lambda: Graded(shape=(2,), base=1.0, payload_bits=1),
        lambda: Graded(shape=(2,), base=1.0, payload_bits=17),
        lambda: Graded(shape=(2,), base=1.0, payload_bits=8.0),
        lambda: Graded(shape=(2,), base=1.0, payload_bits=4, least=[0, 1]),
        lambda: Graded(shape=(2,), base=1.0, payload_bits=4, least=9),
        lambda: Graded(shape=(2,), base=1.0, least=1.5),
        lambda: Graded(shape=(2,), base=1.0, least=True),
        lambda: Graded(shape=(2,), base=1.0, reset_interval=0),
        lambda: ECMSoftmax(shape=(2, 3), axis=2),
        lambda: MultiThreshold(shape=(2,), positive_base=np.ones(3)),
        lambda: ECMSoftmax(shape=(2,), coding="none"),
        lambda: ECMGELU(shape=(2,), approximate="cubic"),
        lambda: ECMProduct(shape_left=(2, 3), shape_right=(2, 3)),
        lambda: TokenLinear(weights=np.ones(3)),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            make()


def test_a_floating_node_has_no_fixed_model():
    """A model that raises leaves Lava hanging, so the constructor of the model is called as Lava's builder does."""
    from ecmt_deploy.targets.lava.processes import MultiThreshold
    from ecmt_deploy.targets.lava.processes.neuron import PyMultiThresholdFixed

    neurons = MultiThreshold(shape=(2,), positive_base=1.0)
    with pytest.raises(ValueError, match="a floating node runs with select_tag 'floating_pt' only"):
        PyMultiThresholdFixed(neurons.proc_params)


def test_a_process_for_a_node_of_a_program(all_programs):
    from ecmt_deploy.targets.lava.processes import MultiThreshold

    made = all_programs["every node, differential"]
    name = "head.neuron"
    x = np.random.default_rng(0).normal(size=(4, *made.shapes[name]))
    neurons = MultiThreshold.from_node(made.nodes[name], made.shapes[name], reset_interval=4)
    spikes, v = run_one(neurons, x, "s_out", "v")
    np.testing.assert_allclose(spikes.cumsum(axis=0) + v, x.cumsum(axis=0) + made.nodes[name].initial_membrane, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "function", "process", "ports", "out", "variable"),
    [
        ("MultiThreshold", None, "MultiThreshold", ["a_in"], "s_out", "v"),
        ("Graded", None, "Graded", ["a_in"], "s_out", "v"),
        ("ECM", "softmax", "ECMSoftmax", ["a_in"], "a_out", "accumulator"),
        ("ECM", "layer_norm", "ECMLayerNorm", ["a_in"], "a_out", "previous"),
        ("ECM", "gelu", "ECMGELU", ["a_in"], "a_out", "accumulator"),
        ("LastAxisLinear", None, "TokenLinear", ["s_in"], "a_out", "remainder"),
        ("ECMProduct", None, "ECMProduct", ["left_in", "right_in"], "a_out", "accumulator_left"),
    ],
)
def test_fixed_models_equal_the_integer_kernels(kind, function, process, ports, out, variable):
    quantization = pytest.importorskip("ecmt_deploy.quantization")
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer
    from lava.proc.monitor.process import Monitor

    from ecmt_deploy.kernels import Stream, kernel
    from ecmt_deploy.targets.lava import processes

    preset = "graded" if kind == "Graded" else "accurate"
    made = quantization.quantize(case(f"transformer, {preset}").program, None, 4)
    name = next(
        name
        for name, node in made.nodes.items()
        if type(node).__name__ == kind and (function is None or node.function == function)
    )
    shapes = [made.shapes[operand] for operand in made.operands[name]]
    x = [np.random.default_rng(0).integers(-3000, 3000, size=(4, *shape)).astype(np.int32) for shape in shapes]
    tested = getattr(processes, process).from_node(made.nodes[name], *shapes)
    for values, port in zip(x, ports, strict=True):
        RingBuffer(data=np.moveaxis(values, 0, -1)).s_out.connect(getattr(tested, port))
    output, state = Monitor(), Monitor()
    output.probe(getattr(tested, out), 4)
    state.probe(getattr(tested, variable), 4)
    tested.run(RunSteps(4), Loihi2SimCfg(select_tag="fixed_pt"))
    sent, kept = output.get_data()[tested.name][out], state.get_data()[tested.name][variable]
    tested.stop()
    place = list(made.state(name)).index(variable)
    running = kernel(made.nodes[name], tested.proc_params["site"], np.dtype(np.int64))
    for t in range(4):
        operands = [Stream(values[t].astype(np.int64), np.ones(values[t].shape, bool)) for values in x]
        np.testing.assert_array_equal(sent[t], running.step(t + 1, *operands).value)
        np.testing.assert_array_equal(kept[t], running.remembered()[place])
    assert sent.any()
    assert kept.any()
