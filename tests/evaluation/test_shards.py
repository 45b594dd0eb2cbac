"""Shards of a run add up to the run, and nothing else is added."""

import shutil

import msgspec
import numpy as np
import pytest

from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.evaluation.shards import merge_runs, parse_shard
from ecmt_deploy.program import read
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.runs.directory import ACTIVITY, OUTPUTS, PROBES, PROGRAM, RECORD, RunRecord, load_run
from ecmt_deploy.runs.pipeline import simulate_file

TIMES = {"build_seconds": None, "run_seconds": None}


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory):
    """A whole run of 7 samples on the reference, and its 3 shards."""
    folder = tmp_path_factory.mktemp("shards")
    program = shutil.copy(digits, folder / "p.nir")
    probe = f"{read(digits).neurons[0]}:membrane"
    simulate_file(program, "reference", "digits", folder / "whole", limit=7, timesteps=2, probes=[probe])
    for i in (1, 2, 3):
        simulate_file(program, "reference", "digits", folder / f"{i}", limit=7, timesteps=2, shard=f"{i}/3", probes=[probe])
    return folder


def test_merged_equals_unsharded(runs):
    merged = merge_runs([runs / "3", runs / "1", runs / "2"], runs / "merged")
    whole, read = load_run(runs / "whole"), load_run(runs / "merged")
    assert read.record == merged.record
    assert msgspec.structs.replace(merged.record, **TIMES) == msgspec.structs.replace(whole.record, **TIMES)
    assert read.activity == whole.activity
    np.testing.assert_array_equal(read.outputs(), whole.outputs())
    mine, theirs = read.probes(), whole.probes()
    assert mine.keys() == theirs.keys() != set()
    for probe, series in theirs.items():
        np.testing.assert_array_equal(mine[probe], series)


def test_a_run_that_is_there_is_replaced_only_when_asked_to(runs, tmp_path):
    merge_runs([runs / "3", runs / "1", runs / "2"], tmp_path / "merged")
    with pytest.raises(RunError, match="merged: holds a run already; .* --overwrite"):
        merge_runs([runs / "3", runs / "1", runs / "2"], tmp_path / "merged")
    merge_runs([runs / "3", runs / "1", runs / "2"], tmp_path / "merged", overwrite=True)


def test_shards_take_every_nth_sample(runs):
    whole, part = load_run(runs / "whole"), load_run(runs / "2")
    np.testing.assert_array_equal(part.outputs(), whole.outputs()[:, 1::3])
    assert part.record.n_samples == part.activity.n_samples == 2


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        (["1", "2"], "incomplete without shard 3/3"),
        (["1", "2", "2"], "shard 2/3 is there twice"),
        (["1", "whole", "2"], "whole: is no shard"),
        ([], "no run is named"),
        (["1", "nowhere"], "no such run directory"),
    ],
)
def test_what_is_no_whole_is_refused(runs, shards, message):
    with pytest.raises(RunError, match=message) as caught:
        merge_runs([runs / name for name in shards], runs / "refused")
    assert "\n" not in str(caught.value)
    assert not (runs / "refused").exists()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("target", "lava", "another target"),
        ("data", "folder:x", "another data"),
        ("tool_version", "9", "another version of the tool"),
        ("hardware", "loihi2", "another chip"),
    ],
)
def test_shards_of_different_runs_are_refused(runs, tmp_path, field, value, words):
    other = changed(runs / "2", tmp_path / "other", **{field: value})
    with pytest.raises(RunError, match=f"other: {words} than"):
        merge_runs([runs / "1", other, runs / "3"], tmp_path / "merged")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"timesteps": 3}, "another time steps"), ({"precision": "fixed"}, "another program"), ({"limit": 8}, "of 8 samples")],
)
def test_shards_made_otherwise_are_refused(runs, tmp_path, options, words):
    how = {"limit": 7, "timesteps": 2, **options}
    simulate_file(runs / "p.nir", "reference", "digits", tmp_path / "other", shard="2/3", **how)
    with pytest.raises(RunError, match=f"other: .*{words}"):
        merge_runs([runs / "1", tmp_path / "other", runs / "3"], tmp_path / "merged")


def test_shards_of_other_samples_are_refused(runs, tmp_path):
    shard = load_run(runs / "2").record.shard
    for change, words in (({"samples_sha256": "0"}, "other samples"), ({"count": 4}, "shard 2/4")):
        other = changed(runs / "2", tmp_path / next(iter(change)), shard=msgspec.structs.replace(shard, **change))
        with pytest.raises(RunError, match=words):
            merge_runs([runs / "1", other, runs / "3"], tmp_path / "merged")


def changed(run, path, **changes):
    """A copy of a run with other words in its record."""
    path.mkdir()
    record = msgspec.structs.replace(msgspec.json.decode((run / RECORD).read_bytes(), type=RunRecord), **changes)
    (path / RECORD).write_bytes(msgspec.json.encode(record))
    for name in (ACTIVITY, OUTPUTS, PROBES, PROGRAM):
        (path / name).write_bytes((run / name).read_bytes())
    return path


def test_damaged_outputs_and_probes_are_one_line(runs, tmp_path):
    for name in (OUTPUTS, PROBES):
        broken = changed(runs / "2", tmp_path / name)
        (broken / name).write_bytes(b"not an array")
        with pytest.raises(RunError) as caught:
            merge_runs([runs / "1", broken, runs / "3"], tmp_path / "merged")
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_words_of_a_shard():
    assert parse_shard(None, 5) is None
    assert parse_shard("2/5", 5) == (2, 5)
    for bad in ("0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/2", ""):
        with pytest.raises(ConfigError, match="expected i/n"):
            parse_shard(bad, 5)
    with pytest.raises(ConfigError, match="at most n = 5"):
        parse_shard("1/6", 5)


def test_activities_of_shards_add(runs):
    parts = [load_run(runs / str(i)).activity for i in (1, 2, 3)]
    total: Activity = parts[0] + parts[1] + parts[2]
    assert total == load_run(runs / "whole").activity
