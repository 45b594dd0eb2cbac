"""The anchor of the accuracy benchmark: plain quantisation does what it says, and counts events as the library does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from benchmarks import plain
from benchmarks.accuracy import COUNTED, SLACK, Anchored, counted
from benchmarks.subjects import digits
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.engine import SpikingModel

TOKENS, WIDTH, CLASSES = 5, 8, 3


class Attention(nn.Module):
    """A patch embedding, attention of one head and a readout; ``silent`` hidden units are zero after the ReLU."""

    def __init__(self, silent: int = 0):
        super().__init__()
        self.embed, self.qkv = nn.Conv1d(2, WIDTH, 1), nn.Linear(WIDTH, 3 * WIDTH)
        self.hidden, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        with torch.no_grad():
            self.hidden.bias.fill_(20.0)
            self.hidden.bias[:silent] = -20.0

    def forward(self, x):
        q, k, v = self.qkv(self.embed(x).transpose(1, 2)).chunk(3, dim=-1)
        mixed = (q @ k.transpose(1, 2)).softmax(-1) @ v
        return self.head(functional.relu(self.hidden(mixed)).mean(1))


def made(silent: int = 0, n: int = 32) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(silent)
    return Attention(silent).eval(), torch.randn(n, 2, TOKENS)


def by_name(module: nn.Module, x: torch.Tensor, bits: int) -> dict[str, plain.Plain]:
    return dict(plain.plain_quantisations(module, x, bits))


@pytest.fixture(scope="module")
def bundled():
    """The bundled model with calibration and test samples, and the program whose neurons are to send its integers."""
    subject = digits()
    x, test, _ = subject.arrays(COUNTED)
    return subject.model.module, x, test, convert(subject.model.module, x, Anchored()).program


def test_many_bits_change_nothing_and_few_change_much(bundled):
    """Of samples that reach no further than those of calibration: what does is clipped, however many bits there are."""
    module, x, test, _ = bundled
    with torch.no_grad():
        expected, near = module(test), module(x)
    for quantised in by_name(module, x, 16).values():
        assert (plain.answers(module, x, quantised).readouts - near).abs().max() < 0.02
        assert (plain.answers(module, test, quantised).readouts.argmax(1) == expected.argmax(1)).all()
    coarse = plain.answers(module, test, by_name(module, x, 2)["per tensor, largest magnitude"]).readouts
    assert (coarse.argmax(1) == expected.argmax(1)).double().mean() < 0.9


@pytest.mark.parametrize("silent", [0, 3, 8])
def test_events_are_one_less_the_share_of_zeros(silent):
    """Dense operands reach everything: a linear layer's take its MACs, a product's take them twice."""
    module, x = made(silent)
    linear = TOKENS * WIDTH * 3 * WIDTH + TOKENS * WIDTH * WIDTH + WIDTH * CLASSES
    products = 2 * TOKENS * TOKENS * WIDTH
    found = plain.answers(module, x, lambda place, absorbed, operand: operand)
    assert found.dense == len(x) * (linear + products)
    assert found.events == len(x) * (linear + 2 * products - silent * CLASSES)


def test_operands_are_all_that_is_quantised():
    """Every operand of a linear layer and of both products, in order, not the image; by channel where a weight absorbs it: of
    products, the values alone."""
    module, x = made()
    seen = []

    def see(place, absorbed, operand):
        seen.append((place, absorbed, tuple(operand.shape[1:])))
        return operand

    plain.answers(module, x, see)
    wide, square = (TOKENS, WIDTH), (TOKENS, TOKENS)
    shapes = [wide, wide, (WIDTH, TOKENS), square, wide, wide, (WIDTH,)]
    assert seen == [(i, (-1,) if i in (0, 4, 5, 6) else (), shape) for i, shape in enumerate(shapes)]
    quantised = by_name(module, x, 4)
    assert [s.numel() for s in quantised["per channel, at its best"].scales] == [
        WIDTH if i in (0, 4, 5, 6) else 1 for i in range(len(shapes))
    ]
    assert all(s.numel() == 1 for s in quantised["per tensor, at its best"].scales)
    with torch.no_grad():  # outside it the network is what it was
        assert torch.equal(module(x), plain.answers(module, x, lambda place, absorbed, operand: operand).readouts)


@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_integers_are_symmetric_and_of_so_many_bits(bits, seed):
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal(40) * 3)
    scale = torch.tensor(0.25)
    integers = plain.rounded(x, scale, bits) / scale
    most = 2 ** (bits - 1) - 1
    assert torch.equal(integers, integers.round())
    assert integers.abs().max() <= most
    assert torch.equal(plain.rounded(-x, scale, bits), -plain.rounded(x, scale, bits))
    assert ((integers * scale - x).abs() <= scale / 2)[x.abs() <= most * scale].all()


def test_the_best_is_no_worse_on_what_it_was_chosen_by():
    """Clips lessen the squared error of an operand with one massive element."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32))
    x[0, 0] = 10.0
    largest, clipped = (plain._scale(x, 4, (), room) for room in (False, True))
    errors = [(plain.rounded(x, scale, 4) - x).square().mean() for scale in (largest, clipped)]
    assert errors[1] < 0.8 * errors[0]
    assert largest == pytest.approx(10.0 / 7)


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_events_are_those_that_the_library_counts(bundled, bits):
    """On the spiking program that sends its integers, which gives the same answers."""
    module, x, test, program = bundled
    for quantised in by_name(module, x, bits).values():
        found = plain.answers(module, test, quantised)
        activity, filled = counted(program, quantised, test)
        assert activity.events_per_mac(filled.encoding) == pytest.approx(found.events_per_mac, rel=SLACK)
        outputs = SpikingModel(filled)(test, 1)[-1]
        assert (outputs.argmax(-1) == found.readouts.argmax(-1)).double().mean() > 0.97


