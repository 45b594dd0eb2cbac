"""The analog network that a run is held against is the same, whatever computes it; and so is the score that follows."""

from __future__ import annotations

import numpy as np
import torch

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.evaluation.evaluate import score_of
from ecmt_deploy.evaluation.score import chosen_alike
from ecmt_deploy.program.activity import empty
from ecmt_deploy.simulation.analog import analog_readouts


def test_kernels_and_engine_compute_the_same_network(program):
    x = np.random.default_rng(0).normal(size=(3, *program.input_shape)).astype(np.float32)
    expected = SpikingModel(program).double().analog(torch.from_numpy(x).double()).numpy()
    for target in ("reference", "torch"):
        found = analog_readouts(program, x, target)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_score_of_a_run_is_that_of_an_evaluation():
    rng = np.random.default_rng(1)
    outputs, analog, labels = rng.normal(size=(3, 20, 4)), rng.normal(size=(20, 4)), rng.integers(0, 4, 20)
    outputs[0, 0] = np.nan
    activity = empty(["a"], 3)
    for networks in (analog, None):
        found = chosen_alike(outputs, networks, labels, activity)
        there = None if networks is None else torch.from_numpy(networks)
        expected = score_of(torch.from_numpy(outputs), there, torch.from_numpy(labels), activity)
        assert (found.correct, found.agreeing, found.analog_correct) == (
            expected.correct, expected.agreeing, expected.analog_correct,
        )  # fmt: skip
