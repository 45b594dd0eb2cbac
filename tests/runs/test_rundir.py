"""Files of a run are held against one another and against what can be; nothing of a user's is lost."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import nir
import numpy as np
import pytest

import ecmt_deploy as ecmt
from ecmt_deploy.errors import RunError
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.files import sha256
from ecmt_deploy.program import read, write
from ecmt_deploy.report.collect import report_on
from ecmt_deploy.runs import simulate as simulating
from ecmt_deploy.runs.directory import ACTIVITY, OUTPUTS, PROBES, PROGRAM, RECORD, load_run
from ecmt_deploy.runs.merge import merge
from tests.support.commands import run as command
from tests.support.runs import simulated

SAMPLES, STEPS = 5, 2


@pytest.fixture(scope="module")
def place(digits, tmp_path_factory) -> Path:
    """A program, ``run`` with a probe, and ``1`` and ``2``, the shards of one."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copy(digits, folder / "p.nir")
    probe = read(digits).neurons[0]
    simulated(folder / "p.nir", folder / "run", SAMPLES, STEPS, probes=(probe,))
    for i in (1, 2):
        simulated(folder / "p.nir", folder / str(i), SAMPLES, STEPS, "torch", shard=Shard(i, 2))
    return folder


@pytest.fixture
def kept(place, tmp_path) -> Path:
    """A copy of the run, to be spoilt."""
    return Path(shutil.copytree(place / "run", tmp_path / "run"))


def test_a_run_says_what_it_was(place):
    run = load_run(place / "run")
    assert run.outputs().shape == (STEPS, SAMPLES, 10)
    (series,) = run.probes().values()
    assert series.shape[:2] == (SAMPLES, STEPS)
    assert run.record.program_sha256 == sha256(place / "run" / PROGRAM) == sha256(place / "p.nir")


