"""Labels find their output by the name of the class: which datasets match which programs, and what is refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import msgspec
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import ImageNetInfo
from torch import nn

import ecmt_deploy as ecmt
from ecmt_deploy import data, models
from ecmt_deploy.errors import DataError, EcmtError, RunError
from ecmt_deploy.evaluation.jobs import EvaluateJob, evaluate_file, evaluate_shard
from ecmt_deploy.evaluation.samples import evaluation_data
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.program import CalibrationRecord, Program, Provenance, ops, verify, write
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.runs.merge import merge
from ecmt_deploy.runs.simulate import SimulateJob, simulate_file
from ecmt_deploy.testing.handmade import cell
from ecmt_deploy.verbs.convert import output_names
from ecmt_deploy.verbs.runs import sweep

ANIMALS = ("cat", "dog", "emu", "fox", "gnu", "hen", "jay", "koi", "owl", "yak")
GREY4 = Preprocessing(input_size=(1, 4, 4), mean=(0.0,), std=(1.0,), interpolation="nearest")
IMAGENET = ImageNetInfo("imagenet-1k")


def brightest(names: tuple[str, ...] | None, ids: tuple[str, ...] | None = None, outputs: int = 10, **known) -> Program:
    """A program that answers an image with the number of its brightest pixel."""
    nodes = {
        "input": nir.Input(input_type={"input": np.array([1, 4, 4])}),
        "flat": ops.Reshape(np.array([16])),
        "pixels": nir.Linear(np.eye(outputs, 16)),
        "neuron": cell(),
        "head": nir.Linear(np.eye(outputs)),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([outputs])}),
    }
    known = {"preprocessing": GREY4, "config": {"timesteps": 2}, **known}
    provenance = Provenance(tool_version="test", class_names=names, class_ids=ids, **known)
    return verify(nodes, list(zip(list(nodes), list(nodes)[1:], strict=False)), provenance)


def pictures(root: Path, classes: dict[str, int], each: int = 2) -> str:
    """``folder:`` of images whose brightest pixel is the given one."""
    for name, pixel in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(each):
            image = np.full(16, i, np.uint8)
            image[pixel] = 255
            Image.fromarray(image.reshape(4, 4)).save(root / name / f"{i}.png")
    return f"folder:{root}"


def refused(call, *expected: str) -> None:
    with pytest.raises(DataError) as error:
        call()
    assert "\n" not in str(error.value)
    for part in expected:
        assert part in str(error.value)


# --- which names are one class ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "names", "ids", "positions"),
    [
        (("yak", "cat"), ANIMALS, None, [9, 0]),
        (("Cat ", "YAK"), ANIMALS, None, [0, 9]),
        (("cat", "Cat"), ("Cat", "cat"), None, [1, 0]),
        (("CAT",), ("Cat", "cat"), None, [None]),
        (("zebra", "cats", "", "ca"), ANIMALS, None, [None] * 4),
        (("great_grey owl", "t shirt"), ("Great Grey Owl", "T-shirt"), None, [0, 1]),
        (("caf\u0065\u0301",), ("caf\u00e9",), None, [0]),
        (("1", "-1", "A-"), ("-1", "0", "A"), None, [None, 0, None]),
        (("C", "C#"), ("C", "C++", "C#"), None, [0, 2]),
        (("3", "7"), tuple("0123456789"), None, [3, 7]),
        (("03",), tuple("0123456789"), None, [None]),
        (("n2", "n1", "tench"), ("tench, Tinca tinca", "goldfish"), ("n1", "n2"), [1, 0, 0]),
        (("Tinca tinca",), ("tench, Tinca tinca", "goldfish"), None, [0]),
        (("cat, kitten",), ("dog", "cat"), None, [1]),
        (("cat, dog",), ("dog", "cat"), None, [None]),
        (("crane", "kite"), ("crane", "kite", "crane"), None, [None, 1]),
        (("crane", "kite", "crane"), ("crane", "kite", "crane"), None, [0, 1, 2]),
        (("n02102040",), tuple(IMAGENET.label_descriptions()), tuple(IMAGENET.label_names()), [217]),
        (("n02102040", "goldfish"), tuple(IMAGENET.label_descriptions()), None, [217, 1]),
        (("goldfish", "crane", "English springer"), tuple(IMAGENET.label_descriptions()), None, [1, None, 217]),
        (tuple(IMAGENET.label_descriptions()), tuple(IMAGENET.label_descriptions()), None, list(range(1000))),
        (tuple(IMAGENET.label_names()), tuple(IMAGENET.label_descriptions()), None, list(range(1000))),
    ],
)
def test_names_of_one_class(found, names, ids, positions):
    assert data.match(found, names, ids) == positions


@settings(max_examples=30)
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=8, unique=True), st.randoms(use_true_random=False))
def test_names_that_are_the_same_match_in_any_order(names, random):
    order = random.sample(range(len(names)), random.randint(1, len(names)))
    assert data.match([names[i] for i in order], names) == order


# --- datasets against programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [ANIMALS, ("yak", "cat", "jay"), ("hen",), ("Yak", "FOX")])
def test_some_of_the_classes_are_judged_by_name(tmp_path, chosen):
    spec = pictures(tmp_path / "some", {name: ANIMALS.index(name.lower()) for name in chosen})
    write(brightest(ANIMALS), tmp_path / "p.nir")
    result = evaluate_file(EvaluateJob(program=tmp_path / "p.nir", data=spec))
    assert (result.analog_accuracy, result.accuracy[-1], result.n_samples) == (1.0, 1.0, 2 * len(chosen))
    dataset = evaluation_data(brightest(ANIMALS), spec, None)
    assert {ANIMALS[label] for label in dataset.labels} == {name.lower() for name in chosen}
    assert dataset.sample(1).labels[0] in dataset.labels


def test_position_is_for_those_who_know(tmp_path):
    program = brightest(ANIMALS)
    spec = pictures(tmp_path / "numbers", {str(i): i for i in range(10)})
    refused(lambda: evaluation_data(program, spec, None), "called 0, 1, 2", "cat, dog", "(10 in all)", "--labels position")
    assert evaluation_data(program, spec, None, "position").labels.tolist() == [i for i in range(10) for _ in range(2)]
    refused(lambda: evaluation_data(program, spec, None, "both"), "expected name or position")
    more = pictures(tmp_path / "more", {str(i): i for i in range(12)})
    refused(lambda: evaluation_data(program, more, None), "called 0, 1, 2")
    refused(lambda: evaluation_data(program, more, None, "position"), "label 11 found, but the model has 10 outputs")


def test_sets_that_do_not_match_are_refused_with_both_lists(tmp_path):
    strange = pictures(tmp_path / "strange", {"cat": 0, "zebra": 1})
    refused(lambda: evaluation_data(brightest(ANIMALS), strange, None), "called zebra (data: cat, zebra; program: cat,")
    twice = pictures(tmp_path / "twice", {"cat": 0, "Cat": 0, "dog": 1})
    refused(lambda: evaluation_data(brightest(ANIMALS), twice, None), "one class of the program: Cat, cat")


def test_only_classes_with_samples_matter(tmp_path):
    pictures(tmp_path / "d" / "train", {"cat": 0, "ant": 1, "dog": 1})
    spec = pictures(tmp_path / "d" / "val", {"cat": 0, "dog": 1}).removesuffix("/val")
    assert evaluation_data(brightest(("dog", "cat"), outputs=2), spec, None).labels.tolist() == [1, 1, 0, 0]


def test_without_names_as_many_classes_as_outputs_are_those(tmp_path, monkeypatch):
    whole = pictures(tmp_path / "whole", {name: i for i, name in enumerate(ANIMALS)})
    some = pictures(tmp_path / "some", {"yak": 9, "cat": 0, "jay": 6})
    nameless = brightest(None)
    assert evaluation_data(nameless, whole, None).labels.tolist() == [i for i in range(10) for _ in range(2)]
    refused(lambda: evaluation_data(nameless, some, None), "its 3 classes are (cat, jay, yak)", "10 outputs without names")
    assert set(evaluation_data(nameless, some, None, "position").labels.tolist()) == {0, 1, 2}
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 1, 4, 4), np.float32), y=np.array([3, 9]))
    for program in (nameless, brightest(ANIMALS)):  # data without names counts outputs
        assert evaluation_data(program, f"npz:{tmp_path / 'a.npz'}", None).labels.tolist() == [3, 9]
    np.savez(tmp_path / "b.npz", x=np.zeros((1, 1, 4, 4), np.float32), y=np.array([10]))
    refused(lambda: evaluation_data(nameless, f"npz:{tmp_path / 'b.npz'}", None), "label 10 found")


def test_synsets_and_words_of_imagenet_are_the_same_classes(tmp_path):
    synsets = pictures(tmp_path / "synsets", {"n01440764": 0, "n02102040": 1})
    words = pictures(tmp_path / "words", {"tench": 0, "English springer": 1})
    for program in (
        brightest(tuple(IMAGENET.label_descriptions()), tuple(IMAGENET.label_names()), 1000),
        brightest(tuple(IMAGENET.label_descriptions()), None, 1000),  # as versions before wrote it
        brightest(None, None, 1000),
    ):
        assert set(evaluation_data(program, synsets, None).labels.tolist()) == {0, 217}
        if program.provenance.class_names:
            assert set(evaluation_data(program, words, None).labels.tolist()) == {0, 217}


def test_labels_that_data_does_not_name_are_refused():
    source = data.source.ArraySource("d", "test", np.zeros((3, 1, 4, 4)), np.array([0, 1, 5]), ("cat", "", "emu"))
    dataset = data.dataset.whole(source)
    refused(lambda: data.classes.matched(dataset, 10, ANIMALS), "called label 1, label 5")
    unlabelled = data.dataset.whole(data.source.ArraySource("d", "test", np.zeros((1, 1, 4, 4)), np.array([-1]), ("cat",)))
    refused(lambda: data.classes.matched(unlabelled, 10, ANIMALS), "label -1 found")


def test_the_hold_out_is_found_whatever_labels_count(tmp_path):
    """Its fingerprint is over the dataset's own labels, so names that are matched do not hide it."""
    spec = pictures(tmp_path / "d", {"yak": 9, "cat": 0, "jay": 6}, each=4)
    drawn = data.calibration(spec, preprocessing=GREY4, n_samples=5)
    assert drawn.class_names == ("cat", "jay", "yak")
    program = brightest(ANIMALS, calibration=drawn.record)
    for labels in ("name", "position"):
        rest = evaluation_data(program, spec, None, labels)
        assert sorted([*rest.indices, *drawn.record.holdout]) == list(range(12))