class Heads(nn.Module):
    """Products of several heads behind one softmax, and a projection; the weights of attention pass a dropout as in timm."""

    def __init__(self, heads: int):
        super().__init__()
        self.heads, self.drop = heads, nn.Dropout(0.0)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = self.drop((q @ k.transpose(-2, -1)).softmax(dim=-1))
        return self.proj((weights @ v).transpose(1, 2).reshape(n, tokens, WIDTH)).mean(1)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_scales_of_the_values_are_absorbed_by_the_projection(heads):
    """One a head and channel, and the same answers where values are powers of two larger and the weight takes them off."""
    torch.manual_seed(heads)
    module, x = Heads(heads).eval(), torch.randn(32, TOKENS, WIDTH)
    before = by_name(module, x, 5)
    assert before["per channel, at its best"].scales[4].shape == (heads, 1, WIDTH // heads)
    found = {name: plain.answers(module, x, quantised).readouts for name, quantised in before.items()}
    factors = 2.0 ** torch.randint(-4, 5, (WIDTH,))
    with torch.no_grad():
        module.qkv.weight[2 * WIDTH :] *= factors[:, None]
        module.qkv.bias[2 * WIDTH :] *= factors
        module.proj.weight /= factors
    after = {name: plain.answers(module, x, quantised).readouts for name, quantised in by_name(module, x, 5).items()}
    change = {name: float((after[name] - found[name]).abs().max() / found[name].abs().max()) for name in found}
    assert change["per channel, at its best"] < 1e-4
    assert change["per tensor, at its best"] > 1e-3


def test_a_fused_attention_is_refused():
    """Its operands would stay as they are, unseen."""

    class Fused(nn.Module):
        def forward(self, x):
            return functional.scaled_dot_product_attention(x, x, x)

    with pytest.raises(ValueError, match="fused"):
        plain.answers(Fused(), torch.ones(1, 2, 4), lambda place, absorbed, operand: operand)
