"""Named inputs: packing is a bijection, in one order, and refuses what an input may not hold; what may take exact streams."""

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecmt_deploy.errors import DataError, ProgramError
from ecmt_deploy.program import Provenance, ops, read, verify, write
from ecmt_deploy.program.inputs import HOLDS, Inputs, NamedInput
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import cell
from ecmt_deploy.testing.tokens import INPUTS, integer_named_inputs, named_inputs, samples

SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)
NAMES = st.text("abcxyz_", min_size=1, max_size=5)


@st.composite
def drawn(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    entries = []
    for name in names:
        holds = draw(st.sampled_from(HOLDS))
        entries.append(NamedInput(name, draw(SHAPES), holds, draw(st.integers(1, 2**24)) if holds == "tokens" else 0))
    return Inputs(tuple(entries))


def arrays_of(inputs: Inputs, count: int, seed: int) -> dict[str, np.ndarray]:
    r = np.random.default_rng(seed)
    made = {}
    for entry in inputs:
        size = (count, *entry.shape)
        values = r.normal(size=size).astype(np.float32)
        made[entry.name] = values if entry.largest is None else r.integers(0, entry.largest + 1, size=size)
    return made


@settings(max_examples=60)
@given(inputs=drawn(), count=st.integers(0, 3), seed=st.integers(0, 99))
def test_what_is_packed_comes_out_again(inputs, count, seed):
    made = arrays_of(inputs, count, seed)
    packed = inputs.pack(made)
    assert packed.shape == (count, *inputs.shape)
    assert packed.dtype == np.float32
    inputs.require(packed)
    for back in (inputs.unpack(packed), inputs.unpack(torch.from_numpy(packed))):
        assert list(back) == sorted(made)
        for name, array in made.items():
            np.testing.assert_array_equal(np.asarray(back[name]), array)
    assert Inputs(inputs.entries[::-1]) == inputs, "the order in which they are named does not matter"


def test_a_number_of_each_input_stands_where_its_elements_do():
    each = INPUTS.each({"attention_mask": 1, "input_ids": 2, "traits": 3})
    assert each.tolist() == [1] * 5 + [2] * 5 + [3] * 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("input_ids", 50300, "input_ids holds 50300; expected 0 to 10"),
        ("input_ids", -1, "input_ids holds -1; expected 0 to 10"),
        ("input_ids", 0.5, "input_ids holds 0.5; expected integers from 0 to 10"),
        ("attention_mask", 2, "attention_mask holds 2; expected 0 to 1"),
        ("attention_mask", np.nan, "attention_mask holds nan; expected 0 to 1"),
    ],
)
def test_a_value_out_of_range_is_named(name, value, message):
    made = {key: part.astype(np.float64) for key, part in INPUTS.unpack(samples(2)).items()}
    made[name][1, 3] = value
    with pytest.raises(DataError, match=f"^{message}$"):
        INPUTS.pack(made)


def test_arrays_that_are_not_those_of_the_inputs_are_named():
    made = INPUTS.unpack(samples(2))
    without = {name: part for name, part in made.items() if name != "traits"}
    for wrong, message in [
        (without, "traits is missing; the program takes attention_mask, input_ids, traits"),
        ({**made, "more": made["traits"]}, "there is no input 'more'"),
        ({**made, "traits": made["traits"][:, :2]}, r"traits has shape \(2, 2\); expected \(N, 3\)"),
        ({**made, "traits": made["traits"][:1]}, "expected as many of each"),
        ({**made, "input_ids": np.array([["a"] * 5] * 2)}, "input_ids has dtype <U1, expected numbers"),
    ]:
        with pytest.raises(DataError, match=message):
            INPUTS.pack(wrong)


# --- programs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [named_inputs, integer_named_inputs])
@pytest.mark.parametrize("coding", ops.CODINGS)
def test_a_file_keeps_the_inputs(make, coding, tmp_path):
    made = make(coding)
    write(made, tmp_path / "p.nir")
    back = read(tmp_path / "p.nir")
    assert back.inputs == made.inputs == INPUTS
    assert (back.exact, back.encoding, back.outside) == (made.exact, made.encoding, made.outside)
    precision = "fixed" if made.integer else "float"
    one, other = (simulate(p, samples(2), "reference", 2, precision) for p in (made, back))
    np.testing.assert_array_equal(one.outputs, other.outputs)
    assert one.activity == other.activity


def test_a_program_with_one_input_of_values_is_written_as_before(tmp_path):
    """Stock NIR tools read such an ``Input``: it has no field of its own."""
    nodes = {
        "input": nir.Input(input_type={"input": np.array([2])}), "head": nir.Linear(np.eye(2)),
        "readout": ops.Readout("differential"), "output": nir.Output(output_type={"output": np.array([2])}),
    }  # fmt: skip
    edges = [("input", "head"), ("head", "readout"), ("readout", "output")]
    made = verify(nodes, edges, Provenance(tool_version="test"))
    assert made.nodes["input"].standard
    assert made.inputs == Inputs((NamedInput("input", (2,)),))
    assert made.input_shape == (2,)
    write(made, tmp_path / "p.nir")
    import h5py

    with h5py.File(tmp_path / "p.nir") as file:
        assert set(file["node/nodes/input"]) == {"type", "shape"}
    write(named_inputs("rate"), tmp_path / "q.nir")
    with h5py.File(tmp_path / "q.nir") as file:
        assert set(file["node/nodes/input_ids"]) == {"type", "shape", "holds", "limit"}
        assert set(file["node/nodes/attention_mask"]) == {"type", "shape", "holds"}
        assert set(file["node/nodes/traits"]) == {"type", "shape"}