def test_data_that_goes_by_the_name_of_given_samples_is_told(tmp_path, caplog):
    spec = pictures(tmp_path / "d", {"cat": 0, "dog": 1})
    program = brightest(("cat", "dog"), outputs=2, calibration=CalibrationRecord(spec, "given", None, (0, 1), (), "0" * 64))
    with caplog.at_level(logging.WARNING):
        assert len(evaluation_data(program, spec, None)) == 4
    assert "they are not left out" in caplog.text


@pytest.mark.parametrize(
    ("own", "key", "found", "kept"),
    [
        (None, None, ("b", "a", "c"), ("b", "a", "c")),
        (None, "model", ("b", "a", "c"), ("b", "a", "c")),
        (None, None, ("a", "b"), None),  # which of the three outputs these are, nobody knows
        (None, None, None, None),
        (("a", "b", "c"), None, ("x", "y", "z"), ("a", "b", "c")),  # calibration needs no labels, so other images will do
        (("a", "b", "c"), "model", ("C", "b", "a"), ("a", "b", "c")),
        (
            ("a", "b", "c"),
            "model",
            ("x", "y", "z"),
            ("x", "y", "z"),
        ),  # the architecture's names, weights fine-tuned on other data
        (("a", "b", "c"), "", ("x", "b"), ("a", "b", "c")),
    ],
)
def test_outputs_are_named_by_the_model_or_else_by_its_calibration_data(caplog, own, key, found, kept):
    model = models.Model(nn.Identity(), "m", "0" * 64, GREY4, own, 3, class_ids=own and ("n1", "n2", "n3"), weights_key=key)
    ids = ("n1", "n2", "n3") if kept and kept == own else None
    assert output_names(model, "folder:d", found) == (kept, ids)
    assert ("stay without names" in caplog.text) == (kept is None and found is not None)


