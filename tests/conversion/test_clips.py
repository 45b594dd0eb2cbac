"""Programs tuned for streams: the budget is of a frame once the stream runs, and the gate keeps out what the answer ignores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ecmt_deploy as ecmt
from ecmt_deploy.data import open_clip
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, ConversionError, DataError
from ecmt_deploy.evaluation.streams import fidelity
from ecmt_deploy.models import load
from ecmt_deploy.program.gate import default_gate
from ecmt_deploy.testing import case

BUDGET = 0.1


@pytest.fixture(scope="module")
def digits():
    return load("zoo:vit_digits")


@pytest.fixture(scope="module")
def pictures(digits):
    return ecmt.data.calibration("digits", preprocessing=digits.preprocessing, n_samples=32, n_classes=10).x


def frames(digits, spec: str) -> np.ndarray:
    return open_clip(spec, digits.preprocessing, 48).array()


@pytest.fixture(scope="module")
def tuned(digits, pictures) -> SpikingModel:
    """A program on a budget, tuned on digits that move over a noisy ground."""
    config = ecmt.ConvertConfig("graded", budget=BUDGET)
    return ecmt.convert(digits.module, pictures, config, stream=frames(digits, "made:digits,noise=1,seed=5"))


def streamed(model: SpikingModel, clip: np.ndarray) -> tuple[np.ndarray, float]:
    with model.stream() as stream:
        answers = torch.stack([stream.push(frame) for frame in clip]).numpy()
        return answers, stream.activity.since(1).events_per_mac(model.program.encoding)


def test_the_budget_is_of_a_frame_once_the_stream_runs(digits, tuned):
    """On another clip than it was tuned on, of other digits and noise."""
    clip = frames(digits, "made:digits,noise=1,seed=11")
    answers, events = streamed(tuned, clip)
    assert BUDGET / 3 < events < 1.5 * BUDGET
    network = torch.cat([tuned.analog(torch.from_numpy(frame[None])) for frame in clip]).numpy()
    assert fidelity(answers, network).cosine > 0.95
    record = tuned.program.provenance.tuning
    assert record.goal == "events_per_mac"
    assert record.events_per_mac <= BUDGET


def test_noise_stays_outside_the_gate_that_calibration_finds(digits, tuned):
    still = frames(digits, "made:still,noise=1,seed=3")
    answers, events = streamed(tuned, still)
    assert default_gate(tuned.program) > 0
    assert events < 0.02
    assert (answers.argmax(axis=1) == answers[0].argmax()).all()
    with tuned.stream(gate=0.0) as stream:
        for frame in still:
            stream.push(frame)
        assert stream.activity.since(1).events_per_mac(tuned.program.encoding) > events


def test_a_program_keeps_its_gate_in_its_file(tuned, tmp_path):
    tuned.save(tmp_path / "p.nir")
    assert default_gate(ecmt.read(tmp_path / "p.nir")) == default_gate(tuned.program)


def test_pictures_alone_find_no_gate():
    assert default_gate(case("transformer, graded").program) == 0.0


@pytest.mark.parametrize(
    ("preset", "clip", "error", "said"),
    [
        ("paper", lambda clip: clip, ConfigError, "preset paper is not tuned for streams"),
        ("graded", lambda clip: clip[:2], ConversionError, "a clip of 2 frames"),
        ("graded", lambda clip: clip[:1].repeat(20, axis=0), ConversionError, "varies by 0 over the clip's"),
        ("graded", lambda clip: clip[:, :, :4], DataError, "the clip has frames of shape"),
        ("graded", lambda clip: clip[:0], DataError, "the clip has frames of shape"),
    ],
)
def test_what_is_no_clip_to_tune_on(digits, pictures, preset, clip, error, said):
    shown = clip(frames(digits, "made:digits"))
    with pytest.raises(error, match=said):
        ecmt.convert(digits.module, pictures[:8], ecmt.ConvertConfig(preset), stream=shown)


def test_the_network_is_what_events_are_compared_with_however_a_program_is_written(digits, pictures, tuned):
    """Rows that a program has of its own, as the mean of others, are none of the network's multiply-accumulates."""
    plain = ecmt.convert(digits.module, pictures[:8], ecmt.ConvertConfig("paper"))
    assert tuned.program.provenance.network_macs
    own = [sum(tuned.program.work(name).dense_macs for name in tuned.program.nodes)]
    for model in (plain, tuned):
        _, activity = model.count(torch.from_numpy(pictures[:2]), 1)
        own.append(sum(counts.dense_macs for _, counts in activity.items()) // 2)
    assert own[0] > own[1] == own[2]
    run = ecmt.stream(tuned, pictures[:3], "reference")
    assert sum(counts.dense_macs for _, counts in run.activity.items()) == 3 * own[1]
