"""The engine on a GPU: the counts of the reference target, and answers as near as the order of sums allows."""

import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import NotFiniteError
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing import float_program
from ecmt_deploy.testing.handmade import images

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU on this machine")
STEPS = 4


def same(made, x, steps) -> None:
    model, samples = SpikingModel(made).double().cuda(), torch.from_numpy(np.asarray(x, np.float64)).cuda()
    try:
        with np.errstate(all="ignore"):
            expected = simulate(made, x, "reference", steps)
    except NotFiniteError:
        with pytest.raises(NotFiniteError):
            model.count(samples, steps)
        return
    outputs, counts = model.count(samples, steps)
    assert counts.differences(expected.activity) == []
    scale = float(np.abs(expected.outputs).max()) or 1.0
    np.testing.assert_allclose(outputs.cpu().numpy(), expected.outputs, rtol=1e-7, atol=1e-9 * scale)


def test_programs(program):
    same(program, images(4), STEPS)


def test_random_programs():
    for seed in range(100):
        made, x, steps = float_program(seed)
        same(made, x, steps)