# --- verbs -----------------------------------------------------------------------------------------------------------


def test_every_verb_takes_labels_by_name_and_keeps_the_ways_apart(tmp_path):
    write(brightest(ANIMALS), tmp_path / "p.nir")
    spec = pictures(tmp_path / "some", {"yak": 9, "cat": 0, "jay": 6})
    path = tmp_path / "p.nir"
    for labels, accuracy in (("name", 1.0), ("position", 1 / 3)):
        simulate_file(SimulateJob(program=path, target="reference", data=spec, out=tmp_path / labels, labels=labels))
        record = msgspec.json.decode((tmp_path / labels / "run.json").read_bytes())
        assert (record["accuracy"][-1], record["labels"]) == (accuracy, labels)
    assert ecmt.trace(path, spec, labels="position").n_samples == 6
    best = ecmt.classify(path, [tmp_path / "some" / "jay" / "0.png"])
    assert best[0][-1][0][0] == "jay"

    for i, labels in ((1, "name"), (2, "position")):
        shard = {"program": path, "data": spec, "shard": Shard(i, 2), "labels": labels}
        simulate_file(SimulateJob(**shard, target="reference", out=tmp_path / f"part_{i}"))
        evaluate_shard(EvaluateJob(**shard, checkpoint=tmp_path / f"check_{i}"))
    with pytest.raises(RunError, match="matching of labels position, not name"):
        merge([tmp_path / "part_1", tmp_path / "part_2"], tmp_path / "whole")
    with pytest.raises(RunError, match="of another job than .*: samples "):
        merge([tmp_path / "check_1", tmp_path / "check_2"], tmp_path / "whole.json")
    with pytest.raises(EcmtError, match="of another evaluation"):
        evaluate_shard(EvaluateJob(**{**shard, "shard": Shard(1, 2)}, checkpoint=tmp_path / "check_1"))


def test_a_sweep_goes_on_with_the_labels_it_began_with(tmp_path):
    write(brightest(ANIMALS), tmp_path / "p.nir")
    spec = pictures(tmp_path / "some", {"yak": 9, "cat": 0, "jay": 6})
    arguments = [tmp_path / "p.nir"], ["loihi2"], [1], tmp_path / "out", spec
    first = sweep(*arguments)
    assert first.entries[0].report.record.accuracy == [1.0]
    with pytest.raises(RunError, match="another matching of labels"):
        sweep(*arguments, labels="position")
    record = tmp_path / "out" / "p" / "T1" / "run.json"
    before = msgspec.json.decode(record.read_bytes())
    del before["labels"]  # a run from before runs said so
    record.write_bytes(msgspec.json.encode(before))
    with pytest.raises(RunError, match=r"matching of labels \(unknown, not name\)"):
        sweep(*arguments)
    shutil.rmtree(tmp_path / "out")
    assert sweep(*arguments, labels="position").entries[0].report.record.accuracy == [1 / 3]
