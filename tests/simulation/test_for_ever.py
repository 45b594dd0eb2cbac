"""Streams that go on for ever: nothing grows, and nothing drifts, on a clip that is shown over and over.

Which running sums are kept in a form that does not lose precision: the torch engine keeps, of every neuron, the sum of what it
sent, and compares it with the sum of what came, which follows from the frame itself; it adds up no increments, and what
rounding makes of a sum that was sent is what its receivers get, so that the next comparison makes up for it. In integer
programs rounded increments carry their remainder to the next one, functions and products keep the sum of what they sent, and
all other sums are exact. The reference and Lava add increments of floating point numbers as they come, in float64: what
rounding leaves there is a walk of 1e-16 a step. Even in float32, as tested here, it does not show over 10,000 frames.
"""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program.frames import FrameCounts
from ecmt_deploy.program.gate import Gate
from ecmt_deploy.simulation.streams import frame_runs, prepared
from ecmt_deploy.testing import case
from ecmt_deploy.testing.handmade import images

#: frames of the clip that is looped; it divides the frames that are compared
PERIOD, WINDOW = 25, 100
SHORT, LONG = 300, 10_000
#: how much more memory a run may take in the end than so many frames before, where it has long had all that it needs: as Python
#: counts it over a few frames, which takes time, and the most that the process ever had over nearly all
OVER, GROWTH = {SHORT: 40, LONG: LONG - 200}, {SHORT: 60_000, LONG: 16_000_000}
RUNS = ("torch in float32", "reference in float32", "integers")


@cache
def loop() -> np.ndarray:
    """A scene in which one patch turns into another and back, and one grows lighter and darker: (PERIOD, 2, 4, 4)."""
    still, other = images(2, seed=3)
    frames = np.repeat(still[None], PERIOD, axis=0)
    for frame, angle in zip(frames, np.linspace(0, 2 * np.pi, PERIOD, endpoint=False), strict=True):
        frame[:, :2, :2] = np.cos(angle) * still[:, :2, :2] + np.sin(angle) * other[:, :2, :2]
        frame[:, 2:, 2:] += 0.5 * np.sin(2 * angle)
    return frames


def answers(how: str, name: str, frames: int) -> Iterator[tuple[np.ndarray, float]]:
    """The answer (classes,) to every frame of the loop, and its events per MAC."""
    program = case(name).program
    shown = (loop()[i % PERIOD] for i in range(frames))
    if how.startswith("torch"):
        with SpikingModel(program).stream(gate=0.0, keep=10) as stream:
            for frame in shown:
                answer = stream.push(frame).numpy()
                yield answer, float(stream.activity.events_per_mac[-1])
        return
    program = prepared(program, "fixed" if how == "integers" else "float", None, 1, False)
    assert {node.format.state_bits for node in program.nodes.values() if node.format is not None and node.role != "input"} <= {
        24
    }
    for run in frame_runs(program, shown, "reference", 1, Gate(program, 0.0), "float32"):
        yield run.outputs[-1], float(FrameCounts(program, 1, run.rows[None], np.array([run.begun])).events_per_mac[0])


def memory(frames: int) -> int:
    """Bytes in use, or in a long run the most that ever were."""
    if frames == SHORT:
        return tracemalloc.get_traced_memory()[0]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def check(how: str, name: str, frames: int) -> None:
    program = case(name).program
    network = SpikingModel(program).analog(torch.from_numpy(loop())).numpy()
    squares, events = np.zeros(frames), np.zeros(frames)
    try:
        for i, (answer, per_mac) in enumerate(answers(how, name, frames)):
            squares[i], events[i] = np.square(answer - network[i % PERIOD]).mean(), per_mac
            if i == frames - OVER[frames] - 10 and frames == SHORT:
                tracemalloc.start()
            if i == frames - OVER[frames]:
                before = memory(frames)
            if i == frames - 1:
                assert memory(frames) - before < GROWTH[frames]
    finally:
        tracemalloc.stop()
    assert i == frames - 1
    early, late = slice(WINDOW, 2 * WINDOW), slice(frames - WINDOW, frames)
    error = np.sqrt(squares[early].mean())
    assert 0 < error < 0.2 * network.std()
    assert np.sqrt(squares[late].mean()) == pytest.approx(error, rel=0.05)
    assert 0 < events[early].mean() < events[0]
    assert events[late].mean() == pytest.approx(events[early].mean(), rel=0.05)


@pytest.mark.parametrize("how", RUNS)
def test_nothing_drifts_or_grows(how):
    check(how, "transformer, graded", SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("how", RUNS)
@pytest.mark.parametrize("name", ["transformer, graded", "transformer, accurate"])
def test_nothing_drifts_or_grows_over_ten_thousand_frames(how, name):
    check(how, name, LONG)
