"""A model of composed operations, and of every function that they need, from conversion to integers on every target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ecmt_deploy import chips
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import simulate
from tests.support.targets import require


class Composed(nn.Module):
    """softplus (mish), sin, erf and log (log_softmax), elu and a variance, between weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.act, self.mix, self.elu = nn.Linear(6, 8), nn.Mish(), nn.Linear(8, 8), nn.ELU()
        self.project, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.mix(self.act(self.embed(x)))
        x = x / (1 + x.var((1, 2), keepdim=True))
        x = self.project(torch.sin(x) + torch.erf(x) + self.elu(x))
        return self.head(torch.log_softmax(x, dim=-1)).mean(1)


@pytest.fixture(scope="module")
def samples() -> torch.Tensor:
    return torch.randn(12, 3, 6, generator=torch.Generator().manual_seed(0))


def made(samples: torch.Tensor, preset: str):
    torch.manual_seed(0)
    model = Composed().eval()
    return model, convert(model, samples, ConvertConfig(preset=preset))


@pytest.fixture(scope="module")
def accurate(samples):
    return made(samples, "accurate")


@pytest.mark.parametrize("preset", ["paper", "accurate", "graded"])
def test_it_converts_and_its_error_falls_with_time(preset, samples, accurate):
    model, spiking = accurate if preset == "accurate" else made(samples, preset)
    functions = {node.function for node in spiking.program.nodes.values() if node.role == "function"}
    assert functions == {"softplus", "tanh", "power", "divide", "sin", "erf", "relu", "clamp", "exp", "max", "log"}
    with torch.no_grad():
        expected = model(samples)
    torch.testing.assert_close(spiking.analog(samples), expected, rtol=1e-5, atol=1e-5)
    errors = [float((answer - expected).norm() / expected.norm()) for answer in spiking(samples, 16)]
    assert errors[-1] < {"paper": 0.5, "accurate": 0.05, "graded": 0.02}[preset]
    assert errors[-1] <= errors[0]


@pytest.mark.parametrize("target", ["torch", "lava"])
def test_every_target_computes_it_alike_in_integers(target, samples, accurate):
    require(target)
    x, program = samples[:2].numpy(), accurate[1].program
    integer = quantize(program, chips.hardware("loihi2"))
    expected, run = (simulate(integer, x, each, 4, precision="fixed") for each in ("reference", target))
    np.testing.assert_array_equal(run.outputs, expected.outputs)
    assert run.activity.differences(expected.activity) == []


def test_integers_converge_to_the_network(samples, accurate):
    model, spiking = accurate
    with torch.no_grad():
        expected = model(samples).numpy()
    integer = quantize(spiking.program, chips.hardware("loihi2"))
    answers = simulate(integer, samples.numpy(), "torch", 16, precision="fixed").outputs
    errors = [float(np.linalg.norm(answer - expected) / np.linalg.norm(expected)) for answer in answers]
    assert errors[-1] < min(0.1, errors[0])
