"""Shards of a run add up to the run, and nothing else is added."""

import shutil

import msgspec
import numpy as np
import pytest

from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.program import read
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.runs.directory import ACTIVITY, OUTPUTS, PROBES, PROGRAM, RECORD, load_run
from ecmt_deploy.runs.merge import merge
from ecmt_deploy.runs.record import RunRecord
from tests.support.runs import simulated

TIMES = {"build_seconds": None, "run_seconds": None}


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory):
    """A whole run of 7 samples on the reference, and its 3 shards."""
    folder = tmp_path_factory.mktemp("shards")
    program = shutil.copy(digits, folder / "p.nir")
    probe = f"{read(digits).neurons[0]}:membrane"
    simulated(program, folder / "whole", 7, 2, probes=(probe,))
    for i in (1, 2, 3):
        simulated(program, folder / f"{i}", 7, 2, shard=Shard(i, 3), probes=(probe,))
    return folder


def test_merged_equals_unsharded(runs):
    merged = merge([runs / "3", runs / "1", runs / "2"], runs / "merged")
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
    merge([runs / "3", runs / "1", runs / "2"], tmp_path / "merged")
    with pytest.raises(RunError, match="merged: holds a run already; .* --overwrite"):
        merge([runs / "3", runs / "1", runs / "2"], tmp_path / "merged")
    merge([runs / "3", runs / "1", runs / "2"], tmp_path / "merged", overwrite=True)


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
        merge([runs / name for name in shards], runs / "refused")
    assert "\n" not in str(caught.value)
    assert not (runs / "refused").exists()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("target", "lava", "target lava, not reference"),
        ("data", "folder:x", "data folder:x, not digits"),
        ("tool_version", "9", "tool version 9, not"),
        ("hardware", "loihi2", "chip loihi2, not None"),
    ],
)
def test_shards_of_different_runs_are_refused(runs, tmp_path, field, value, words):
    other = changed(runs / "2", tmp_path / "other", **{field: value})
    with pytest.raises(RunError, match=f"other: of another job than .*1: {words}"):
        merge([runs / "1", other, runs / "3"], tmp_path / "merged")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timesteps": 3}, "time steps 3, not 2"),
        ({"precision": "fixed"}, "program [0-9a-f]{12}, not"),
        ({"limit": 8}, "number of samples 8, not 7"),
    ],
)
def test_shards_made_otherwise_are_refused(runs, tmp_path, options, words):
    simulated(runs / "p.nir", tmp_path / "other", **{"limit": 7, "timesteps": 2, **options}, shard=Shard(2, 3))
    with pytest.raises(RunError, match=f"other: .*{words}"):
        merge([runs / "1", tmp_path / "other", runs / "3"], tmp_path / "merged")


def test_shards_of_other_samples_are_refused(runs, tmp_path):
    shard = load_run(runs / "2").record.shard
    for change, words in (({"samples_sha256": "0"}, "samples 0, not"), ({"count": 4}, "shard 2/4")):
        other = changed(runs / "2", tmp_path / next(iter(change)), shard=msgspec.structs.replace(shard, **change))
        with pytest.raises(RunError, match=words):
            merge([runs / "1", other, runs / "3"], tmp_path / "merged")


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
            merge([runs / "1", broken, runs / "3"], tmp_path / "merged")
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_words_of_a_shard(runs):
    assert Shard.parse("2/5") == Shard(2, 5)
    assert str(Shard(2, 5)) == "2/5"
    assert list(Shard(2, 5).numbers(9)) == [1, 6]
    for bad in ("0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/2", "", (1, 2), 3):
        with pytest.raises(ConfigError, match="expected i/n"):
            Shard.parse(bad)
    with pytest.raises(ConfigError, match="--shard 1/8: .* at most n = 7"):
        simulated(runs / "p.nir", runs / "none", 7, 2, shard=Shard(1, 8))


def test_activities_of_shards_add(runs):
    parts = [load_run(runs / str(i)).activity for i in (1, 2, 3)]
    total: Activity = parts[0] + parts[1] + parts[2]
    assert total == load_run(runs / "whole").activity
