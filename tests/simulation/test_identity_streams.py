"""With neurons as identity every frame of a stream is answered as the network answers it, however many went before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program
from ecmt_deploy.program.gate import Gate
from ecmt_deploy.simulation.target import Frame
from ecmt_deploy.targets.reference import ReferenceTarget
from ecmt_deploy.testing import case
from ecmt_deploy.testing.transformer import TinyTransformer
from tests.support.streams import clip

#: largest difference, relative to the largest answer
CLOSE = {"float32": 1e-4, "float64": 1e-9}
FRAMES, FEWER = 1000, 150


def by_reference(program: Program, frames: list[np.ndarray], steps: int, dtype: str) -> np.ndarray:
    """Answers (F, classes) of the reference."""
    gate = Gate(program, 0.0, cuts=False)
    sent = (gate.send(frame[None]) for frame in frames)
    shown = (Frame(each.held[0], each.sent[0], each.begins) for each in sent)
    runs = ReferenceTarget().stream(program, shown, steps, dtype=np.dtype(dtype), identity_neurons=True)
    return np.stack([run.outputs[-1] for run in runs])


def by_torch(program: Program, frames: list[np.ndarray], steps: int, dtype: str) -> np.ndarray:
    """Answers (F, classes) of the torch engine."""
    model = SpikingModel(program).to(getattr(torch, dtype))
    gate, run = Gate(program, 0.0, cuts=False), model.context(identity=True, streaming=True)
    answers = []
    with torch.no_grad():
        for number, frame in enumerate(frames):
            sent = gate.send(frame[None])
            held, where = torch.from_numpy(sent.held[None]).to(model.like), torch.from_numpy(sent.sent[None])
            answers.append(model.runner.frames(held, where, 1 + number * steps, steps, run)[-1, 0].numpy())
    return np.stack(answers)


def check(name: str, answered, dtype: str, steps: int, count: int) -> None:
    chosen = case(name)
    frames = list(clip(chosen.inputs, count, seed=7))
    found = answered(chosen.program, frames, steps, dtype)
    network = SpikingModel(chosen.program).double().analog(torch.from_numpy(np.stack(frames)).double()).numpy()
    assert np.abs(found - network).max() <= CLOSE[dtype] * np.abs(network).max()
    if name == "transformer, graded":  # and so as the model that was converted, whose weights went through float32
        with torch.no_grad():
            original = TinyTransformer()(torch.from_numpy(np.stack(frames))).numpy()
        assert np.abs(found - original).max() <= CLOSE["float32"] * np.abs(original).max()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("answered", [by_reference, by_torch])
@pytest.mark.parametrize("name", ["every node, differential", "transformer, graded"])
def test_every_frame_is_answered_as_the_network_answers_it(name, answered, dtype, steps):
    """The reference adds up increments, so of it many frames are looked at; torch computes the network on every frame."""
    long = answered is by_reference and steps == 1 and name == "transformer, graded"
    check(name, answered, dtype, steps, FRAMES if long else FEWER)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("answered", [by_reference, by_torch])
@pytest.mark.parametrize("name", ["every node, differential", "transformer, accurate"])
def test_a_thousand_frames_are(name, answered, dtype, steps):
    check(name, answered, dtype, steps, FRAMES)
