"""One form for every program: axes, kinds of fields and parameters of functions, whoever wrote the nodes."""

import itertools

import nir
import numpy as np
import pytest

from ecmt_deploy.errors import ConfigError, NotFiniteError, ProgramError, TargetError
from ecmt_deploy.program import Program, ops, verify
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing import Case, check, float_program
from ecmt_deploy.testing.handmade import PROVENANCE, cell, neuron
from tests.support.targets import require

SHAPE = (2, 3, 4)
#: lava runs the reference's kernels, and random programs of its own (tests/conformance)
NUMPY_AND_TORCH = ("reference", "torch")


def around(*middle: nir.NIRNode, shape: tuple[int, ...] = SHAPE, out: tuple[int, ...] | None = None) -> Program:
    """A program: the input, the nodes of ``middle`` one after another, a readout."""
    nodes = {"input": nir.Input(input_type={"input": np.array(shape, np.int64)})}
    nodes |= {f"node{i}": node for i, node in enumerate(middle)}
    nodes |= {
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array(out or shape, np.int64)}),
    }
    names = list(nodes)
    return verify(nodes, itertools.pairwise(names), PROVENANCE)


def on_axis(axis: int) -> dict[str, tuple[nir.NIRNode, tuple[int, ...]]]:
    """Nodes that have an axis, with the shape of what they give."""
    size = SHAPE[axis]
    kept, without = list(SHAPE), [s for i, s in enumerate(SHAPE) if i != axis % 3]
    kept[axis] = 1
    turned = [0, 1, 2]
    turned[axis % 3], turned[0] = turned[0], turned[axis % 3]
    doubled = tuple(s * 2 if i == axis % 3 else s for i, s in enumerate(SHAPE))
    return {
        "slice": (ops.Slice(axis, 0, 1, 1), tuple(kept)),
        "take": (ops.Take(axis, np.arange(size)[::-1]), SHAPE),
        "concat": (ops.Concat(("input", "input"), axis), doubled),
        "mean": (ops.Mean(np.array([axis]), False), tuple(without)),
        "permute": (ops.Permute(np.array([a - 3 if axis < 0 else a for a in turned])), tuple(SHAPE[a] for a in turned)),
        "softmax": (ops.ECM(("input",), "softmax", "differential", {"axis": np.asarray(axis)}), SHAPE),
        "l2_norm": (ops.ECM(("input",), "l2_norm", "differential", {"axis": np.asarray(axis)}), tuple(kept)),
        "max": (ops.ECM(("input",), "max", "differential", {"axis": np.asarray(axis)}), tuple(kept)),
    }


@pytest.mark.parametrize("target", NUMPY_AND_TORCH)
@pytest.mark.parametrize("kind", on_axis(0))
@pytest.mark.parametrize("axis", [-1, -2, -3])
def test_an_axis_means_the_same_counted_from_either_end(target, kind, axis):
    """The program holds it counted from the front, and every target takes along it."""
    x = np.random.default_rng(0).normal(size=(3, *SHAPE))
    node, out = on_axis(axis)[kind]
    behind, _ = on_axis(axis + 3)[kind]
    made, expected = around(node, out=out), around(behind, out=out)
    run, wanted = simulate(made, x, target, 2), simulate(expected, x, "reference", 2)
    np.testing.assert_allclose(run.outputs, wanted.outputs, atol=1e-12)
    assert run.activity == wanted.activity
    for field in ("axis", "axes"):
        if hasattr(node, field):
            assert (np.asarray(getattr(made.nodes["node0"], field)) >= 0).all()
    assert (np.asarray(getattr(node, "axis", axis)) == axis).all(), "the caller's node stays as it is"


@pytest.mark.parametrize("axis", [3, -4, 2**40])
@pytest.mark.parametrize("kind", on_axis(0))
def test_an_axis_outside_the_operand_is_refused(kind, axis):
    node, _ = on_axis(0)[kind]
    if isinstance(node, ops.ECM):
        node.parameters["axis"] = np.asarray(axis)
    elif isinstance(node, ops.Permute | ops.Mean):
        node.axes = np.array([axis] if isinstance(node, ops.Mean) else [axis, 1, 2])
    else:
        node.axis = axis
    with pytest.raises(ProgramError, match="axis|axes") as error:
        around(node)
    assert "\n" not in str(error.value)


