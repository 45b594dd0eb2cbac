"""Interpolation, padding by own values and average pooling: what torch computes to rounding, and no neuron for it."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ecmt_deploy import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.quantization import quantize
from ecmt_deploy.testing import Case, check
from tests.support.rewritten import lowered
from tests.support.targets import needs_lava

WINDOWS = 3


class Applies(nn.Module):
    """A function of (B, C, ...), of whole samples or of ``WINDOWS`` windows folded into the batch."""

    def __init__(self, function, folded=False):
        super().__init__()
        self.function, self.folded = function, folded

    def forward(self, x):
        y = self.function(x.flatten(0, 1) if self.folded else x)
        return y.unflatten(0, (-1, WINDOWS)) if self.folded else y


def require_exact(function, shape, folded=False):
    """The analog program of ``function`` on samples of ``shape``; it differs by rounding only."""
    model = Applies(function, folded)
    x = torch.randn(2, *((WINDOWS,) if folded else ()), *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    program = lowered(model, x).program
    with torch.no_grad():
        expected = model(x)
    torch.testing.assert_close(SpikingModel(program).double().analog(x), expected, rtol=1e-12, atol=1e-12)
    return program


def together(functions):
    """The results of several functions, side by side."""
    return lambda x: torch.cat([function(x).flatten(1) for function in functions], 1)


def drawn(seed):
    """A mode with options, and the shape of a sample: sizes up and down, by size and by scale, axes apart and together."""
    r = np.random.default_rng(seed)
    axes = int(r.integers(1, 4))
    smooth = {1: ["linear"], 2: ["bilinear", "bicubic"], 3: ["trilinear"]}[axes]
    mode = str(r.choice(["nearest", "nearest-exact", "area", *smooth, *smooth]))
    options = {"mode": mode}
    if mode in smooth:
        options["align_corners"] = bool(r.integers(2))
        options["antialias"] = axes == 2 and bool(r.integers(2))
    # of an image of more than one channel and a width of 1, torch 2.13 antialiases what it takes for another image
    least = 1 + bool(options.get("antialias"))
    if r.integers(2):
        options["size"] = r.integers(least, 9, axes).tolist()
    else:
        options["scale_factor"] = r.uniform(0.5, 2.5, axes).tolist()
        if mode != "area":
            options["recompute_scale_factor"] = bool(r.integers(2))
    return options, (2, *(least * r.integers(2, 7, axes)).tolist()), bool(r.integers(2))


@pytest.mark.parametrize("seed", [*range(9), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(9, 400))])
def test_interpolation_is_exact_and_has_no_neuron(seed):
    options, shape, folded = drawn(seed)
    program = require_exact(lambda x: F.interpolate(x, **options), shape, folded)
    kinds = {program.nodes[name].role for name in program.nodes}
    assert kinds <= {"input", "movement", "arithmetic", "readout", "output"}
    if options["mode"].startswith("nearest"):
        assert "arithmetic" not in kinds


def test_a_float32_model_takes_the_elements_that_it_takes_itself():
    """Which is the nearest, rounding decides: 1.7 is not the same in both dtypes."""
    scales = np.linspace(0.55, 2.95, 25).tolist()
    model = Applies(lambda x: torch.cat([F.interpolate(x, scale_factor=scale) for scale in scales], -1))
    x = torch.arange(60.0).expand(2, 1, 60)
    assert torch.equal(SpikingModel(lowered(model, x).program).analog(x), model(x))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "constant"])
def test_padding(mode, folded):
    r = np.random.default_rng(0)
    for axes in (1, 3) if folded else (2,):
        widths = r.integers(0 if mode != "constant" else -1, 3, 2 * axes).tolist()
        options = {"value": 0.7} if mode == "constant" and axes == 2 else {}
        require_exact(lambda x, w=widths, o=options: F.pad(x, w, mode, **o), (2, 4, 5, 3)[: axes + 1], folded)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_average_pooling_of_any_axes(axes, folded):
    r = np.random.default_rng(axes)
    shape = (2, *r.integers(5, 8, axes).tolist())
    sizes = r.integers(1, 6, (2, axes)).tolist()
    pools = [lambda x, s=size: getattr(F, f"adaptive_avg_pool{axes}d")(x, s) for size in sizes]
    for padding, ceil, count in ((0, False, True), (1, True, False), (1, False, True)):
        options = {"kernel_size": 3, "stride": 2, "padding": padding, "ceil_mode": ceil, "count_include_pad": count}
        pools.append(lambda x, o=options: getattr(F, f"avg_pool{axes}d")(x, **o))
    require_exact(together(pools), shape, folded)


@pytest.mark.parametrize("folded", [False, True])
def test_shuffles_and_norms_of_windows(folded):
    norm = nn.GroupNorm(2, 4).double()
    batch_norm = nn.BatchNorm2d(4).double().eval()
    with torch.no_grad():
        for each in (norm.weight, norm.bias, batch_norm.weight, batch_norm.bias, batch_norm.running_mean):
            each.normal_()
    functions = (nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2), norm, batch_norm)
    require_exact(together(functions), (4, 4, 6), folded)


class Pyramid(nn.Module):
    """Features of two sizes, brought together by interpolation and by a transposed convolution."""

    def __init__(self):
        super().__init__()
        self.embed, self.down = nn.Conv2d(2, 4, 2, 2), nn.Conv2d(4, 4, 3, 2, 1)
        self.up, self.head = nn.ConvTranspose2d(4, 4, 3, 2, 1, groups=2), nn.Linear(4, 5)

    def forward(self, x):
        fine = self.embed(x).relu()
        coarse = self.down(fine).relu()
        by_weights = self.up(coarse)
        smooth = F.interpolate(coarse, fine.shape[2:], mode="bicubic")
        near = F.interpolate(by_weights, fine.shape[2:])
        return self.head((fine + smooth + near).flatten(2).mean(2))


@functools.cache
def integers():
    torch.manual_seed(0)
    x = torch.randn(8, 2, 8, 12)
    return Case(quantize(convert(Pyramid().eval(), x, ConvertConfig(preset="graded")).program), x[:2].numpy(), 2)


@pytest.mark.parametrize("preset", ["paper", "graded"])
def test_a_pyramid_converts(preset):
    torch.manual_seed(0)
    model, x = Pyramid().eval(), torch.randn(8, 2, 8, 12)
    spiking = convert(model, x, ConvertConfig(preset=preset))
    with torch.no_grad():
        expected = model(x)
    torch.testing.assert_close(spiking.analog(x), expected, rtol=1e-5, atol=1e-5)
    error = (spiking(x, 16)[-1] - expected).norm() / expected.norm()
    assert error < {"paper": 0.6, "graded": 0.05}[preset]


def test_a_pyramid_in_fixed_point():
    case = integers()
    assert check("torch", case).equal


@needs_lava
def test_a_pyramid_in_fixed_point_on_lava():
    assert check("lava", integers()).equal
