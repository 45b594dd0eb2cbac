"""Messages: counts with their words, samples by what they are, files of other tools by name."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecmt_deploy as ecmt
from ecmt_deploy.cli.app import VERBS as COMMANDS
from ecmt_deploy.door import batches
from ecmt_deploy.errors import DataError, ProgramError, plural, shown
from ecmt_deploy.program.writer import write
from tests.support.commands import run

WORDS = {"core": "cores", "class": "classes", "batch": "batches", "box": "boxes", "entry": "entries", "array": "arrays"}


@given(st.integers(0, 10**7), st.sampled_from(sorted(WORDS)))
def test_a_number_of_things(number, word):
    said = plural(number, word)
    count, _, what = said.partition(" ")
    assert int(count.replace(",", "")) == number
    assert what == (word if number == 1 else WORDS[word])


@given(st.lists(st.integers(-20, 20), max_size=500))
def test_a_value_of_a_file_is_shown_by_its_beginning(value):
    said = shown(value)
    assert len(said) <= 82
    assert said == str(value) or (said.endswith("..") and str(value).startswith(said[:-2]))


@pytest.mark.parametrize(
    ("shape", "words"),
    [((16,), "vectors (N, 16)"), ((5, 8), "sequences (N, 5, 8)"), ((3, 4, 4), "images (N, 3, 4, 4)"),
     ((2, 3, 4, 4), "samples (N, 2, 3, 4, 4)"), ((), "numbers (N,)")],
)  # fmt: skip
def test_samples_are_called_what_they_are(shape, words):
    with pytest.raises(DataError) as caught:
        list(batches(np.zeros((4, *shape, 7), np.float32), shape))
    assert str(caught.value) == f"input of shape {(4, *shape, 7)}; expected the program's {words}"


def test_samples_of_no_known_shape_are_no_images():
    with pytest.raises(DataError, match="input of shape .*; expected samples, one after the other on the first axis"):
        list(batches(np.zeros(4, np.float32)))


ONES = np.ones(3, np.float32)
LAYERS = {
    "Affine": lambda: nir.Affine(np.ones((3, 3), np.float32), ONES),
    "Linear": lambda: nir.Linear(np.ones((3, 3), np.float32)),
    "LIF": lambda: nir.LIF(ONES, ONES, ONES, ONES),
    "CubaLIF": lambda: nir.CubaLIF(ONES, ONES, ONES, ONES, ONES),
    "IF": lambda: nir.IF(ONES, ONES),
    "Scale": lambda: nir.Scale(ONES),
}
layers = st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=4)


@given(layers, layers)
def test_files_of_other_tools_are_called_so_with_their_nodes(tmp_path_factory, kinds, inner):
    """Whatever standard nodes they hold, also in a graph in the graph, and whatever their metadata say."""
    path = tmp_path_factory.mktemp("foreign") / "g.nir"
    graph = nir.NIRGraph.from_list(*(LAYERS[kind]() for kind in kinds), nir.NIRGraph.from_list(*(LAYERS[k]() for k in inner)))
    nir.write(path, graph)
    with pytest.raises(ProgramError) as caught:
        ecmt.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: a NIR graph of another tool, not a program of ecmt-deploy (")
    for kind in {*kinds, *inner}:
        assert f"{(kinds + inner).count(kind)} {kind}" in message
    assert "\n" not in message


VERBS = {
    "simulate": ("simulate", "g.nir", "--data", "digits", "--target", "torch", "--out", "run"),
    "evaluate": ("evaluate", "g.nir", "--data", "digits"),
    "inspect": ("inspect", "g.nir"),
    "classify": ("classify", "g.nir", "x.png"),
    "quantize": ("quantize", "g.nir", "--out", "q.nir"),
    "trace": ("trace", "g.nir", "--data", "digits"),
    "stream": ("stream", "g.nir", "--video", "made:moving"),
    "sweep": ("sweep", "g.nir", "--hardware", "loihi2", "--out", "sweep", "--timesteps", "1", "--data", "digits"),
    # what takes a run or a model
    "energy": ("energy", "g.nir", "--hardware", "loihi2"),
    "report": ("report", "g.nir", "--out", "r.html"),
    "merge": ("merge", "g.nir", "g.nir", "--out", "whole"),
    "convert": ("convert", "g.nir", "--data", "digits", "--out", "q.nir"),
    "check": ("check", "g.nir"),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_verb_says_so(verb, tmp_path, capsys, monkeypatch):
    nir.write(tmp_path / "g.nir", nir.NIRGraph.from_list(LAYERS["Affine"](), LAYERS["LIF"]()))
    status, _, said = run([*verb], capsys, monkeypatch, tmp_path)
    assert status == 2
    assert "a NIR graph of another tool, not a program of ecmt-deploy (1 Affine, 1 Input, 1 LIF, 1 Output)" in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["g.nir"]


def test_no_verb_that_reads_a_file_is_left_out():
    assert VERBS.keys() == COMMANDS.keys() - {"demo", "hardware"}


@pytest.mark.parametrize("verb", ["energy", "report", "merge", "convert", "check"])
def test_a_program_where_a_run_or_a_model_is_expected_is_called_so(verb, all_programs, tmp_path, capsys, monkeypatch):
    write(all_programs["every node, rate"], tmp_path / "g.nir")
    status, _, said = run([*VERBS[verb]], capsys, monkeypatch, tmp_path)
    assert (status, said.count("\n")) == (2, 1)
    assert "g.nir: is a program, expected a " in said


def test_a_program_that_lost_its_provenance_is_no_foreign_file(all_programs, tmp_path):
    import h5py

    path = tmp_path / "p.nir"
    write(all_programs["transformer, accurate"], path)
    with h5py.File(path, "r+") as file:
        del file["node/metadata"]
    with pytest.raises(ProgramError, match="metadata is missing"):
        ecmt.read(path)
