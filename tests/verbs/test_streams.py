"""The verb ``stream``, of frames in memory and of a clip by name, and ``convert`` for a clip by name."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

import ecmt_deploy as ecmt
from ecmt_deploy.errors import ConfigError, DataError, RunError, TargetError
from ecmt_deploy.runs.directory import load_run
from tests.support.trained import program_file

CLIP, TUNING = "made:digits,frames=12,noise=1", "made:digits,noise=1,seed=3,frames=12"


@pytest.fixture(scope="module")
def program():
    return program_file("graded", 16, stream=TUNING, budget=0.2)


@pytest.fixture(scope="module")
def result(program, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    return ecmt.stream(program, CLIP, hardware=["loihi2", "spinnaker2"], compare=True, out=out)


def frames(program) -> np.ndarray:
    return ecmt.data.open_clip(CLIP, ecmt.read(program).provenance.preprocessing).array()


def test_a_program_says_on_which_clip_it_was_tuned(program):
    config = ecmt.read(program).provenance.config
    assert config["stream"] == TUNING
    assert config["stream_frames"] == 12
    assert config["gate"] >= 0


@pytest.mark.parametrize("target", ["torch", "reference"])
def test_frames_in_memory_are_a_run_whose_samples_are_the_frames(program, target):
    shown = frames(program)
    run = ecmt.stream(program, shown, target, dtype="float64")
    assert run.outputs.shape == (1, 12, 10)
    assert (run.activity.n_samples, run.activity.continued, run.activity.frames) == (12, 11, 12)
    assert len(run.frames) == 12
    total = run.frames[0]
    for i in range(1, 12):
        total = total + run.frames[i]
    assert total.differences(run.activity) == []
    snn = ecmt.load(program).double()
    with snn.stream() as stream:
        answers = torch.stack([stream.push(torch.from_numpy(frame)) for frame in shown])
        np.testing.assert_array_equal(stream.activity.rows, run.frames.rows)
    np.testing.assert_allclose(answers.numpy(), run.outputs[-1], atol=1e-9)
    assert run.energy("loihi2").n_samples == 12


def test_every_frame_has_a_row(program, result):
    rows, record = result.rows, result.record
    assert [row.frame for row in rows] == list(range(12))
    assert [row.begun for row in rows] == [True] + [False] * 11
    assert all(row.label is not None and row.network_top is not None and len(row.top) == 5 for row in rows)
    assert all(set(row.chips_pj) == {"loihi2", "spinnaker2"} for row in rows)
    assert 0 < rows[1].pixels_changed <= 1
    run = ecmt.stream(program, frames(program))
    np.testing.assert_array_equal([row.synops for row in rows], run.frames.of("synops").sum(axis=1))
    assert record.clip.alternatives[0].per_mac == pytest.approx(run.activity.events_per_mac(run.program.encoding))


def test_the_first_frame_takes_longer_to_its_answer_than_those_that_follow(program, result):
    """A step is as long as the fullest core's events, on spinnaker2 too: they do not fit in its clock tick."""
    times = result.record.clip.times
    assert set(times) == {"loihi2", "spinnaker2"}
    run = ecmt.stream(program, frames(program))
    for name, found in times.items():
        first, following = (ecmt.energy(each, run.program, name).timing for each in (run.frames[0], run.frames.since(1)))
        assert found.begun.latency_us.value == pytest.approx(first.latency_us.value)
        assert found.following.throughput_per_s.value == pytest.approx(following.throughput_per_s.value)
        assert found.begun.latency_us.value > found.following.latency_us.value
    camera = ecmt.energy(run.frames.since(1), run.program, "loihi2", frames_per_second=30)
    power = ecmt.hardware("loihi2").prices["static_mw"].value
    assert camera.components_pj["static"].value == pytest.approx(power * camera.chips * 1e9 / 30)


def test_what_else_could_be_done_is_beside_it(result):
    found = {row.name: row for row in result.record.clip.alternatives}
    assert found["the network, every frame"].cosine == pytest.approx(1)
    assert found["the network, every frame"].per_mac == 1
    assert found["the network, every 4 frames"].per_mac == 0.25
    assert abs(found["the network's first answer"].cosine) < 1e-6
    assert found["the program, reset for every frame"].per_mac > found["this stream"].per_mac
    for name in ("token gating, as good as this stream", "token gating, tuned, as good as this stream"):
        assert found[name].cosine >= found["this stream"].cosine - 1e-9


def test_a_run_of_a_stream_is_kept_and_read(result):
    stored = load_run(result.stored.path)
    assert stored.frames() == result.rows
    with (stored.path / "frames.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["synops"]) for row in table] == [row.synops for row in result.rows]
    assert {"snn_pj", "loihi2_pj", "top5", "network_error"} <= set(table[0])
    film = stored.film()
    assert len(film["pictures"]) == len(film["events"]) == len(film["frames"])
    assert film["events"].sum() > 0
    assert ecmt.energy(stored.path, "loihi2").n_samples == 12


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("frames.json", lambda text: text.replace('"synops": ', '"synops": 1', 1), "its rows are not those"),
        ("frames.json", lambda text: text[: len(text) // 2], "frames.json"),
        ("film.npz", lambda text: "no archive", "film.npz"),
    ],
)
def test_an_edited_run_is_refused(program, tmp_path, name, change, said):
    out = tmp_path / "run"
    ecmt.stream(program, "made:digits,frames=3", out=out)
    path = out / name
    path.write_text(change(path.read_bytes().decode(errors="replace")), errors="replace")
    with pytest.raises(RunError, match=said):
        load_run(out).film() if name == "film.npz" else load_run(out).frames()


def test_arguments_of_the_other_kind_are_refused(program):
    shown = frames(program)
    for more in ({"limit": 3}, {"every": 2}, {"compare": True}, {"out": "run"}):
        with pytest.raises(ConfigError, match="is for a clip by name"):
            ecmt.stream(program, shown, **more)
    with pytest.raises(ConfigError, match="a clip by name runs on a target by name"):
        ecmt.stream(program, CLIP, dtype="float64")
    with pytest.raises(DataError, match="no frames"):
        ecmt.stream(program, shown[:0])
    with pytest.raises(TargetError, match="begins every inference anew"):
        ecmt.stream(program, shown, Forgetful())


class Forgetful:
    """A target without streams."""

    name = "forgetful"

    def missing(self):
        return None

    def check(self, program, hardware):
        return []

    def run(self, program, inputs, timesteps, *, dtype, progress=None, probes=()):
        raise NotImplementedError
