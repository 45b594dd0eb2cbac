"""Maxima: what is lowered to them is torch's own result, and what needs their indices is refused by name."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import ecmt_deploy as ecmt
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import CaptureError
from ecmt_deploy.program import Program, Provenance
from ecmt_deploy.simulation.run import simulate
from tests.support.targets import require

SAMPLES = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
LIMIT = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))


class Does(nn.Module):
    """A module that does one thing with its input."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def lowered(function, x=SAMPLES, coding="rate") -> Program:
    calling = called(Does(function).eval(), x)
    return lower(capture(calling, x), coding, torch.float32, Provenance(tool_version="test"), False).program


def functions(program: Program) -> list[str]:
    return [node.function for node in program.nodes.values() if node.role == "function"]


def is_torchs(function, x=SAMPLES) -> Program:
    """The analog program selects the very numbers that torch selects."""
    program = lowered(function, x)
    np.testing.assert_array_equal(SpikingModel(program).analog(x).numpy(), function(x).numpy())
    return program


@st.composite
def pools(draw):
    """A pooling as torch takes it (padding of at most half a window), over one to three axes that differ in all."""
    axes = draw(st.integers(1, 3))

    def of_axis(low, high):
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    sizes, kernel, stride, dilation = of_axis(5, 7), of_axis(1, 3), of_axis(1, 3), of_axis(1, 2)
    padding = [draw(st.integers(0, k // 2)) for k in kernel]
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": draw(st.booleans())}
    return sizes, lambda x: getattr(F, f"max_pool{axes}d")(x, kernel, **options)


@settings(max_examples=12)
@given(pools())
def test_max_pooling_is_torchs(drawn):
    sizes, pool = drawn
    x = torch.randn(2, 2, *sizes, generator=torch.Generator().manual_seed(2)) - 3  # padding by zeros would win
    if bool(pool(x).isneginf().any()):  # a window of padding alone, which dilation makes
        with pytest.raises(CaptureError, match="pools windows that hold padding alone"):
            lowered(pool, x)
    else:
        assert set(functions(is_torchs(pool, x))) <= {"max"}


@pytest.mark.parametrize("sizes", [(1,), (3,), (5, 6), (2, 4), (1, 1), (2, 3, 1)])
def test_adaptive_max_pooling_is_torchs(sizes):
    x = torch.randn(2, 2, *(5, 6, 4)[: len(sizes)], generator=torch.Generator().manual_seed(3))
    is_torchs(lambda x: getattr(F, f"adaptive_max_pool{len(sizes)}d")(x, sizes), x)


def test_a_window_is_one_function_unless_axes_apart_compare_less():
    """3 x 3 at stride 2: 9 elements for each of 2 x 3 windows. 5 x 5 at stride 1: 25 for each of 30, or 5 and 5."""
    program = is_torchs(lambda x: F.max_pool2d(x, 3, 2, 1))
    assert [program.work(name).elements for name in program.nodes if program.nodes[name].role == "function"] == [4 * 9 * 9]
    program = is_torchs(lambda x: F.max_pool2d(x, 5, 1, 2))
    assert [program.work(name).elements for name in program.nodes if program.nodes[name].role == "function"] == [4 * 30 * 5] * 2


EXACT = {
    "amax": (lambda x: x.amax(dim=2), ["max"]),
    "amax over axes that stand apart": (lambda x: x.amax(dim=(1, 3), keepdim=True), ["max"]),
    "amin": (lambda x: x.amin(dim=(-1, -2)), ["max"]),
    "values of max": (lambda x: x.max(dim=1).values, ["max"]),
    "values of min": (lambda x: x.min(dim=-1, keepdim=True)[0], ["max"]),
    "two activations": (lambda x: torch.maximum(x, x.flip(2)), ["maximum"]),
    "the smaller of two": (lambda x: torch.minimum(x, x[:, :1]), ["maximum"]),
    "max of two": (lambda x: torch.max(x, x.flip(3)), ["maximum"]),
    "with a tensor": (lambda x: torch.minimum(LIMIT, x), ["maximum"]),
    "with a number in a tensor": (lambda x: torch.maximum(x, torch.full((4, 1, 1), 0.25)), ["clamp"]),
    "clamp between tensors": (lambda x: x.clamp(LIMIT - 0.5, LIMIT + 0.5), ["maximum", "maximum"]),
    "clamp to an activation": (lambda x: torch.clamp(x, max=x.flip(2)), ["maximum"]),
    "clamp whose bounds cross": (lambda x: torch.clamp(x, 0.5, -0.5) + x, ["clamp"]),
    "clamp without bounds": (lambda x: x.clamp(torch.tensor(-torch.inf), torch.tensor(torch.inf)), []),
    "clamp that masks": (lambda x: torch.maximum(x, LIMIT.where(LIMIT > 0, -torch.inf)), ["maximum"]),
    "windows padded by minus infinity": (lambda x: F.max_pool2d(F.pad(x, (0, 1, 1, 0), value=-torch.inf), 3, 2), ["max"]),
    "average and maximum": (lambda x: 0.5 * (F.adaptive_max_pool2d(x, 1) + x.amax((2, 3), True)), ["max", "max"]),
}


@pytest.mark.parametrize("name", EXACT)
def test_maxima_and_minima_are_torchs(name):
    function, expected = EXACT[name]
    assert functions(is_torchs(function)) == expected


REFUSED = {
    "max in the model itself: its result 1 is used": lambda x: x + x.max(1, keepdim=True).indices,
    "max_pool2d_with_indices in the model itself: its result 1": lambda x: 1.0 * F.max_pool2d(x, 2, return_indices=True)[1],
    "max in the model itself: reduces over every axis": lambda x: x - x.max(),
    "amax in the model itself: works along axis 0, which is tied to the batch": lambda x: x - x.amax(0),
    "takes the maximum with plus infinity": lambda x: torch.maximum(x, LIMIT.where(LIMIT > 0, torch.inf)),
    "topk in the model itself": lambda x: x.topk(2, dim=1).values,
    "sort in the model itself": lambda x: x.sort(dim=1).values,
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_maximum_is_refused_by_name(message):
    with pytest.raises(CaptureError, match=message):
        lowered(REFUSED[message])


class Pooled(nn.Module):
    """A stem with max pooling, and a head on the maximum and the mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.mix = nn.Conv2d(4, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.mix(self.stem(x))
        larger = torch.maximum(x, 0.5 * x.flip(3))
        return self.head(0.5 * (larger.amax((2, 3)) + larger.mean((2, 3))))


@functools.cache
def pooled(preset: str) -> tuple[Program, Program, nn.Module, torch.Tensor]:
    """A float program and its integer program, the model, samples."""
    torch.manual_seed(4)
    model, x = Pooled().eval(), torch.randn(12, 2, 6, 6)
    program = ecmt.convert(model, calibration=x, config=ecmt.ConvertConfig(preset=preset)).program
    return program, ecmt.quantize(program), model, x


@pytest.mark.parametrize(
    ("preset", "target"), [("paper", "torch"), *itertools.product(("accurate", "graded"), ("torch", "lava", "cores"))]
)
def test_every_target_computes_it_alike_in_floats_and_integers(preset, target):
    """Fixed point is bit for bit the same everywhere."""
    require(target)
    program, integer, _, x = pooled(preset)
    fixed = simulate(integer, x[:2], "reference", 3, precision="fixed")
    run = simulate(integer, x[:2], target, 3, precision="fixed", hardware="loihi2")
    np.testing.assert_array_equal(run.outputs, fixed.outputs)
    assert run.activity.differences(fixed.activity) == []
    if target == "torch":
        run, floats = (simulate(program, x, target, 3) for target in ("torch", "reference"))
        np.testing.assert_allclose(run.outputs, floats.outputs, rtol=0, atol=1e-5)
        assert run.activity.differences(floats.activity) == []


@pytest.mark.parametrize("preset", ["accurate", "graded"])
def test_a_pooled_program_answers_as_the_model_does_in_floats_and_integers(preset):
    program, integer, model, x = pooled(preset)
    assert program.nodes["stem.2"].function == "max", "what pools stands under its module's name"
    with torch.no_grad():
        answer = model(x).numpy()
    for made, precision in ((program, "float"), (integer, "fixed")):
        after = simulate(made, x, "torch", 16, precision=precision).outputs[-1]
        assert np.linalg.norm(after - answer) < 0.05 * np.linalg.norm(answer - answer.mean(axis=0))