def json(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """An edit of a JSON file."""

    def edit(path: Path) -> None:
        content = msgspec.json.decode((path / name).read_bytes())
        change(content)
        (path / name).write_bytes(msgspec.json.encode(content))

    return edit


def says(**values: Any) -> Callable[[Path], None]:
    """Other words in the record."""
    return json(RECORD, lambda record: record.update(values))


def counts(**values: Any) -> Callable[[Path], None]:
    """Other counts of the first node with synapses that spikes reach."""
    return json(ACTIVITY, lambda activity: spiking(activity).update(values))


def spiking(activity: Any) -> Any:
    return next(counts for counts in activity["nodes"].values() if counts.get("synops"))


def of_another_model(path: Path) -> None:
    program = read(path / PROGRAM)
    provenance = msgspec.structs.replace(program.provenance, model="vit_huge")
    write(dataclasses.replace(program, provenance=provenance), path / PROGRAM)


def probes(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        data = nir.read_data(str(path / PROBES))
        change(data.nodes)
        nir.write_data(str(path / PROBES), data)

    return edit


def louder(nodes: Any) -> None:
    next(iter(nodes.values())).observables["spikes"].data[:] += 1.0


def renamed(nodes: Any) -> None:
    nodes["ghost"] = nodes.pop(next(iter(nodes)))


def shorter(nodes: Any) -> None:
    gridded = next(iter(nodes.values())).observables["spikes"]
    gridded.data = gridded.data[:, :1]


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SHARD = {
    "index": 1,
    "count": 1,
    "total": SAMPLES,
    "samples_sha256": "0",
    "right": [0, 0],
    "agreeing": [0, 0],
    "analog_right": 0,
}
EDITED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "negative counts": (counts(synops=-(10**9)), "synops is -1000000000, expected 0 to"),
    "counts of 2^63": (counts(synops=2**63), "synops is 9223372036854775808"),
    "counts of 10^30": (counts(synops=10**30), "synops is 1000"),
    "counts beyond what the spikes cause": (counts(synops=10**12), "synops is 1,000,000,000,000, expected"),
    "a count that is no integer": (counts(synops=0.5), ACTIVITY),
    "counts of one sample": (json(ACTIVITY, lambda a: a.update(n_samples=1)), "1 sample of 2 steps, but run.json says 5 of 2"),
    "counts of nine steps": (json(ACTIVITY, lambda a: a.update(timesteps=9)), "5 samples of 9 steps, but run.json says 5 of 2"),
    "a node that is not there": (json(ACTIVITY, lambda a: a["nodes"].update(ghost={})), "'ghost', which is not in the program"),
    "no counts of a node": (json(ACTIVITY, lambda a: a["nodes"].pop("head")), "no counts of node head"),
    "no counts": (lambda path: (path / ACTIVITY).unlink(), "missing; the run is incomplete, simulate again"),
    "a record of one sample": (says(n_samples=1), "share of 1 sample "),
    "a record of no samples": (says(n_samples=0), "0 samples of 2 steps"),
    "a record of 10^30 samples": (says(n_samples=10**30), "9223372036854775807"),
    "a record of one step": (says(timesteps=1), "accuracy is"),
    "accuracy above one": (says(accuracy=[0.2, 1.2]), "accuracy is [0.2, 1.2], expected a share of 5 samples for each of 2"),
    "accuracy that is no share": (says(accuracy=[0.2, 0.3]), "accuracy is [0.2, 0.3]"),
    "accuracy of three steps": (says(accuracy=[0.2, 0.2, 0.2]), "for each of 2 steps"),
    "agreement below zero": (says(agreement=[-0.2, 0.2]), "agreement is [-0.2, 0.2]"),
    "agreement with nothing": (says(analog_accuracy=None), "agreement without analog_accuracy"),
    "analog accuracy that is no share": (says(analog_accuracy=0.5), "analog_accuracy is 0.5, expected a share of 5"),
    "a run of negative length": (says(run_seconds=-1.0), "no less than 0"),
    "fixed point without": (says(precision="fixed"), "precision is 'fixed', but the program is a float program"),
    "obstacles of no chip": (says(obstacles=["x"]), "obstacles without hardware"),
    "compared with other samples": (
        says(conformance={"reference_target": "reference", "samples": 3, "spikes_equal": True, "counts_equal": True,
                          "max_abs_logit_difference": 0.0, "differences": []}),
        "conformance is of other samples",
    ),
    "equal and different": (
        says(conformance={"reference_target": "reference", "samples": 5, "spikes_equal": True, "counts_equal": True,
                          "max_abs_logit_difference": 0.0, "differences": ["a.spikes: 1 against 2"]}),
        "contradict counts_equal",
    ),
    "a shard before the first": (says(shard={**SHARD, "index": 0}), "shard 0/1"),
    "a shard with other samples": (says(shard={**SHARD, "count": 2}), "5 samples, but shard 1/2 of 5 has another number"),
    "a shard with other answers": (says(shard=SHARD), "shard.right is not accuracy times samples"),
    "an unknown word": (says(mood="good"), "mood"),
    "words of another type": (says(accuracy="high"), "accuracy"),
    "no record": (lambda path: (path / RECORD).unlink(), "missing; the run is incomplete"),
    "a record that is no text": (lambda path: (path / RECORD).write_bytes(b"\xff\x00"), RECORD),
    "a record without end": (lambda path: (path / RECORD).write_bytes(b"[" * 10**5), RECORD),
    "provenance of another": (
        json(RECORD, lambda record: record["provenance"].update(model="vit_huge")), "provenance is not that of the program",
    ),
    "another program": (of_another_model, "is not the program that ran"),
    "an edited program": (lambda path: (path / PROGRAM).write_bytes((path / PROGRAM).read_bytes() + b"x"), "its digest is"),
    "no program": (lambda path: (path / PROGRAM).unlink(), "program.nir: missing; the run is incomplete"),
    "pipes in place of files": (lambda path: [pipe(path / name) for name in (PROGRAM, OUTPUTS, PROBES)], "is no file; the run"),
    "outputs of a type that is none": (says(dtype="nonsense"), "float64 of shape (2, 5, 10), expected nonsense of shape"),
    "outputs of fewer samples": (
        lambda path: np.save(path / OUTPUTS, np.zeros((STEPS, 1, 10))), "shape (2, 1, 10), expected float64 of shape (2, 5",
    ),
    "outputs of fewer classes": (lambda path: np.save(path / OUTPUTS, np.zeros((STEPS, SAMPLES, 9))), "(2, 5, 9), expected"),
    "outputs of another type": (lambda path: np.save(path / OUTPUTS, np.zeros((STEPS, SAMPLES, 10), int)), "int64 of shape"),
    "outputs that are code": (lambda path: np.save(path / OUTPUTS, np.array([{}]), allow_pickle=True), OUTPUTS),
    "outputs that are none": (lambda path: (path / OUTPUTS).write_bytes(b"not an array"), OUTPUTS),
    "an archive of outputs": (lambda path: np.savez((path / OUTPUTS).open("wb"), x=np.zeros(3)), OUTPUTS),
    "outputs cut short": (lambda path: (path / OUTPUTS).write_bytes((path / OUTPUTS).read_bytes()[:200]), OUTPUTS),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITED)
def test_a_run_that_cannot_be_is_refused_with_one_line(case, kept):
    edit, message = EDITED[case]
    edit(kept)
    with pytest.raises(RunError) as caught:
        load_run(kept)
    assert str(kept) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


PROBED: dict[str, tuple[Callable[[Path], None], str]] = {
    "of another node": (probes(renamed), "ghost is not in the program"),
    "of fewer steps": (probes(shorter), "expected (5, 2, "),
    "that are a pipe": (lambda path: pipe(path / PROBES), "probes.h5: is no file"),
    "with other spikes": (probes(louder), "holds other spikes than the"),
}


@pytest.mark.parametrize("case", PROBED)
def test_probes_that_cannot_be_are_refused(case, kept):
    edit, message = PROBED[case]
    edit(kept)
    with pytest.raises(RunError) as caught:
        report_on(kept)
    assert message in str(caught.value)


def test_a_trace_of_nodes_that_are_not_there_is_refused(place, tmp_path):
    trace = {"n_samples": 1, "timesteps": 1, "coding": "rate", "program_sha256": load_run(place / "run").record.program_sha256,
             "nodes": [{"node": "ghost", "kind": "Linear", "relative_error": [0.0]}]}  # fmt: skip
    (tmp_path / "t.json").write_bytes(msgspec.json.encode(trace))
    with pytest.raises(RunError, match="t.json: measures a node 'ghost', which is not in the program"):
        report_on(place / "run", trace=tmp_path / "t.json")


@pytest.mark.parametrize("verb", ["energy", "report", "merge"])
def test_every_verb_that_reads_a_run_refuses(verb, place, kept, tmp_path, capsys, monkeypatch):
    spoilt, whole = (shutil.copytree(place / name, tmp_path / name) for name in "12")
    for path in (kept, spoilt):
        counts(synops=-1)(path)
    arguments = {
        "energy": ["energy", str(kept), "--hardware", "loihi2", "--out", "e.json"],
        "report": ["report", str(kept), "--hardware", "loihi2", "--out", "r.html"],
        "merge": ["merge", str(spoilt), str(whole), "--out", "m"],
    }[verb]
    before = sorted(path.name for path in tmp_path.iterdir())
    status, _, err = command(arguments, capsys, monkeypatch, tmp_path)
    assert (status, err.count("\n")) == (2, 1)
    assert "synops is -1" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_run_keeps_a_copy_of_its_program(place, tmp_path):
    mine = Path(shutil.copy(place / "p.nir", tmp_path / "mine.nir"))
    simulated(mine, tmp_path / "run", 1, 1, "torch")
    assert not os.path.samefile(mine, tmp_path / "run" / PROGRAM)
    mine.write_bytes(b"something else")
    assert load_run(tmp_path / "run").record.program_sha256 == sha256(place / "p.nir")


def test_a_program_that_changes_meanwhile_is_kept_as_it_ran(place, tmp_path, monkeypatch):
    mine = Path(shutil.copy(place / "p.nir", tmp_path / "mine.nir"))
    real = simulating.simulate

    def slow(*args: Any, **kwargs: Any) -> Any:
        mine.write_bytes(b"converted anew while the other ran")
        return real(*args, **kwargs)

    monkeypatch.setattr(simulating, "simulate", slow)
    simulated(mine, tmp_path / "run", 1, 1, "torch")
    assert load_run(tmp_path / "run").record.program_sha256 == sha256(place / "p.nir")


def test_a_run_is_replaced_only_when_asked_to(place, kept, capsys, monkeypatch):
    arguments = ["simulate", str(place / "p.nir"), "--target", "torch", "--data", "digits", "--limit", "1", "--out", str(kept)]
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    status, _, err = command(arguments, capsys, monkeypatch, kept.parent)
    assert (status, err.count("\n")) == (2, 1)
    assert "holds a run already; choose another --out, or replace it with --overwrite" in err
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert command([*arguments, "--overwrite"], capsys, monkeypatch, kept.parent)[0] == 0
    assert load_run(kept).record.n_samples == 1
    assert [path.name for path in kept.parent.iterdir()] == ["run"]


def test_a_run_that_cannot_be_put_there_leaves_the_old_one(place, kept, monkeypatch):
    real = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == kept and self.name == "made":
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(RunError, match="cannot be written: No space left on device"):
        simulated(place / "p.nir", kept, 1, 1, "torch", overwrite=True)
    assert load_run(kept).record.n_samples == SAMPLES
    assert [path.name for path in kept.parent.iterdir()] == ["run"]


def test_integer_runs_are_read_too(place, tmp_path):
    ecmt.quantize(place / "p.nir", out=tmp_path / "q.nir")
    for name, program in (("a", place / "p.nir"), ("b", tmp_path / "q.nir")):
        simulated(program, tmp_path / name, 1, 2, precision="fixed")
    first, second = (load_run(tmp_path / name) for name in "ab")
    assert first.program.integer
    assert first.activity == second.activity
    np.testing.assert_array_equal(first.outputs(), second.outputs())


def test_a_run_of_an_older_version_is_read(kept):
    """Fields that came later may be missing."""
    record = msgspec.json.decode((kept / RECORD).read_bytes())
    for field in ("hardware", "obstacles", "shard", "build_seconds", "run_seconds", "conformance"):
        del record[field]
    (kept / RECORD).write_bytes(msgspec.json.encode(record))
    assert load_run(kept).record.hardware is None
    (kept / OUTPUTS).unlink()
    assert ecmt.energy(kept, ["loihi2"]), "prices need no outputs"
    with pytest.raises(RunError, match="outputs.npy: missing"):
        load_run(kept).outputs()


def test_merged_runs_are_read_back(place, tmp_path):
    merged = merge([place / "1", place / "2"], tmp_path / "m")
    again = load_run(tmp_path / "m")
    assert (again.record, again.activity) == (merged.record, merged.activity)
