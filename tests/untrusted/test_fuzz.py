"""Damaged files of every format end in one line, or are taken and work; the long campaign is a hundred times as many."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ecmt_deploy.errors import DataError
from tests.fuzz import corpus
from tests.fuzz.campaign import campaign
from tests.fuzz.readers import READERS, groups
from tests.fuzz.worker import attempt, damaged

CASES = {name: 20_000 if name == "program" else 500 for name in READERS}
SHORT = 100


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return corpus.make(tmp_path_factory.mktemp("corpus"))


def attempted(names: list[str], seeds: dict[str, range], made: Path, work: Path) -> None:
    tally = campaign({name: seeds[name] for name in names}, made, work)
    print("\n".join(tally.lines()))
    assert sum(tally.cases.values()) == sum(len(seeds[name]) for name in names)
    said = [f"python -m tests.fuzz {name} --seed {seed} --count 1: {what}" for name, seed, what in tally.findings]
    assert not said, "\n\n".join(said)


@pytest.mark.parametrize("names", groups(), ids="-".join)
def test_damaged_files(names, made, tmp_path):
    attempted(names, {name: range(CASES[name] // SHORT) for name in names}, made, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files(name, made, tmp_path):
    attempted([name], {name: range(CASES[name])}, made, tmp_path)


def test_the_corpus_is_the_same_bytes(made, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1e9)
    again = corpus.make(tmp_path)
    for path in [path.relative_to(again) for path in again.rglob("*") if path.is_file()]:
        assert (made / path).read_bytes() == (again / path).read_bytes(), path


def test_a_case_is_its_seed(made, tmp_path):
    def content(seed: int, place: Path) -> dict[str, bytes]:
        place.mkdir(exist_ok=True)
        case = damaged("run", seed, made, place)
        return {str(path.relative_to(case)): path.read_bytes() for path in case.rglob("*") if path.is_file()}

    for seed in range(5):
        assert content(seed, tmp_path / "a") == content(seed, tmp_path / "b")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (KeyError("x"), ("finding", "KeyError: 'x'")),
        (SystemExit(3), ("finding", "SystemExit: 3")),
        (DataError("one\nline"), ("refused", "DataError")),
    ],
)
def test_what_is_no_refusal_is_found(failure, expected, made, monkeypatch):
    def read(case: Path, corpus: Path) -> None:
        raise failure

    monkeypatch.setitem(READERS, "npz", (read, False))
    outcome, what = attempt("npz", made, made, None)
    assert (outcome, what.strip().splitlines()[-1]) == expected


HANGS = """
import sys
from tests.fuzz import readers, worker
def read(case, corpus):
    if (case / "a.npz").exists() and case.name == "case":
        {}
readers.READERS["npz"] = (read, False)
worker.SECONDS = 0.3
worker.main(*map(worker.Path, sys.argv[1:3]), sys.argv[3:])
"""


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("while True: pass", "the worker ended with status -27"),
        ("import os; os.abort()", "the worker ended with status -6"),
        ("(corpus / 'outside.h5').read_bytes()", "a file outside was opened"),
        ("bytearray(1 << 40)", "MemoryError"),
    ],
)
def test_hangs_crashes_and_what_is_outside_are_found(how, expected, made, tmp_path, monkeypatch):
    import tests.fuzz.campaign as module

    (tmp_path / "worker.py").write_text(HANGS.format(how))
    monkeypatch.setattr(module, "WORKER", [str(tmp_path / "worker.py")])
    tally = campaign({"npz": range(3), "idx": range(2)}, made, tmp_path, tmp_path / "kept")
    assert [(name, seed) for name, seed, _ in tally.findings] == [("npz", 0), ("npz", 1), ("npz", 2)]
    assert all(expected in what for *_, what in tally.findings)
    assert sum(tally.cases.values()) == 5
    assert "--seed 2 --count 1" in (tmp_path / "kept" / "npz-2" / "what.txt").read_text()
    assert (tmp_path / "kept" / "npz-2" / "case" / "a.npz").is_file()
