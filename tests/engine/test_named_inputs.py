"""Named inputs at the model and at the door: by mapping, by keyword, packed; on every target; errors that name the input."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

import ecmt_deploy as ecmt
from ecmt_deploy import chips
from ecmt_deploy.door import as_samples, labelled
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, DataError, TargetError
from ecmt_deploy.program import ops
from ecmt_deploy.testing import check
from ecmt_deploy.testing.handmade import Case
from ecmt_deploy.testing.tokens import INPUTS, integer_named_inputs, named_inputs, samples
from tests.support.targets import needs_lava
from tests.support.tokens import named

MADE = {(make.__name__, coding): make(coding) for make in (named_inputs, integer_named_inputs) for coding in ops.CODINGS}
PACKED, NAMED, LABELS = samples(6), named(6), np.arange(6) % 2
TENSORS = {name: torch.from_numpy(part) for name, part in NAMED.items()}


@pytest.mark.parametrize("which", MADE)
@pytest.mark.parametrize("target", ["torch", pytest.param("lava", marks=needs_lava)])
def test_targets_agree(which, target):
    assert check(target, Case(MADE[which], PACKED[:3].astype(float), 4)).equal


@pytest.mark.parametrize("coding", ops.CODINGS)
def test_cores_agree_and_hold_nothing_of_the_host(coding):
    program = MADE["integer_named_inputs", coding]
    assert check("cores", Case(program, PACKED[:3].astype(float), 4), "loihi2").equal
    placed = {name for unit in ecmt.place(program, "loihi2").units for name in unit.nodes}
    assert not placed & program.outside
    assert {"words", "positions", "over"} <= program.outside
    assert any("come from the host" in sentence for sentence in ecmt.place(program, "loihi2").assumptions)


def test_files_for_cores_are_refused_in_one_line(tmp_path):
    from ecmt_deploy.targets.cores import export

    with pytest.raises(TargetError, match="^the program takes attention_mask .*; expected one input of values and no look-ups"):
        export(MADE["integer_named_inputs", "rate"], "loihi2", tmp_path / "out")


@pytest.mark.parametrize("name", ["seneca", "loihi2", "horowitz45"])
def test_chips_are_not_charged_for_the_host(name):
    program = MADE["named_inputs", "differential"]
    run = ecmt.simulate(program, NAMED, "torch", 2)
    energy = run.energy(name)
    rows = {row.node for row in energy.rows if row.components_pj}
    assert not rows & (program.outside - program.entering)
    assert any("the host computes them" in what for what in energy.left_out)


def test_abilities_are_asked_of_cores_alone():
    """A chip whose neurons run no code cannot hold a normalisation; what the host computes it need not."""
    chip = chips.hardware("loihi1")
    named_obstacles = {o.node for o in ecmt.place(MADE["named_inputs", "differential"], chip).obstacles}
    assert named_obstacles
    assert not named_obstacles & MADE["named_inputs", "differential"].outside


def test_the_table_of_the_host_needs_no_width_of_the_chip():
    program, chip = MADE["integer_named_inputs", "differential"], chips.hardware("loihi2")
    narrow = msgspec.structs.replace(chip.limits, weight_bits=msgspec.structs.replace(chip.limits.weight_bits, value=4))
    found = ecmt.place(program, msgspec.structs.replace(chip, limits=narrow)).obstacles
    layers = [name for name in program.nodes if hasattr(program.nodes[name].format, "weight_bits")]
    inside = [name for name in layers if name not in program.outside]
    assert len(inside) < len(layers)
    assert [f"({len(inside)} nodes)" in o.sentence for o in found if o.resource == "weight_bits"] == [True]


def test_what_the_host_sums_is_nothing_that_a_chip_has_to_show():
    program, chip = MADE["named_inputs", "differential"], chips.hardware("loihi2")
    axes = {"normalized_axes": np.asarray(1), "eps": np.asarray(1e-6)}
    summed = replace(program, nodes={**program.nodes, "some": ops.ECM(("share",), "layer_norm", "differential", axes)})
    assert summed.nodes["some"].reductions
    assert "some" in summed.outside
    assert ecmt.place(summed, chip).unshown == ecmt.place(program, chip).unshown


@pytest.mark.parametrize("which", MADE)
def test_a_model_takes_inputs_in_every_form(which):
    model = SpikingModel(MADE[which])
    expected = model(torch.from_numpy(PACKED))
    for found in (model(TENSORS), model(**TENSORS), model(NAMED), model({"input_ids": TENSORS["input_ids"]}, **{
        name: part for name, part in TENSORS.items() if name != "input_ids"
    })):  # fmt: skip
        assert torch.equal(found, expected)
    if not MADE[which].integer:
        assert torch.equal(model.analog(**TENSORS), model.analog(torch.from_numpy(PACKED)))


def test_ids_stay_exact_in_half_precision():
    """bfloat16 holds no integer above 256 but some."""
    nodes = {
        "ids": ops.Input({"input": np.array([2])}, holds="tokens", limit=1000), "x": ops.Input({"input": np.array([2, 1])}),
        "rows": ops.Embedding(np.arange(1000.0)[:, None] % 7), "sum": ops.Add(("rows", "x")),
        "readout": ops.Readout("differential"), "output": ops.Output({"output": np.array([2, 1])}),
    }  # fmt: skip
    edges = [("ids", "rows"), ("rows", "sum"), ("x", "sum"), ("sum", "readout"), ("readout", "output")]
    model = SpikingModel(ecmt.program.verify(nodes, edges, ecmt.program.Provenance(tool_version="t"))).to(torch.bfloat16)
    ids = torch.tensor([[257, 999], [511, 770]])
    assert model(ids=ids, x=torch.zeros(2, 2, 1), timesteps=1)[0, :, :, 0].tolist() == (ids % 7).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {**d, "input_ids": d["input_ids"] + 50290}, "input_ids holds 50.*; expected 0 to 10"),
        (lambda d: {**d, "attention_mask": d["attention_mask"] - 1}, "attention_mask holds -1; expected 0 to 1"),
        (lambda d: {name: part for name, part in d.items() if name != "traits"}, "traits is missing; the program takes"),
        (lambda d: {**d, "more": d["traits"]}, "there is no input 'more'; the program takes attention_mask, input_ids, traits"),
        (lambda d: {**d, "input_ids": d["input_ids"][:, :4]}, r"input_ids has shape \(6, 4\); expected \(N, 5\)"),
    ],
)
def test_errors_name_the_input(change, message):
    model = SpikingModel(MADE["named_inputs", "rate"])
    for run in (model, lambda data: ecmt.simulate(model, data, "torch", 1), lambda data: ecmt.evaluate(model, (data, LABELS))):
        with pytest.raises(DataError, match=message):
            run(change(NAMED))


def test_a_packed_tensor_is_looked_at_too():
    model, x = SpikingModel(MADE["named_inputs", "rate"]), torch.from_numpy(PACKED.copy())
    x[0, 6] = 11
    with pytest.raises(DataError, match="input_ids holds 11; expected 0 to 10"):
        model(x)
    with pytest.raises(DataError, match=r"input of shape \(6, 4\); the program expects \(batch, \*\(13,\)\); attention_mask"):
        model(x[:, :4])
    with pytest.raises(DataError, match="expected samples, or one tensor of each input by name"):
        model()


FORMS = {
    "a mapping": lambda: NAMED,
    "tensors": lambda: TENSORS,
    "lists": lambda: {name: part.tolist() for name, part in NAMED.items()},
    "packed": lambda: PACKED,
    "batches": lambda: [{name: part[i : i + 4] for name, part in NAMED.items()} for i in (0, 4)],
    "single samples": lambda: [{name: part[i] for name, part in NAMED.items()} for i in range(6)],
    "a pair": lambda: (NAMED, LABELS),
    "pairs": lambda: [(NAMED, LABELS)],
    "with labels": lambda: {**NAMED, "labels": LABELS},
    "single samples with labels": lambda: [({n: p[i] for n, p in NAMED.items()}, int(LABELS[i])) for i in range(6)],
}


@pytest.mark.parametrize("form", FORMS)
def test_the_door_takes_named_arrays(form):
    np.testing.assert_array_equal(as_samples(FORMS[form](), INPUTS), PACKED)
    if "pair" in form or "labels" in form:
        ((x, y),) = labelled(FORMS[form](), INPUTS, 2, 10)
        np.testing.assert_array_equal(x, PACKED)
        assert y.tolist() == LABELS.tolist()


def test_one_input_of_tokens_takes_an_array_of_integers():
    from ecmt_deploy.program.inputs import Inputs, NamedInput

    alone = Inputs((NamedInput("ids", (5,), "tokens", 11),))
    for data in (NAMED["input_ids"], {"ids": NAMED["input_ids"]}, list(NAMED["input_ids"])):
        found = as_samples(data, alone)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, NAMED["input_ids"])


def test_arrays_of_a_file_that_are_not_those_of_the_inputs(tmp_path):
    path = tmp_path / "d.npz"
    for held, message in [
        ({**NAMED, "input_ids": NAMED["input_ids"] + 10, "y": LABELS}, "d.npz: input_ids holds .*; expected 0 to 10"),
        ({"x": PACKED + 2, "y": LABELS}, "d.npz: attention_mask holds .*; expected 0 to 1"),
        ({"input_ids": NAMED["input_ids"], "y": LABELS}, "no array 'attention_mask'; found input_ids, y"),
        (NAMED, "no array 'y'|no array 'labels'"),
    ]:
        np.savez(path, **held)
        with pytest.raises(DataError, match=message):
            ecmt.data.evaluation(f"npz:{path}", preprocessing=None, shape=INPUTS)


@pytest.mark.parametrize("form", ["named", "labels", "split", "packed"])
def test_arrays_of_a_file_are_read(form, tmp_path):
    held = {"packed": {"x": PACKED, "y": LABELS}, "labels": {**NAMED, "labels": LABELS}}.get(form, {**NAMED, "y": LABELS})
    if form == "split":
        held |= {f"{name}_train": part[::-1] for name, part in held.items()}
    np.savez(tmp_path / "d.npz", **held)
    found = ecmt.data.evaluation(f"npz:{tmp_path / 'd.npz'}", preprocessing=None, shape=INPUTS)
    np.testing.assert_array_equal(found.arrays()[0], PACKED)
    assert found.arrays()[1].tolist() == LABELS.tolist()
    assert found.split == ("test" if form == "split" else "all")


def test_streams_refuse_what_is_no_picture():
    model = SpikingModel(MADE["named_inputs", "differential"])
    with pytest.raises(ConfigError, match="^the program takes attention_mask .*, which are no frames; expected a program with"):
        model.stream()
    with pytest.raises(ConfigError, match="which are no frames"):
        ecmt.stream(model, [PACKED[0]], target="reference")


def test_traces_leave_out_what_has_no_error():
    traced = ecmt.trace(SpikingModel(MADE["named_inputs", "differential"]), NAMED, timesteps=2)
    assert not {node.node for node in traced.nodes} & MADE["named_inputs", "differential"].exact
