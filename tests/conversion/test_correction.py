"""Corrected weights bring spiking answers nearer and leave the analog network as it is, whatever reaches a neuron."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.planted import plant
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.calibration.tools import correction
from ecmt_deploy.conversion.calibration.tools import trials as trials_module
from ecmt_deploy.conversion.calibration.tools.correction import corrected
from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.conversion.calibration.tools.trials import Trials
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.program import Provenance, ops
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer
from tests.support.families import FAMILIES, inputs, randomised

GRADED, RIDGE = ConvertConfig("graded"), 2.0


def samples(count: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(images(count, seed=seed))


def alike(count: int, seed: int) -> torch.Tensor:
    """Samples of few patterns and a little noise: elements that go together, as those of images do."""
    r, patterns = np.random.default_rng(seed), np.random.default_rng(77).normal(size=(4, 32))
    drawn = r.normal(size=(count, 4)) @ patterns + 0.1 * r.normal(size=(count, 32))
    return torch.from_numpy((drawn / 2).reshape(count, 2, 4, 4).astype(np.float32))


def trials_of(model, x, config=GRADED):
    lowered = lower(capture(called(model, x), x), "differential", x.dtype, Provenance(tool_version="test"), False)
    return Trials(lowered, x, config, lambda stage, samples: None)


@pytest.fixture(scope="module")
def coarse():
    """A program whose neurons keep much back, not corrected, and the samples that it was made from."""
    x = alike(64, 1)
    trials = trials_of(TinyTransformer(outlier=3.0), x)
    return trials.uncorrected(1e5 * trials.first_price), x


def distance(program, x, timesteps=1):
    model = SpikingModel(program)
    expected = model.analog(x)
    return float((model(x, timesteps)[-1] - expected).norm() / expected.norm())


def linears(program):
    return {name for name, node in program.nodes.items() if node.layer == "linear" and name not in program.encoding}


def test_answers_come_nearer_and_the_analog_network_stays_as_it_is(coarse):
    program, x = coarse
    made = corrected(program, x, 1, RIDGE)
    assert {type(made.nodes[name]).__name__ for name in linears(program)} == {"CorrectedLinear"}
    before, after = (SpikingModel(each).analog(x) for each in (program, made))
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5 * float(before.abs().max()))
    others = alike(64, 9)
    assert distance(made, others) < 0.95 * distance(program, others)
    assert SpikingModel(made).count(others, 1)[0].shape == (1, 64, 5)


def test_two_corrections_are_the_same(coarse):
    program, x = coarse
    once, again = (corrected(program, x, 1, RIDGE) for _ in range(2))
    for name, node in once.nodes.items():
        assert all(map(np.array_equal, parameters(node), parameters(again.nodes[name])))


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e25, 1e30])
def test_corrections_do_not_depend_on_the_scale(coarse, scale):
    """A layer whose operand is so many times larger, and its weights smaller, has the same correction of its answers."""
    r = np.random.default_rng(0)
    rows = torch.from_numpy(r.normal(size=(200, 6)).astype(np.float32) @ r.normal(size=(6, 6)).astype(np.float32))
    sent = rows * (rows.abs() > 1)
    foretells = correction.regression(sent, rows - sent, 2.0)
    assert foretells.abs().max() > 0.01
    scaled = correction.regression(scale * sent, scale * (rows - sent), 2.0)
    torch.testing.assert_close(scaled, foretells, rtol=1e-3, atol=1e-4)
    node = ops.LastAxisLinear(r.normal(size=(3, 6)).astype(np.float32))
    small = ops.LastAxisLinear((node.weight / np.float32(scale)).astype(np.float32))
    plain, other = correction.with_correction(node, foretells), correction.with_correction(small, foretells)
    change, changed = (made.weight - own.weight for made, own in ((plain, node), (other, small)))
    np.testing.assert_allclose(changed * np.float32(scale), change, rtol=0.02, atol=2e-3 * np.abs(change).max())


def test_what_sends_nothing_is_not_corrected(coarse):
    program, x = coarse
    silent = {
        name: replace(
            program.nodes[name], least=np.full_like(program.nodes[name].least, 2 ** (program.nodes[name].payload_bits - 1))
        )
        for name in program.neurons
    }
    program = with_nodes(program, silent)
    made = corrected(program, x, 1, RIDGE)
    for name in linears(program):
        assert not made.nodes[name].correction.any()
        np.testing.assert_array_equal(made.nodes[name].weight, program.nodes[name].weight)


class Shared(nn.Module):
    """A neuron that feeds a product too, a constant operand, and one that never varies."""

    def __init__(self):
        super().__init__()
        self.embed, self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.query, self.head = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 5)

    def forward(self, x):
        x = self.embed(x).tanh()
        x = torch.cat([x, x[:, :1] * 0], dim=1)
        weights = (self.query.expand(x.shape[0], -1, -1) @ x.transpose(1, 2)).softmax(-1)
        return self.head(self.b(weights @ x) * self.a(x).mean(1, keepdim=True)).mean(1)


def test_a_neuron_that_feeds_a_product_too_is_left():
    torch.manual_seed(0)
    x = torch.randn(32, 4, 6)
    trials = trials_of(Shared().eval(), x)
    program = trials.uncorrected(1e3 * trials.first_price)
    made = corrected(program, x, 1, RIDGE)
    takers = {name: [n for n, sources in program.operands.items() if name in sources] for name in program.neurons}
    alone = {t for ts in takers.values() if all(program.nodes[t].layer == "linear" for t in ts) for t in ts}
    assert {name for name, node in made.nodes.items() if node.kind == "CorrectedLinear"} == alone
    assert alone
    torch.testing.assert_close(SpikingModel(made).analog(x), SpikingModel(program).analog(x), rtol=1e-4, atol=1e-5)


def test_payloads_that_clip_do_not_mislead():
    """What follows at later steps is sent, not kept back: after all steps the answer is as near as without corrections."""
    x = samples(48)
    config = ConvertConfig("graded", payload_bits=2, timesteps=16)
    trials = trials_of(TinyTransformer(outlier=3.0), x, config)
    program = trials.uncorrected(trials.first_price)
    others = samples(32, seed=7)
    assert distance(corrected(program, x, 16, RIDGE), others, 16) < 1.2 * distance(program, others, 16) + 1e-3


def test_samples_are_as_many_as_memory_has_room_for(coarse, monkeypatch):
    program, x = coarse
    sizes = []
    analog = SpikingModel.analog
    monkeypatch.setattr(
        SpikingModel, "analog", lambda self, x, *more, **how: sizes.append(len(x)) or analog(self, x, *more, **how)
    )
    for room in (1, 3, 10**6):
        monkeypatch.setattr(correction, "MEMORY_BYTES", 2 * room * SpikingModel(program).step_bytes)
        corrected(program, x, 1, RIDGE)
    assert sizes == [2, 6, 2 * len(x)]


@pytest.mark.parametrize("count", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (3, 5))])
def test_few_calibration_samples_are_enough(count):
    spiking = convert(TinyTransformer(outlier=3.0), samples(count), GRADED)
    assert distance(spiking.program, samples(16, seed=4)) < 0.3


def test_one_calibration_sample_does_not_vary():
    with pytest.raises(ConversionError, match="the readout varies by 0 over the 1 calibration samples"):
        convert(TinyTransformer(), samples(1), GRADED)


def test_double_precision_stays_double():
    spiking = convert(TinyTransformer(outlier=3.0).double(), samples(24).double(), ConvertConfig("graded", budget=0.5))
    assert spiking.program.dtype == np.float64
    assert convert(TinyTransformer(outlier=3.0).bfloat16(), samples(24), GRADED).program.dtype == np.float32


def test_a_corrected_program_runs_from_a_file_everywhere_and_in_integers(tmp_path, monkeypatch):
    monkeypatch.setattr(trials_module, "RIDGES", (4.0,))  # whether it is better than none is another question
    x = alike(64, 1)
    spiking = convert(TinyTransformer(outlier=10.0), x, ConvertConfig("graded", budget=0.2))
    assert any(node.kind == "CorrectedLinear" for node in spiking.program.nodes.values())
    spiking.save(tmp_path / "p.nir")
    loaded = load(tmp_path / "p.nir")
    assert torch.equal(loaded(x, 1), spiking(x, 1))
    assert torch.equal(loaded.analog(x), spiking.analog(x))
    runs = [simulate(loaded.program, x[:4].numpy().astype(np.float64), target, 1) for target in ("reference", "torch")]
    assert runs[0].activity == runs[1].activity
    fixed = quantize(loaded.program)
    assert not any(node.kind == "CorrectedLinear" for node in fixed.nodes.values())
    outputs = simulate(fixed, x[:4].numpy().astype(np.float64), "reference", 1, precision="fixed").outputs[-1]
    expected = spiking.analog(x[:4]).numpy()
    assert np.linalg.norm(outputs - expected) < 0.3 * np.linalg.norm(expected)


def test_corrections_that_lead_away_are_left_out(monkeypatch):
    """Whatever ridge is tried, each is judged on samples that it is not learnt from."""
    monkeypatch.setattr(trials_module, "corrected", lambda program, x, steps, ridge: with_nodes(program, {
        name: replace(program.nodes[name], weight=program.nodes[name].weight * np.float32(1.5)) for name in linears(program)
    }))  # fmt: skip
    assert trials_of(TinyTransformer(outlier=3.0), alike(64, 1)).ridge == inf


# --- outliers ---------------------------------------------------------------------------------------------------------


def _planted():
    model = randomised(FAMILIES[0])
    plant(model)
    return model


def _far_apart():
    """Tokens that differ by orders of magnitude, as registers and class tokens do."""
    model = randomised(FAMILIES[3])
    with torch.no_grad():
        model.reg_token[:, :2] *= 300
        model.cls_token *= 0.01
        model.pos_embed[:, 1:3] *= 50
    return model


def _saturated():
    """Attention that picks one token."""
    model = randomised(FAMILIES[0])
    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.weight[: 2 * block.attn.qkv.in_features] *= 2
    return model


@pytest.mark.parametrize("build", [_planted, *(pytest.param(b, marks=pytest.mark.slow) for b in (_far_apart, _saturated))])
def test_outliers_do_not_keep_the_preset_from_the_answer(build):
    """As near as without outliers, at no more events."""
    model, x = build(), inputs(FAMILIES[0], 32, 3)
    others = inputs(FAMILIES[0], 32, 4)
    spiking = convert(model, x, GRADED)
    with torch.no_grad():
        expected = model(others)
    outputs, activity = spiking.count(others, 1)
    spread = (expected - expected.mean(0)).norm()
    torch.testing.assert_close(spiking.analog(others), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert float((outputs[-1] - expected).norm() / spread) < 0.05
    assert activity.events_per_mac(spiking.program.encoding) <= 1.05
