"""The batched engine: the same run in pieces of any size, one neuron alone, what observers see."""

import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel
from tests.programs import images

STEPS = 5


@pytest.mark.parametrize(("samples", "steps"), [(6, 2), (3, 5), (1, 5), (1, 3), (1, 1)])
def test_pieces_of_time_and_batch_add_up_to_the_whole(program, samples, steps):
    """State passes from piece to piece, and every count is taken once."""
    model, x = SpikingModel(program).double(), torch.from_numpy(images(6)).double()
    whole, counts = model.count(x, STEPS, samples=5)
    model.plan = lambda batch, timesteps: (samples, steps)
    outputs, pieces = model.count(x, STEPS, samples=5)
    assert pieces.differences(counts) == []
    np.testing.assert_allclose(outputs.numpy(), whole.numpy(), rtol=0, atol=1e-12 * float(whole.abs().max()))


def test_the_plan_fits_the_memory_and_divides_the_batch(program):
    model = SpikingModel(program)
    assert model.plan(12, STEPS) == (12, STEPS)
    one = model._most_alive * model._like.element_size()
    for room in range(1, 12 * STEPS):
        model.memory_bytes = room * one
        samples, steps = model.plan(12, STEPS)
        assert samples * steps <= room
        assert 12 % samples == 0
        assert steps == STEPS or samples == 1
    model.memory_bytes = 1  # not even one fits: it is what can be done
    assert model.plan(12, STEPS) == (1, 1)


def test_no_samples_are_no_readouts(program):
    model = SpikingModel(program)
    outputs, counts = model.count(torch.zeros(0, *program.input_shape), STEPS)
    assert outputs.shape == (STEPS, 0, *program.output_shape)
    assert counts.n_samples == 0