FIELDS_LOOSELY = {
    "lists": ops.Permute([0, 2, 1]),
    "python numbers": ops.Slice(np.int64(2), np.asarray(0), 4, True + 0),
    "small integers": ops.Take(2, np.array([3, 1], np.uint8)),
    "numbers as parameters": ops.ECM(["input"], "clamp", "differential", {"low": -1, "high": 2.5}),
    "an axis of python": ops.ECM(("input",), "softmax", "differential", {"axis": -1}),
    "a truth value of numpy": ops.Mean([0], np.bool_(True)),
}


@pytest.mark.parametrize("kind", FIELDS_LOOSELY)
@pytest.mark.parametrize("target", NUMPY_AND_TORCH)
def test_fields_are_brought_to_their_kinds(kind, target):
    node = FIELDS_LOOSELY[kind]
    shapes = {"lists": (2, 4, 3), "small integers": (2, 3, 2), "a truth value of numpy": (1, 3, 4)}
    made = around(node, out=shapes.get(kind, SHAPE))
    x = np.random.default_rng(1).normal(size=(2, *SHAPE))
    assert np.isfinite(simulate(made, x, target, 1).outputs).all()


@pytest.mark.parametrize(
    ("node", "what"),
    [
        (ops.Permute("abc"), "axes"),
        (ops.Slice(0.5, 0, 1, 1), "axis"),
        (ops.Slice(True, 0, 1, 1), "axis"),
        (ops.Take(0, None), "indices"),
        (ops.Mean(np.array([0]), "yes"), "keepdims"),
        (ops.LastAxisLinear(np.eye(4, dtype=complex)), "weight"),
        (ops.LastAxisLinear(np.eye(4, dtype=np.longdouble)), "weight"),
        (ops.CorrectedLinear(np.eye(4), np.eye(4, dtype=np.int8)), "correction"),
        (ops.CorrectedLinear(np.eye(4), None), "correction"),
        (ops.ECM("input", "relu", "differential", {}), "operands"),
        (ops.ECM(("input",), "clamp", "differential", {"low": "a", "high": 1}), "parameters"),
        (ops.ECM(("input",), "relu", "differential", 3), "parameters"),
        (ops.Readout(3), "coding"),
        (ops.Pad([[0, 1], [2]]), "widths"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_fields_of_another_kind_are_refused_in_one_line(node, what):
    with pytest.raises(ProgramError, match=rf"node0 .*{what} is .*expected") as error:
        around(node)
    assert "\n" not in str(error.value)


def test_convolutions_say_their_windows_in_one_way():
    weight, bias = np.ones((2, 2, 1, 1)), np.zeros(2)
    loose = around(nir.Conv2d((3, 4), weight, 1, 0, 1, 1, bias)).nodes["node0"]
    exact = around(nir.Conv2d((3, 4), weight, (1, 1), (0, 0), (1, 1), 1, bias)).nodes["node0"]
    unknown = around(nir.Conv2d(None, weight, 1, 0, 1, 1, bias)).nodes["node0"]
    for node in (loose, exact, unknown):
        assert (node.stride, node.padding, node.dilation, node.input_shape) == ((1, 1), (0, 0), (1, 1), (3, 4))
    for wrong in ({"padding": "same"}, {"stride": (1, 1, 1)}, {"groups": 0}, {"stride": 0}, {"padding": -1}):
        node = nir.Conv2d((3, 4), weight, 1, 0, 1, 1, bias)
        for field, value in wrong.items():
            setattr(node, field, value)
        with pytest.raises(ProgramError, match="node0"):
            around(node)


SOUND = {
    "axis": 2, "normalized_axes": 1, "groups": 1, "eps": 1e-5, "low": -1.0, "high": 1.0, "slope": 0.1, "exponent": 2.0,
    "threshold": 3.0,
}  # fmt: skip
WRONG = (
    None, "word", np.nan, np.inf, -np.inf, 1j, [0.5, 0.5], np.ones((1, 1)), 2**40, -(2**40), 0.5, -0.5, 0, -5,
    np.zeros(5), np.zeros((3, 4, 1)), np.full(4, np.nan), np.array(["a"]), np.zeros(4, bool), b"x",
)  # fmt: skip


@pytest.mark.parametrize(
    ("function", "parameter"), [(f, p) for f, entry in FUNCTIONS.items() if entry.operands == 1 for p in entry.parameters]
)
def test_every_parameter_keeps_its_rule(function, parameter):
    """What the rule refuses is one line, and what it lets through runs on every engine alike."""
    x = np.random.default_rng(2).uniform(0.5, 2, size=(2, *SHAPE))
    required = {p.name: np.asarray(SOUND[p.name]) for p in FUNCTIONS[function].parameters if p.required}
    refused, reduces = 0, FUNCTIONS[function].reduces is not None
    for value in WRONG:
        node = ops.ECM(("input",), function, "differential", {**required, parameter.name: value})
        out = (2, 3, 1) if reduces else SHAPE
        try:
            made = around(node, out=(1, 3, 4) if reduces and np.all(value == 0) else out)
        except ProgramError as error:
            assert "\n" not in str(error)
            refused += 1
            continue
        assert check("torch", Case(made, x, 2)).equal
    assert refused > len(WRONG) // 2


@pytest.mark.parametrize("function", [f for f, entry in FUNCTIONS.items() if entry.operands == 1 and entry.parameters])
def test_parameters_are_complete_and_no_more(function):
    required = {p.name: np.asarray(SOUND[p.name]) for p in FUNCTIONS[function].parameters if p.required}
    for missing in required:
        rest = {key: value for key, value in required.items() if key != missing}
        with pytest.raises(ProgramError, match=missing):
            around(ops.ECM(("input",), function, "differential", rest))
    with pytest.raises(ProgramError, match="does not take"):
        around(ops.ECM(("input",), function, "differential", {**required, "more": np.asarray(1.0)}))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("base", [5e-324, 1e-310, 1e-40, 1e-30, 1.0, 1e30, 1e38, 1e300, 1e308, np.inf, np.nan, 0.0, -1.0])
def test_levels_are_normal_numbers(base, dtype):
    """A base that verification lets through fires alike on both engines; the others are refused, or in a narrower run."""
    with np.errstate(all="ignore"):
        array = np.asarray(base, dtype)
    limits = np.finfo(dtype)
    sound = 2 * limits.tiny <= array <= limits.max / 2.0**6
    node = ops.MultiThreshold(array, array, 6, "nearest", 0.74)
    if not sound:
        with pytest.raises(ProgramError, match="positive_base"):
            around(node)
        return
    made = around(node)
    x = np.random.default_rng(3).normal(size=(2, *SHAPE)) * float(array) * 8
    if np.isfinite(x).all():
        assert simulate(made, x, "torch", 3).activity == simulate(made, x, "reference", 3).activity
    if dtype == np.float64 and not 1e-37 < base < 1e36:
        with pytest.raises(ConfigError, match="leave the range of float32"):
            simulate(made, x, "torch", 3, dtype="float32")


def test_streams_have_elements():
    with pytest.raises(ProgramError, match="at least one element"):
        around(shape=(3, 0))
    with pytest.raises(ProgramError, match="at least one element"):
        around(ops.LastAxisLinear(np.zeros((0, 4))))


def test_a_correction_is_finite_and_of_the_shape_of_its_weights():
    with pytest.raises(ProgramError, match="node0 .*correction is not finite everywhere, expected finite numbers"):
        around(ops.CorrectedLinear(np.eye(4), np.full((4, 4), np.inf, np.float16)))
    for shape in ((4,), (4, 1), (1, 4, 4)):
        with pytest.raises(ProgramError, match="node0 .*correction .*weight"):
            around(ops.CorrectedLinear(np.eye(4), np.zeros(shape)))
    with pytest.raises(ProgramError, match="node0 .*format is Weighted, expected none"):
        around(
            ops.CorrectedLinear(
                np.eye(4, dtype=np.int8),
                np.eye(4),
                format=ops.Weighted(
                    weight_bits=8, multiplier=np.ones(4, np.int64), shift=np.zeros(4, np.int64), exponent=0, state_bits=24
                ),
            )
        )


# --- what is no longer finite -----------------------------------------------------------------------------------------

OVERFLOWS = {
    "a quotient": (ops.ECM(("input",), "reciprocal", "differential", {}), np.zeros((2, *SHAPE))),
    "a root": (ops.ECM(("input",), "sqrt", "differential", {}), -np.ones((2, *SHAPE))),
    "an exponential": (ops.ECM(("input",), "exp", "differential", {}), np.full((2, *SHAPE), 1e4)),
    "a sum of products": (ops.LastAxisLinear(np.full((4, 4), 1e200)), np.full((2, *SHAPE), 1e200)),
}


@pytest.mark.parametrize(("target", "kind"), [*itertools.product(NUMPY_AND_TORCH, OVERFLOWS), ("lava", "a quotient")])
@pytest.mark.parametrize("then", [[], [cell()], [ops.ECM(("node0",), "tanh", "differential", {})]], ids=["", "neuron", "tanh"])
def test_a_run_ends_where_a_value_is_no_longer_finite(target, kind, then):
    """Whatever would make a number of it afterwards, and on every target."""
    require(target)
    node, x = OVERFLOWS[kind]
    name = f"node{1 if then else 0}" if then else "readout"
    with np.errstate(all="ignore"), pytest.raises(TargetError, match=f"node {name}: .* infinite or no number") as error:
        simulate(around(node, *then), x, target, 2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("target", NUMPY_AND_TORCH)
def test_masks_are_no_overflow(target):
    """Infinities of constants end in a function, as they should; what they stand beside is still looked at."""
    nodes = {
        "input": nir.Input(input_type={"input": np.array(SHAPE)}),
        "mask": ops.Constant(np.where(np.arange(4) < 2, 0.0, -np.inf) * np.ones(SHAPE), "first"),
        "masked": ops.Add(("input", "mask")),
        "softmax": ops.ECM(("masked",), "softmax", "differential", {"axis": np.asarray(2)}),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array(SHAPE)}),
    }
    edges = [("input", "masked"), ("mask", "masked"), ("masked", "softmax"), ("softmax", "readout"), ("readout", "output")]
    with np.errstate(all="ignore"):
        made = verify(nodes, edges, PROVENANCE)
    outputs = simulate(made, np.ones((1, *SHAPE)), target, 2).outputs
    np.testing.assert_allclose(outputs[-1][..., :2], 0.5)
    scaled = {**nodes, "big": ops.BroadcastScale(np.full((), 1e300))}
    scaled["masked"] = ops.Add(("big", "mask"))
    moved = [("input", "big"), ("big", "masked"), *edges[1:]]
    with np.errstate(all="ignore"), pytest.raises(NotFiniteError, match="node masked"):
        simulate(verify(scaled, moved, PROVENANCE), np.full((1, *SHAPE), 1e300), target, 1)


def test_the_callers_nodes_stay_as_they_are():
    program = float_program(3).program
    nodes = dict(program.nodes)
    before = {name: dict(vars(node)) for name, node in nodes.items()}
    edges = [(source, name) for name, sources in program.operands.items() for source in dict.fromkeys(sources)]
    again = verify(nodes, edges, PROVENANCE)
    assert list(again.nodes) == list(program.nodes)
    assert all(vars(node)[key] is before[name][key] for name, node in nodes.items() for key in before[name])


def test_a_neuron_of_rank_zero_and_every_other_rank():
    """A stream may be a single number: it is a row of its own."""
    x = np.linspace(-2, 2, 5)
    made = around(neuron(base=0.1031), shape=())
    for target in NUMPY_AND_TORCH:
        run = simulate(made, x, target, 3)
        assert run.outputs.shape == (3, 5)
        assert run.activity == simulate(made, x, "reference", 3).activity
