"""What neurons keep back together counts for as much as it changes the answer."""

import numpy as np
import pytest
import torch
from torch import nn

from ecmt_deploy.conversion.calibration.tools.allocation import graded_neuron
from ecmt_deploy.conversion.calibration.tools.expectation import with_expectations
from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.conversion.calibration.tools.survey import survey
from ecmt_deploy.conversion.calibration.tools.together import together
from ecmt_deploy.engine import SpikingModel
from tests.support.rewritten import lowered

HIDDEN = 32


class Copies(nn.Module):
    """Hidden units of which so many at a time are the same, behind a layer on 6 values, to one output."""

    def __init__(self, alike):
        super().__init__()
        self.first, self.second = nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, 1)
        with torch.no_grad():
            kinds = torch.randn(HIDDEN // alike, 6)
            self.first.weight.copy_(kinds.repeat_interleave(alike, dim=0))
            self.first.bias.copy_(torch.ones(HIDDEN))
            signs = torch.randint(0, 2, (HIDDEN // alike,)) * 2 - 1
            self.second.weight.copy_(signs.repeat_interleave(alike)[None].float())

    def forward(self, x):
        return self.second(self.first(x).relu())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alike", [1, 4, 16])
def test_errors_that_are_alike_count_as_often_as_they_come(alike, seed):
    """With every neuron silent, what is kept back is all that differs from what is expected."""
    torch.manual_seed(seed)
    model, x = Copies(alike).eval(), torch.randn(400, 6)
    program = lowered(model, x[:4]).program
    ((name, seen),) = survey(SpikingModel(program), x, 1.0, lambda samples: None).items()
    initial = -seen.expected.astype(program.dtype)
    silent = graded_neuron(seen, 1.0, 1e9, 0, 16, 1, initial)
    spiking = SpikingModel(with_expectations(program, {name: silent}))
    assert not spiking.sent(name, torch.randn(4, HIDDEN)).any()
    counted = []
    found = together(spiking, x, 1, counted.append)[name]
    assert counted[-1] == len(x)
    # units that are not copies share inputs: their errors are a little alike too, or cancel a little
    assert alike / 2.5 < found < 2.5 * alike


def test_no_less_than_what_single_elements_say():
    """Errors that cancel: hidden units in pairs, which the output takes with opposite signs."""
    torch.manual_seed(0)
    model, x = Copies(2).eval(), torch.randn(64, 6)
    with torch.no_grad():
        model.second.weight[0, 1::2] *= -0.9
    program = lowered(model, x[:4]).program
    ((name, seen),) = survey(SpikingModel(program), x, 1.0, lambda samples: None).items()
    silent = graded_neuron(seen, 1.0, 1e9, 0, 16, 1, -seen.expected.astype(program.dtype))
    assert together(SpikingModel(with_expectations(program, {name: silent})), x, 1, lambda samples: None)[name] == 1.0
    exact = np.full_like(silent.base, 2.0**-20)  # nothing is kept back but what rounding leaves
    fine = with_nodes(program, {name: type(silent)(exact, 16, np.ones_like(silent.least), -seen.expected)})
    assert together(SpikingModel(fine), x, 1, lambda samples: None)[name] >= 1.0
