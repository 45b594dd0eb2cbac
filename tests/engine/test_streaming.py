"""Streams on the torch engine: what may be pushed, and what is counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.testing import case
from ecmt_deploy.testing.handmade import images
from tests.support.streams import clip


@pytest.fixture(scope="module")
def model() -> SpikingModel:
    return SpikingModel(case("transformer, graded").program)


def test_a_closed_stream_takes_no_frame_and_keeps_its_counts(model):
    with model.stream() as stream:
        stream.push(images(2))
    with pytest.raises(ConfigError, match="the stream is closed; push frames inside its `with` block, or open another"):
        stream.push(images(2))
    assert stream.frames == 1
    assert stream.activity[-1].n_samples == 2


def test_a_stream_is_closed_by_an_error_too(model):
    with pytest.raises(KeyError), model.stream() as stream:
        raise KeyError
    with pytest.raises(ConfigError, match="closed"):
        stream.push(images(1)[0])


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_streams_as_before_are_expected(model, count):
    with model.stream() as stream:
        stream.push(images(2))
        with pytest.raises(DataError, match=r"frames of shape .*; expected .*of the 2 streams as before"):
            stream.push(images(count))
        stream.push(images(2, seed=1))  # nothing was lost
        stream.reset()
        stream.push(images(2))
    assert stream.frames == 3


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 5), (1, 2, 4, 5), (4,), ()])
def test_frames_of_another_shape_are_refused(model, shape):
    with model.stream() as stream, pytest.raises(DataError, match="frames of shape"):
        stream.push(torch.zeros(shape))


def test_a_batch_of_no_streams_is_refused(model):
    with model.stream() as stream, pytest.raises(DataError, match="a frame of no streams; expected at least one"):
        stream.push(images(0))


def test_a_frame_with_what_is_no_number_changes_nothing(model):
    frames = list(clip(images(3), 6, seed=1))
    with model.stream(gate=0.0) as stream, model.stream(gate=0.0) as undisturbed:
        for frame in frames:
            broken = frame.copy()
            broken[0, 1, 1] = np.nan
            with pytest.raises(DataError, match="infinite or no number"):
                stream.push(broken)
            torch.testing.assert_close(stream.push(frame), undisturbed.push(frame), rtol=0, atol=0)
    assert stream.total == undisturbed.total


def test_rate_coding_has_no_streams():
    for name in ("transformer, paper", "every node, rate"):
        with pytest.raises(ConfigError, match="rate coding .* has no streams: .*--preset graded or accurate"):
            SpikingModel(case(name).program).stream()


@pytest.mark.parametrize(
    "wrong", [{"steps_per_frame": 0}, {"steps_per_frame": 1.5}, {"keep": 0}, {"keep": 1.5}, {"gate": -1.0}]
)
def test_arguments_that_make_no_sense_are_refused(model, wrong):
    with pytest.raises(ConfigError, match="expected|at least 1"):
        model.stream(**wrong)


def test_before_the_first_frame_nothing_was_counted(model):
    with model.stream() as stream, pytest.raises(DataError, match="has had no frame yet; push one"):
        _ = stream.activity
    assert stream.total is None


def test_counts_of_single_frames_are_kept_of_the_latest(model):
    frames = list(clip(images(3), 12, seed=2))
    with model.stream(gate=0.0, keep=5, cuts=False) as short, model.stream(gate=0.0, cuts=False) as whole:
        for frame in frames:
            short.push(frame)
            whole.push(frame)
    assert (len(short.activity), len(whole.activity)) == (5, 12)
    assert short.total == whole.total == whole.activity.total
    np.testing.assert_array_equal(short.activity.rows, whole.activity.rows[-5:])


@pytest.mark.parametrize("steps", [1, 3])
def test_streams_side_by_side_are_what_each_is_alone(model, steps):
    """In answers to rounding, and in counts, which add."""
    wide = SpikingModel(model.program).double()
    streams = [list(clip(images(4, seed=s).astype(float), 10, seed=s)) for s in range(3)]
    with wide.stream(steps, 0.0, cuts=False) as together:
        found = torch.stack([together.push(np.stack(frames)) for frames in zip(*streams, strict=True)])
    alone, rows = [], 0
    for frames in streams:
        with wide.stream(steps, 0.0, cuts=False) as stream:
            alone.append(torch.stack([stream.push(frame) for frame in frames]))
        rows = rows + stream.activity.rows
    torch.testing.assert_close(found, torch.stack(alone, dim=1), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(together.activity.rows, rows)
    assert together.total.n_samples == 30
    assert together.total.continued == 27
    for number in range(10):
        assert impossible(model.program, together.activity[number]) is None
