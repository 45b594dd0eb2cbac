"""Fidelity over a clip, and the network on fewer frames."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.evaluation.intervals import interval
from ecmt_deploy.evaluation.streams import fidelity, frozen, held, network
from ecmt_deploy.testing.handmade import images

SEEDS = st.integers(0, 2**32 - 1)


def clip(seed: int, frames: int = 9, clips: int = 2, classes: int = 4, offset: float = 10.0) -> np.ndarray:
    """Answers that vary around a mean which is far from zero, and another for every clip."""
    r = np.random.default_rng(seed)
    return r.normal(size=(frames, clips, classes)) + offset * r.normal(size=(clips, classes))


@given(SEEDS, st.integers(2, 20), st.integers(1, 3), st.integers(2, 5))
def test_is_what_the_formulas_say(seed, frames, clips, classes):
    reference = clip(seed, frames, clips, classes)
    answers = reference + np.random.default_rng(seed + 1).normal(size=reference.shape)
    dot = own = other = apart = same = 0.0
    for b in range(clips):
        mean = sum(reference[f, b] for f in range(frames)) / frames
        for f in range(frames):
            a, r = answers[f, b] - mean, reference[f, b] - mean
            dot, own, other = dot + a @ r, own + a @ a, other + r @ r
            apart += (a - r) @ (a - r)
            same += answers[f, b].argmax() == reference[f, b].argmax()
    found = fidelity(answers, reference)
    assert found.frames == frames * clips
    assert found.cosine == pytest.approx(dot / math.sqrt(own * other))
    assert found.error == pytest.approx(math.sqrt(apart / other))
    assert found.agreement == pytest.approx(same / (frames * clips))
    assert found.agreement_interval == interval(found.agreement, found.frames)
    assert np.sqrt(np.mean(np.square(found.errors))) == pytest.approx(found.error)
    assert found.relative_error == pytest.approx(math.sqrt(apart / sum(r @ r for r in reference.reshape(-1, classes))))
    assert np.argmax(found.errors) == np.square(answers - reference).sum(axis=(1, 2)).argmax()


@given(SEEDS)
def test_the_network_itself_and_any_answer_that_stays(seed):
    reference = clip(seed)
    itself = fidelity(reference, reference)
    assert (itself.cosine, itself.agreement, itself.error) == (pytest.approx(1), 1, 0)
    for still in (reference[:1], reference[-1:], np.random.default_rng(seed).normal(size=(1, 2, 4))):
        assert abs(fidelity(np.broadcast_to(still, reference.shape), reference).cosine) < 1e-9
    assert fidelity(reference[:, 0], reference[:, 0]).cosine == pytest.approx(1)


@given(SEEDS)
def test_where_answers_lie_does_not_matter(seed):
    """Each clip is centred over itself: what is added to all answers to it, and theirs, changes nothing; nor do units."""
    reference, shift = clip(seed), 100 * np.random.default_rng(seed).normal(size=(2, 4))
    answers = reference + 0.3 * clip(seed + 1, offset=0)
    plain, moved = fidelity(answers, reference), fidelity(3 * (answers + shift), 3 * (reference + shift))
    assert moved.cosine == pytest.approx(plain.cosine)
    assert moved.error == pytest.approx(plain.error)


@given(SEEDS, st.sampled_from([np.float32, np.float64]))
def test_is_unknown_where_the_network_does_not_vary(seed, dtype):
    """Also where it varies by roundings alone."""
    r = np.random.default_rng(seed)
    still = np.broadcast_to(10 * r.normal(size=(1, 1, 4)), (9, 1, 4)).astype(dtype)
    rounded = still * (1 + 2 * np.finfo(dtype).eps * r.integers(-1, 2, still.shape)).astype(dtype)
    for reference in (still, rounded):
        for answers in (reference, reference + r.normal(size=still.shape)):
            found = fidelity(answers, reference)
            assert (found.cosine, found.error, found.errors) == (None, None, None)
            assert found.agreement is not None
            assert (found.relative_error == 0) == (answers is reference)
    assert fidelity(0 * still, 0 * still).relative_error is None


def test_is_unknown_where_answers_lie_on_the_mean():
    reference = np.array([[1.0, 0], [-1, 0]])
    found = fidelity(np.zeros_like(reference), reference)
    assert (found.cosine, found.error) == (None, 1.0)


def test_one_output_has_no_classes():
    found = fidelity(np.arange(4.0)[:, None], np.arange(4.0)[:, None])
    assert (found.agreement, found.agreement_interval, found.cosine) == (None, None, pytest.approx(1))


@pytest.mark.parametrize("shapes", [((4, 2), (3, 2)), ((4,), (4,)), ((0, 2), (0, 2)), ((4, 1, 1, 2), (4, 1, 1, 2))])
def test_refuses_other_shapes(shapes):
    with pytest.raises(DataError, match="expected"):
        fidelity(*map(np.ones, shapes))


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_refuses_what_is_no_number(strange):
    x = np.ones((3, 2))
    for answers, reference in ((x * strange, x), (x, x * strange)):
        with pytest.raises(DataError, match="no numbers"):
            fidelity(answers, reference)


@pytest.mark.parametrize("frames", [1, 7, 8])
@pytest.mark.parametrize("every", [1, 2, 4, 8])
def test_held_answers(program, frames, every):
    model = SpikingModel(program)
    x = torch.from_numpy(images(2 * frames)).reshape(frames, 2, 2, 4, 4)
    reference = network(model, x)
    found = held(reference, every)
    assert reference.macs.shape == found.macs.shape == (frames, 2)
    assert (reference.macs == 1).all()
    assert (found.macs.sum(axis=0) == math.ceil(frames / every)).all()
    for f in range(frames):
        torch.testing.assert_close(torch.from_numpy(found.values[f]), model.analog(x[f - f % every]))
        assert (found.macs[f] == (f % every == 0)).all()


def test_a_frozen_answer_agrees_but_has_no_cosine(digits):
    from ecmt_deploy import load

    model = load(digits)
    x = torch.randn(1, 1, *model.program.input_shape) + 0.05 * torch.randn(12, 2, *model.program.input_shape)
    reference = network(model, x)
    found = frozen(reference)
    assert (found.values == reference.values[:1]).all()
    assert found.macs.sum(axis=0).tolist() == [1, 1]
    measured = fidelity(found.values, reference.values)
    assert abs(measured.cosine) < 1e-6
    assert measured.error > 0.5


def test_refuses_what_is_no_clip(program):
    model = SpikingModel(program)
    for shape in [(2, 4, 4), (3, 2, 4, 4), (0, 1, 2, 4, 4), (1, 0, 2, 4, 4), (3, 1, 2, 4, 5), (3,)]:
        with pytest.raises(DataError, match=r"expects \(frames, clips, 2, 4, 4\)"):
            network(model, torch.zeros(shape))
    with pytest.raises(ConfigError, match="every is 0"):
        held(network(model, torch.zeros(1, 1, 2, 4, 4)), 0)
