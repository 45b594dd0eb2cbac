"""Program files: bit-identical round trips, and nothing hostile gets through."""

import itertools

import h5py
import msgspec
import nir
import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program import DIALECT_VERSION, Program, Provenance, read, write
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.testing.handmade import images, neuron, program


def test_a_round_trip_is_bit_identical(program: Program, tmp_path):
    write(program, tmp_path / "a.nir")
    back = read(tmp_path / "a.nir")
    assert back.provenance == program.provenance
    assert list(back.nodes) == list(program.nodes)
    assert back.operands == program.operands
    for name, node in program.nodes.items():
        assert type(back.nodes[name]) is type(node)
        for mine, theirs in zip(parameters(node), parameters(back.nodes[name]), strict=True):
            assert mine.dtype == theirs.dtype
            assert mine.shape == theirs.shape
            assert mine.tobytes() == theirs.tobytes()
    write(back, tmp_path / "b.nir")
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()


def test_a_loaded_model_gives_bit_identical_outputs(program: Program, tmp_path):
    model, x = SpikingModel(program), torch.from_numpy(images(3))
    model.save(tmp_path / "a.nir")
    assert torch.equal(load(tmp_path / "a.nir")(x, 3), model(x, 3))


def test_stock_nir_refuses_the_dialect_loudly(program: Program, tmp_path):
    write(program, tmp_path / "a.nir")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever NIR raises, it must not read something else
        nir.read(tmp_path / "a.nir")


def node(file, name):
    return file[f"node/nodes/{name}"]


def replace(group, field, value, **options):
    del group[field]
    group.create_dataset(field, data=value, **options)


def unknown_type(f):
    replace(node(f, "act"), "type", "Mystery")


def nan_thresholds(f):
    base = node(f, "gate.neuron")["positive_base"]
    base[...] = np.nan


def negative_base(f):
    node(f, "gate.neuron")["negative_base"][...] = -1.0


def dangling_operand(f):
    replace(node(f, "norm"), "operands", np.array(["nowhere"], dtype=object), dtype=h5py.string_dtype())


def dangling_edge(f):
    edges = f["node/edges"]
    edges[0] = ["ghost", "norm"]


def cycle(f):
    edges = [(a.decode(), b.decode()) for a, b in f["node/edges"][()]]
    edges = [("add", "encode") if edge == ("input", "encode") else edge for edge in edges]
    replace(f["node"], "edges", np.array(edges, dtype=object), dtype=h5py.string_dtype())


