"""Transposed, three-dimensional, unevenly padded and folded convolutions: values to rounding, counts by brute force."""

from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from torch import nn

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.program import ops
from ecmt_deploy.program.patches import patches, rows_of_patches
from tests.support.rewritten import lowered

WINDOWS = 3
PLAIN = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class Two(nn.Module):
    """A pointwise layer, then the convolution that is looked at: of samples, or of windows folded into the batch."""

    def __init__(self, conv, folded):
        super().__init__()
        self.conv, self.folded = conv, folded
        self.mix = nn.Linear(conv.in_channels, conv.in_channels).double()

    def forward(self, x):
        x = self.mix(x.movedim(-conv_axes(self.conv) - 1, -1)).movedim(-1, -conv_axes(self.conv) - 1)
        y = self.conv(x.flatten(0, 1) if self.folded else x)
        return y.unflatten(0, (-1, WINDOWS)) if self.folded else y


def conv_axes(conv):
    return conv.weight.ndim - 2


def drawn(seed):
    """A convolution that is no node of NIR's own, whether its batch is folded, and the spatial axes of a sample."""
    r = np.random.default_rng(seed)
    axes = int(r.integers(1, 4)) if seed % 4 else 2
    kind = ("transposed", "folded", "uneven", "three")[seed % 4]
    if kind == "three":
        axes = 3
    groups = int(r.choice([1, 2]))
    channels = (2 * groups, groups * int(r.integers(1, 4)))
    kernel, stride, dilation = (r.integers(1, high, axes).tolist() for high in (4, 4, 3))
    padding = [int(r.integers(0, max(d * (k - 1), 0) + 1)) for k, d in zip(kernel, dilation, strict=True)]
    spatial = r.integers(4, 7, axes).tolist() if axes < 3 else r.integers(3, 5, axes).tolist()
    folded = kind == "folded" or bool(r.integers(2))
    bias = bool(r.integers(2))
    if kind == "transposed":
        output = [int(r.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True)]
        sizes = zip(padding, spatial, stride, kernel, dilation, strict=True)
        padding = [min(p, ((size - 1) * s + d * (k - 1)) // 2) for p, size, s, k, d in sizes]  # something must be left
        conv = TRANSPOSED[axes](*channels, kernel, stride, padding, output, groups, bias, dilation)
    elif kind == "uneven":
        conv = PLAIN[axes](*channels, [2] * axes, padding="same", groups=groups, bias=bias)
    else:
        kernel = [min(k, 1 + (s - 1) // d) for k, s, d in zip(kernel, spatial, dilation, strict=True)]
        conv = PLAIN[axes](*channels, kernel, stride, padding, dilation, groups, bias)
    return conv.double(), folded, spatial


def met(conv, taken, spatial, out):
    """Weights that elements ``taken`` (windows, C, *spatial) meet, one by one: every element, tap and output channel."""
    n, count = conv_axes(conv), 0
    before = [d * (k - 1) // 2 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
    padding = before if conv.padding == "same" else conv.padding
    for place, tap in product(np.ndindex(*spatial), np.ndindex(*conv.kernel_size)):
        to = []
        for axis in range(n):
            at = place[axis], tap[axis] * conv.dilation[axis]
            if conv.transposed:
                to.append(at[0] * conv.stride[axis] - padding[axis] + at[1])
            else:
                whole, rest = divmod(at[0] + padding[axis] - at[1], conv.stride[axis])
                to.append(-1 if rest else whole)
        inside = all(0 <= o < size for o, size in zip(to, out, strict=True))
        count += inside * int(taken[(slice(None), slice(None), *place)].sum()) * (conv.out_channels // conv.groups)
    return count


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 300))])
def test_values_and_counts(seed):
    conv, folded, spatial = drawn(seed)
    model = Two(conv, folded).double().eval()
    channels = conv.in_channels
    shape = (*((WINDOWS,) if folded else ()), channels, *spatial)
    x = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    program = lowered(model, x).program
    with torch.no_grad():
        expected = model(x)
    torch.testing.assert_close(SpikingModel(program).analog(x), expected, rtol=1e-11, atol=1e-11)
    (name,) = [name for name in program.nodes if program.nodes[name].layer == "convolution"]
    node, site = program.nodes[name], Site.of(program, name)
    out = expected.shape[-len(spatial) :]
    windows = WINDOWS if folded else 1
    dense = met(conv, np.ones((windows, channels, *spatial), bool), spatial, out)
    assert program.work(name).dense_macs == dense
    # the operand of the node: channels before the windows
    spikes = np.random.default_rng(seed).random((windows, channels, *spatial)) < 0.3
    operand = np.moveaxis(spikes, 0, 1).reshape(site.operand_shapes[0]).astype(float)
    running = kernel(node, site, np.dtype(float))
    running.step(1, Stream(operand, operand != 0))
    assert running.counts.synops == met(conv, spikes, spatial, out)
    assert running.counts.dense_macs == dense
    single = np.eye(operand.size, dtype=bool).reshape(-1, *operand.shape)
    fans = [running.accesses(one) for one in single]
    assert (min(fans), max(fans)) == program.work(name).fan_out[0] or isinstance(node, ops.Conv1d | ops.Conv2d)


def test_weights_are_those_of_one_window():
    """Windows share them: a folded convolution keeps no more than one that is not."""
    conv = nn.Conv2d(4, 6, 3, padding=1).double()
    made = [
        lowered(Two(conv, folded).eval(), torch.randn(2, *((WINDOWS,) if folded else ()), 4, 5, 5).double()).program
        for folded in (False, True)
    ]
    kept = [sum(prod(node.weight.shape) for node in each.nodes.values() if node.role == "synapse") for each in made]
    assert kept[0] == kept[1]


class Clip(nn.Module):
    """A patch embedding of a clip (C, time, H, W): blocks that do not overlap."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Conv3d(1, 6, (2, 2, 3), (2, 2, 3)), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.embed(x).flatten(2).mT.relu()).mean(1)


def test_patches_of_a_clip_are_what_its_embedding_reads_at_once():
    made = lowered(Clip().eval(), torch.randn(2, 1, 4, 4, 6)).program
    assert made.encoding == {"embed"}
    time, row, column = np.indices((4, 4, 6))
    blocks = (time // 2 * 2 + row // 2) * 2 + column // 3
    assert np.array_equal(patches(made)[0], blocks)
    (rows,) = {name: rows for name, rows in rows_of_patches(made).items() if rows.shape == (8,)}.values()
    assert np.array_equal(rows, np.arange(8))


@pytest.mark.parametrize("equation", ["bhwc,hkc->bhwk", "bhwc,wkc->bhwk", "hkc,bhwc->bhwk"])
def test_a_matrix_for_each_row_or_column_of_an_image(equation):
    """Decomposed relative positions: torch takes the einsum apart into matrices of rows of all samples together."""

    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(3, 5, 6, dtype=torch.float64))

        def forward(self, x):
            return torch.einsum(equation, *((x, self.table) if equation.startswith("b") else (self.table, x)))

    model, x = Positions().eval(), torch.randn(2, 3, 3, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(SpikingModel(lowered(model, x).program).analog(x), model(x), rtol=1e-12, atol=1e-12)