def around(node: nir.NIRNode, holds: str = "mask", coding: str = "differential", **more: nir.NIRNode):
    """A program in which a node takes a mask or tokens (3, 2), and a product of neurons what comes of it."""
    nodes = {
        "x": nir.Input(input_type={"input": np.array([3, 2])}),
        "held": ops.Input({"input": np.array([3, 2])}, holds=holds, limit=5 if holds == "tokens" else 0),
        "node": node, "sum": ops.Mean(np.array([0, 1]), False), "neuron": cell(),
        "product": ops.ECMProduct(("neuron", "sum"), "multiply", coding), "readout": ops.Readout(coding),
        "output": nir.Output(output_type={"output": np.array([3, 2])}), **more,
    }  # fmt: skip
    edges = [("held", "node"), ("node", "sum"), ("x", "neuron"), ("neuron", "product"), ("sum", "product")]
    return verify(nodes, [*edges, ("product", "readout"), ("readout", "output")], Provenance(tool_version="test"))


def test_what_exact_streams_may_enter():
    program = around(ops.BroadcastScale(np.array(2.0)))
    assert program.exact == {"held", "node", "sum"}
    assert program.outside == {"x", "held", "node", "sum"}
    assert program.entering == {"x", "sum"}
    assert not around(ops.Hold()).exact - {"held"}, "what is repeated at every step does not enter once"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (cell(), "takes held, which holds tokens or a mask and needs no MultiThr"),
        (ops.Graded(np.array(0.1), 4), "takes held, which holds tokens or a mask and needs no Graded"),
        (
            ops.LastAxisLinear(np.eye(2)),
            "takes held, which holds tokens or a mask; of nodes with weights only an Embedding may",
        ),
    ],
)
def test_what_exact_streams_may_not_enter(node, message):
    with pytest.raises(ProgramError, match=f"^node node .*{message}"):
        around(node)


def test_an_embedding_takes_nothing_but_ids():
    assert "node" in around(ops.Embedding(np.ones((5, 2))), "tokens").encoding
    nodes = {
        "x": nir.Input(input_type={"input": np.array([3])}), "rows": ops.Embedding(np.ones((5, 4))),
        "readout": ops.Readout("rate"), "output": nir.Output(output_type={"output": np.array([3, 4])}),
    }  # fmt: skip
    with pytest.raises(ProgramError, match=r"node rows \(Embedding\): takes x, expected an input that holds tokens"):
        verify(nodes, [("x", "rows"), ("rows", "readout"), ("readout", "output")], Provenance(tool_version="test"))


@pytest.mark.parametrize("target", ["reference", "torch"])
def test_an_id_without_a_row_ends_the_run(target):
    """Ids that follow from a mask are not looked at when a sample is presented."""
    program = around(ops.Embedding(np.ones((3, 2))), "tokens")
    with pytest.raises(DataError, match="node node: an id is 4; expected 0 to 2, the rows of its table"):
        simulate(program, program.inputs.pack({"held": np.full((1, 3, 2), 4), "x": np.zeros((1, 3, 2), "f4")}), target, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"holds": "words"}, "holds is 'words', expected one of"),
        ({"holds": "tokens"}, "limit is 0, expected 1 to 16777216"),
        ({"holds": "tokens", "limit": 2**24 + 1}, "limit is 16777217, expected 1 to 16777216"),
        ({"holds": "mask", "limit": 3}, "limit is 3, expected 0, as it holds no tokens"),
        ({"limit": 3}, "limit is 3, expected 0"),
    ],
)
def test_fields_of_an_input_are_checked(fields, message):
    with pytest.raises(ProgramError, match=f"node held .Input.: {message}"):
        around(ops.Reshape(np.array([3, 2])), held=ops.Input({"input": np.array([3, 2])}, **fields))


def test_the_products_of_an_exact_operand_by_hand():
    """Spikes meet the mask as events; nothing else is multiplied where nothing was expected, and all is, once, where it was."""
    x, inputs = np.full((1, 3, 2), 0.35, np.float32), {}
    for expected, initial in ((0, 0.0), (6, 0.5)):
        product = ops.ECMProduct(("neuron", "sum"), "multiply", "differential", left_initial=np.array(initial))
        program = around(ops.Reshape(np.array([3, 2])), product=product)
        inputs = program.inputs.pack({"held": np.ones((1, 3, 2)), "x": x})
        for target in ("reference", "torch"):
            counts = simulate(program, inputs, target, 4).activity["product"]
            assert counts.macs == expected
            assert counts.dense_macs == 6
            assert counts.synops == simulate(program, inputs, target, 4).activity["neuron"].spikes > 0