def external_link(f):
    del node(f, "qk")["weight"]
    node(f, "qk")["weight"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(f):
    del node(f, "qk")["weight"]
    node(f, "qk")["weight"] = h5py.SoftLink("/node/nodes/head/weight")


def external_storage(f):
    del node(f, "head")["weight"]
    node(f, "head").create_dataset("weight", shape=(3, 2), dtype="f8", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual_dataset(f):
    layout = h5py.VirtualLayout(shape=(3, 2), dtype="f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(3, 2))
    del node(f, "head")["weight"]
    node(f, "head").create_virtual_dataset("weight", layout)


def declared_but_not_stored(f):
    del node(f, "head")["weight"]
    node(f, "head").create_dataset("weight", shape=(1 << 20, 1 << 18), dtype="f8", chunks=(1024, 1024))


def wrong_dtype(f):
    replace(node(f, "head"), "weight", np.ones((3, 2), np.int32))


def text_for_number(f):
    replace(node(f, "gate.neuron"), "levels", "six")


def missing_field(f):
    del node(f, "head")["weight"]


def unknown_field(f):
    node(f, "head").create_dataset("bias", data=np.zeros(3))


def unknown_word(f):
    replace(node(f, "softmax"), "coding", "spikes")


def infinite_weight(f):
    node(f, "head")["weight"][0, 0] = np.inf


def wrong_shape(f):
    replace(node(f, "head"), "weight", np.ones((3, 7)))


def same_bytes_twice(f):
    big = node(f, "qk").create_dataset("payload", data=np.ones((400, 400)))
    for name in ("head", "qk"):
        del node(f, name)["weight"]
        node(f, name)["weight"] = big
    del node(f, "qk")["payload"]


def broken_provenance(f):
    replace(f["node/metadata"], "ecmt_deploy", f'{{"dialect_version": {DIALECT_VERSION}}}')


def other_version(f):
    replace(f["node/metadata"], "ecmt_deploy", '{"dialect_version": 99}')


def names_for_other_outputs(f):
    replace(f["node/metadata"], "ecmt_deploy", said(class_names=["a", "b"]))


def preprocessing_for_other_inputs(f):
    made = {"input_size": [3, 4, 4], "mean": [0, 0, 0], "std": [1, 1, 1]}
    replace(f["node/metadata"], "ecmt_deploy", said(preprocessing=made))


def said(**fields) -> str:
    return msgspec.json.encode({"tool_version": "0", "dialect_version": DIALECT_VERSION, **fields}).decode()


def group_for_dataset(f):
    del node(f, "head")["weight"]
    node(f, "head").create_group("weight")


def no_levels(f):
    replace(node(f, "gate.neuron"), "lowest_level", np.zeros(0, np.int8))


def payloads_too_wide(f):
    node(f, "line.neuron")["payload_bits"][...] = 17


def graded_base_of_zero(f):
    node(f, "line.neuron")["base"][1] = 0.0


def no_smallest_payload(f):
    node(f, "line.neuron")["least"][2] = 0


def beyond_silence(f):
    node(f, "line.neuron")["least"][2] = 33


def payloads_without_base(f):
    del node(f, "line.neuron")["base"]


def payloads_of_floats(f):
    replace(node(f, "line.neuron"), "least", np.ones((4, 1)))


def membranes_of_others(f):
    replace(node(f, "line.neuron"), "initial_membrane", np.zeros(8))


def levels_of_payloads(f):
    node(f, "line.neuron")["levels"] = 5


def no_nodes(f):
    del f["node/nodes"]


HOSTILE = {
    unknown_type: "unknown type 'Mystery'",
    nan_thresholds: "gate.neuron .*positive_base",
    negative_base: "gate.neuron .*negative_base",
    dangling_operand: "norm: .*'nowhere'.*dangling",
    dangling_edge: "ghost.*dangling",
    cycle: "cycle through",
    external_link: "qk/weight is an external link",
    soft_link: "qk/weight is a soft link",
    external_storage: "head/weight lies outside the file",
    virtual_dataset: "head/weight lies outside the file",
    declared_but_not_stored: "head/weight declares shape",
    wrong_dtype: "head .*weight has dtype int32, expected floating point",
    text_for_number: "gate.neuron .*levels has dtype",
    missing_field: "head .*weight is missing",
    unknown_field: "head \\(Linear\\): unknown field 'bias'",
    unknown_word: "softmax .*coding is 'spikes'",
    infinite_weight: "head .*weight is not finite",
    wrong_shape: "head .*last axis differs",
    same_bytes_twice: "weight stores the same bytes again",
    broken_provenance: "provenance: .*tool_version",
    other_version: "dialect version is 99",
    names_for_other_outputs: "class_names has 2 names for 3 outputs",
    preprocessing_for_other_inputs: r"preprocessing makes samples \(3, 4, 4\), the program takes \(2, 4, 4\)",
    group_for_dataset: "head .*weight is a group",
    no_levels: "gate.neuron .*lowest_level is empty",
    payloads_too_wide: "line.neuron .*payload_bits is 17, expected 2 to 16",
    graded_base_of_zero: "line.neuron .*base is NaN, not positive, too small or too large",
    no_smallest_payload: "line.neuron .*least is out of range, expected integers of 1 to 32",
    beyond_silence: "line.neuron .*least is out of range, expected integers of 1 to 32",
    payloads_without_base: "line.neuron .*base is missing",
    payloads_of_floats: "line.neuron .*least has dtype float64",
    membranes_of_others: r"line.neuron .*initial_membrane of shape \(8,\) on \(4, 9\)",
    levels_of_payloads: r"line.neuron \(Graded\): unknown field 'levels'",
    no_nodes: "nodes is missing",
}


def test_what_a_file_does_not_say_of_its_origin_is_unknown(all_programs, tmp_path):
    """Files of earlier versions have fewer fields."""
    write(all_programs["every node, differential"], tmp_path / "a.nir")
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        replace(file["node/metadata"], "ecmt_deploy", said())
    assert read(tmp_path / "a.nir").provenance == Provenance(tool_version="0")


@pytest.mark.parametrize("damage", HOSTILE, ids=lambda f: f.__name__)
def test_hostile_files_are_refused_in_one_line(damage, all_programs, tmp_path):
    path = tmp_path / "a.nir"
    write(all_programs["every node, differential"], path)
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(ProgramError, match=HOSTILE[damage]) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_not_a_file_at_all(tmp_path):
    with pytest.raises(ProgramError, match="no such file"):
        read(tmp_path / "none.nir")
    (tmp_path / "text.nir").write_text("hello")
    with pytest.raises(ProgramError, match="not a readable program"):
        read(tmp_path / "text.nir")


def test_writing_where_nothing_can_be_written_leaves_nothing(all_programs, tmp_path):
    with pytest.raises(ProgramError, match="cannot be written"):
        write(all_programs["every node, rate"], tmp_path / "none" / "a.nir")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_file(all_programs, tmp_path, monkeypatch):
    path = tmp_path / "a.nir"
    write(all_programs["every node, rate"], path)
    before = path.read_bytes()
    real, calls = h5py.h5d.create, itertools.count()

    def create(*arguments):
        if next(calls) == 10:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(h5py.h5d, "create", create)
    with pytest.raises(MemoryError):
        write(all_programs["every node, differential"], path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.nir"]


def test_infinities_may_enter_only_an_ecm():
    from ecmt_deploy.program import ops

    nodes = {
        "input": nir.Input(input_type={"input": np.array([3])}),
        "mask": ops.Constant(np.array([0.0, -np.inf, 0.0]), "first"),
        "sum": ops.Add(("input", "mask")),
        "neuron": neuron(),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([3])}),
    }
    edges = [("input", "sum"), ("mask", "sum"), ("sum", "neuron"), ("neuron", "readout"), ("readout", "output")]
    with pytest.raises(ProgramError, match="node neuron .*an infinity reaches it"):
        program(nodes, edges)
