"""Frames for tests of streams, and runs of them on two targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ecmt_deploy.program import Program
from ecmt_deploy.simulation.target import Probe, Run


def clip(samples: np.ndarray, frames: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Frames of the size of ``samples`` (N, *shape): most differ in a few elements from the one before, some in none, some in
    all of them."""
    r = np.random.default_rng(seed)
    scene = np.array(samples[0])
    for number in range(frames):
        kind = r.random()
        if number and kind < 0.1:
            scene = np.array(samples[r.integers(len(samples))])
        elif number and kind < 0.9 and scene.size:
            where = np.unravel_index(r.integers(scene.size, size=min(3, scene.size)), scene.shape)
            scene = scene.copy()
            scene[where] = samples[r.integers(len(samples))][where] * r.uniform(0.5, 1.5)
        yield scene


def differences(run: Run, expected: Run) -> list[str]:
    """Where two runs of a stream differ: in a count of a frame, in where there are spikes, in an answer beyond rounding."""
    program = expected.program
    assert program is not None
    assert run.frames is not None
    assert expected.frames is not None
    found = []
    for frame, _, node, _ in np.argwhere(run.frames.rows != expected.frames.rows)[:5]:
        name = list(program.nodes)[node]
        lines = run.frames[frame].differences(expected.frames[frame])
        found.append(f"frame {frame}, node {name}: {[line for line in lines if line.startswith(name)]}")
    for probe, series in expected.probes.items():
        if not np.array_equal(run.probes[probe] != 0, series != 0):
            found.append(f"{probe}: other spikes")
    exact = program.integer
    scale = np.abs(expected.outputs).max(initial=1e-300)
    if not np.allclose(run.outputs, expected.outputs, rtol=0, atol=0 if exact else 1e-9 * scale, equal_nan=True):
        found.append(f"answers differ by {np.abs(run.outputs - expected.outputs).max()}")
    return found


def spikes(program: Program) -> list[str | Probe]:
    """Probes of the spikes of all neurons."""
    return [Probe(name) for name in program.neurons]
