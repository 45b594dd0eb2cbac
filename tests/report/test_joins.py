"""Reports that join a run with an evaluation and a trace: of the same program, named or found, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ecmt_deploy as ecmt
from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.program import write
from ecmt_deploy.report.collect import report_on
from ecmt_deploy.testing.handmade import images

STEPS = 3


@pytest.fixture(scope="module")
def folder(all_programs, tmp_path_factory) -> Path:
    """A run, an evaluation and a trace of one program, and an evaluation and a run of another."""
    place = tmp_path_factory.mktemp("joined")
    x = images(6).astype(np.float32)
    np.savez(place / "x.npz", x=x, y=np.zeros(6, np.int64))
    data = f"npz:{place / 'x.npz'}"
    for name, key in (("mine", "transformer, accurate"), ("other", "transformer, paper")):
        (place / name).mkdir()
        program = place / name / "p.nir"
        write(all_programs[key], program)
        ecmt.simulate(program, data, timesteps=2, limit=4, out=place / name / "run")
        ecmt.evaluate(program, data, STEPS, out=place / name / "eval.json")
    ecmt.trace(place / "mine" / "p.nir", data, STEPS, out=place / "mine" / "trace.json")
    (place / "mine" / "more.json").write_text("[1, 2]")
    return place


@pytest.fixture
def mine(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder / "mine", tmp_path / "mine"))


def test_a_folder_a_path_and_an_object_join_the_same(mine):
    joined = report_on(mine, ["loihi2"])
    evaluation, trace = mine / "eval.json", mine / "trace.json"
    assert report_on(mine / "run", ["loihi2"], evaluation=evaluation, trace=trace) == joined
    found = ecmt.evaluate(mine / "p.nir", joined.curve.data, STEPS)
    assert report_on(mine / "run", ["loihi2"], evaluation=found, trace=trace) == joined
    assert (joined.curve.n_samples, joined.record.n_samples, len(joined.curve.accuracy)) == (6, 4, STEPS)
    assert joined.curve.accuracy == list(found.accuracy)
    assert joined.trace is not None
    alone = report_on(mine / "run", ["loihi2"])
    assert alone.trace is None
    assert (alone.curve.n_samples, alone.curve.accuracy) == (4, alone.record.accuracy)


def test_an_evaluation_in_memory_is_taken_where_its_counts_fit(folder, mine):
    x, y = images(6).astype(np.float32), np.zeros(6, np.int64)
    measured = ecmt.evaluate(mine / "p.nir", [(x, y)], STEPS)
    assert measured.program_sha256 is None
    assert report_on(mine / "run", ["loihi2"], evaluation=measured).curve.n_samples == 6
    activity = json.loads((mine / "eval.json").read_text())["activity"]
    activity["nodes"]["elsewhere"] = activity["nodes"].pop(next(iter(activity["nodes"])))
    (mine / "wrong.json").write_text(json.dumps({**json.loads((mine / "eval.json").read_text()), "activity": activity}))
    with pytest.raises(RunError, match=r"wrong\.json"):
        report_on(mine / "run", ["loihi2"], evaluation=mine / "wrong.json")


def test_what_is_of_another_program_is_refused(folder, mine):
    other = folder / "other" / "eval.json"
    with pytest.raises(RunError, match=r"an evaluation of another program than that of .*run; evaluate .*run/program\.nir"):
        report_on(mine / "run", ["loihi2"], evaluation=other)
    shutil.copy(other, mine / "other.json")
    assert report_on(mine, ["loihi2"]).curve.n_samples == 6, "the one that fits is found"
    (mine / "eval.json").unlink()
    with pytest.raises(RunError, match=r"none of its evaluations \(other\.json\) of the program of"):
        report_on(mine, ["loihi2"])
    unnamed = {**json.loads(other.read_text()), "program_sha256": None}
    other_file = mine / "other.json"
    other_file.write_text(json.dumps(unnamed))
    with pytest.raises(RunError, match="of an unnamed program"):
        report_on(mine / "run", ["loihi2"], evaluation=other_file)


def test_a_choice_is_never_guessed(folder, mine):
    shutil.copy(mine / "trace.json", mine / "again.json")
    with pytest.raises(RunError, match=r"several of its traces \(again\.json, trace\.json\).*name it with --trace"):
        report_on(mine, ["loihi2"])
    assert report_on(mine, ["loihi2"], trace=mine / "again.json").trace is not None, "what is named is taken"
    shutil.copytree(mine / "run", mine / "run2")
    with pytest.raises(RunError, match="found run, run2; name the run"):
        report_on(mine, ["loihi2"])
    with pytest.raises(RunError, match="found none; name the run"):
        report_on(folder, ["loihi2"])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"n_samples": 1}', b"[]", b'"text"', b"null", b"1e400"])
def test_bad_files_are_a_line(mine, content):
    for option in ("evaluation", "trace"):
        (mine / "bad.json").write_bytes(content)
        with pytest.raises(RunError, match=r"bad\.json: [^\n]*$"):
            report_on(mine / "run", ["loihi2"], **{option: mine / "bad.json"})
        with pytest.raises(RunError, match="no such file"):
            report_on(mine / "run", ["loihi2"], **{option: mine / "absent.json"})
        with pytest.raises(RunError, match="no such file"):
            report_on(mine / "run", ["loihi2"], **{option: mine})


@pytest.mark.parametrize(
    "change",
    [
        {"n_samples": 0},
        {"n_samples": 7},
        {"timesteps": STEPS + 1},
        {"accuracy": [0.5]},
        {"accuracy": [2.0] * STEPS},
        {"agreement": [-0.5] * STEPS},
        {"analog_accuracy": 1.5},
        {"integers": "loihi2, 8 bits"},
    ],
)
def test_evaluations_that_cannot_be_are_refused(mine, change):
    read = json.loads((mine / "eval.json").read_text())
    (mine / "eval.json").write_text(json.dumps({**read, **change}))
    with pytest.raises(RunError, match=r"eval\.json: [^\n]*$"):
        report_on(mine / "run", ["loihi2"], evaluation=mine / "eval.json")


def test_several_runs_have_no_evaluation(mine, tmp_path):
    shutil.copytree(mine / "run", mine / "run2")
    for option in ("evaluation", "trace"):
        with pytest.raises(ConfigError, match=f"--{option}: belongs to one run, and 2 are given"):
            ecmt.report([mine / "run", mine / "run2"], tmp_path / "r.html", ["loihi2"], **{option: mine / "eval.json"})
    with pytest.raises(ConfigError, match="eval"):
        ecmt.report([mine / "run"], mine / "eval.json", evaluation=mine / "eval.json")
    assert not (tmp_path / "r.html").exists()


def test_figures_are_every_chart_of_the_page(mine, tmp_path):
    ecmt.report(mine, tmp_path / "r.html", ["loihi2"], figures=tmp_path / "figures")
    page = (tmp_path / "r.html").read_text()
    made = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert made == {part.partition('"')[0] for part in page.split('<figure id="')[1:]}
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg", ".png", ".pdf", ".csv"}


def test_the_width_of_figures_is_refused_before_anything_is_made(mine, tmp_path):
    for asked, said in (
        ({"figures_width_in": 7.0}, "none are written; add --figures DIR"),
        ({"figures_width_in": 0.0, "figures": tmp_path / "figures"}, "expected 2.5 to 20 inches"),
    ):
        with pytest.raises(ConfigError, match=said):
            ecmt.report(mine, tmp_path / "page.html", ["loihi2"], **asked)
    assert not (tmp_path / "page.html").exists()
    assert not (tmp_path / "figures").exists()
