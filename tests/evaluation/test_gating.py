"""Token gating: what it sends, what it counts, and how good it can be for how much."""

import math

import nir
import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.gates import calibrated
from ecmt_deploy.evaluation.gating import fewest_macs, gated, sweep
from ecmt_deploy.evaluation.streams import fidelity, frozen, network
from ecmt_deploy.program import ops
from ecmt_deploy.testing.handmade import images, neuron
from ecmt_deploy.testing.handmade import program as verified

TOKENS, WIDTH = 5, 3


@pytest.fixture
def model(program) -> SpikingModel:
    return SpikingModel(program).double()


@pytest.fixture
def ungated(program) -> float:
    """Share of the multiply-accumulates whose operand has no neuron: they are done in every frame."""
    work = {n: program.work(n).dense_macs for n in program.of_role("synapse", "product") if n not in program.encoding}
    return sum(macs for n, macs in work.items() if not program.spiking.issuperset(program.operands[n])) / sum(work.values())


def clip(frames: int, clips: int, step: float = 0.3) -> torch.Tensor:
    """Clips (F, B, 2, 4, 4) in which everything drifts."""
    x = np.cumsum(step * images(frames * clips, 3).reshape(frames, clips, 2, 4, 4), axis=0)
    return torch.from_numpy(x.astype(np.float64))


def attending(wired: bool, gain: float = 1.0) -> SpikingModel:
    """Tokens (5, 3) times themselves, then a linear map; ``wired``: the right neuron stands before the transposition."""
    right = ["right", "turn"] if wired else ["turn", "right"]
    nodes = {
        "input": nir.Input(input_type={"input": np.array([TOKENS, WIDTH])}),
        "encode": ops.LastAxisLinear(np.random.default_rng(0).normal(size=(WIDTH, WIDTH))),
        "left": neuron(),
        "turn": ops.Permute(np.array([1, 0])),
        "right": neuron(),
        "scores": ops.ECMProduct(("left", right[-1]), "matmul", "differential"),
        "linear.neuron": neuron(),
        "linear": ops.LastAxisLinear(gain * np.random.default_rng(1).normal(size=(2, TOKENS))),
        "mean": ops.Mean(np.array([0]), False),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([2])}),
    }
    edges = [
        ("input", "encode"), ("encode", "left"), ("encode", right[0]), (right[0], right[1]), ("left", "scores"),
        (right[1], "scores"), ("scores", "linear.neuron"), ("linear.neuron", "linear"), ("linear", "mean"), ("mean", "readout"),
        ("readout", "output"),
    ]  # fmt: skip
    return SpikingModel(verified(nodes, edges))


def moving(moved: list[set[int]], clips: int = 1) -> torch.Tensor:
    """A clip in which the named tokens differ from the frame before."""
    r = np.random.default_rng(5)
    frames = [r.normal(size=(clips, TOKENS, WIDTH))]
    for tokens in moved:
        frame = frames[-1].copy()
        for token in tokens:
            frame[:, token] += r.normal(size=(clips, WIDTH))
        frames.append(frame)
    return torch.from_numpy(np.stack(frames))


@pytest.mark.parametrize("wired", [False, True])
def test_counts_each_term_with_a_changed_factor_once(wired):
    """Of 5 x 3 x 5 terms a token takes part in those of its row and those of its column; then every row has changed."""
    model = attending(wired)
    moved = [{0}, {2, 4}, set(), {0, 1, 2, 3, 4}]
    (found,) = gated(model, calibrated(model, moving(moved)), moving(moved), [0.0])
    terms, linear = TOKENS * WIDTH * TOKENS, TOKENS * TOKENS * 2
    for frame, tokens in zip(found.macs[1:], moved, strict=True):
        kept = TOKENS - len(tokens)
        done = (TOKENS**2 - kept**2) * WIDTH + (linear if tokens else 0)
        assert frame == pytest.approx(done / (terms + linear))
    assert found.macs[0] == 1


def test_finds_where_tokens_are():
    """Of the operand that is transposed, columns are tokens; last axes would send everything at once."""
    moved = [{0}, {3}, {1}]
    gates = calibrated(attending(False), moving(moved))
    assert {name: gate.axis for name, gate in gates.items()} == {"left": 1, "right": 0, "linear.neuron": 1}


def test_without_a_threshold_it_is_the_network(model, ungated):
    x = clip(5, 3)
    reference, (found,) = network(model, x), gated(model, calibrated(model, x), x, [0.0])
    np.testing.assert_allclose(found.values, reference.values, rtol=1e-9, atol=1e-9)
    assert (found.macs[0] == 1).all()
    assert (found.macs <= 1).all()
    assert found.macs.mean() > 0.5
    still = x[:1].expand_as(x)
    (found,) = gated(model, calibrated(model, x), still, [0.0])
    np.testing.assert_allclose(found.macs.sum(axis=0), 1 + 4 * ungated)


def test_where_everything_changes_it_costs_what_the_network_does():
    model = attending(False)
    x = moving([set(range(TOKENS))] * 4, clips=2)
    (found,) = gated(model, calibrated(model, x), x, [0.0])
    assert (found.macs == 1).all()


def test_with_an_infinite_threshold_it_is_frozen(model, ungated):
    """Whatever gates were calibrated on, also where nothing varied."""
    x = clip(4, 2)
    for seen, tuned in [(x, True), (x, False), (x[:1].expand_as(x), True), (x[:1].expand_as(x), False)]:
        (found,) = gated(model, calibrated(model, seen, tuned), x, [math.inf])
        assert (found.values == found.values[:1]).all()
        np.testing.assert_allclose(found.values, frozen(network(model, x)).values)
        np.testing.assert_allclose(found.macs, [[1, 1]] + 3 * [[ungated, ungated]], atol=1e-12)


def test_clips_and_thresholds_are_independent(model):
    x, thresholds = clip(5, 3), [0.05, 0.4, 1.5]
    gates = calibrated(model, x)
    for threshold, together in zip(thresholds, gated(model, gates, x, thresholds), strict=True):
        for b in range(3):
            (alone,) = gated(model, gates, x[:, b : b + 1], [threshold])
            np.testing.assert_allclose(alone.values[:, 0], together.values[:, b], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(alone.macs[:, 0], together.macs[:, b])


def test_what_was_sent_is_never_further_away_than_the_threshold():
    """Change that creeps is sent once it has added up: kept is not what was there a frame ago."""
    model = attending(False)
    x = moving([set()] * 40) + 0.02 * torch.arange(41.0)[:, None, None, None]
    gates = calibrated(model, x)
    (found,) = gated(model, gates, x, [0.5])
    sent = (found.macs[:, 0] > 0).nonzero()[0]
    assert 2 < len(sent) < 20
    assert np.diff(sent).max() - np.diff(sent).min() <= 4
    assert fidelity(found.values, network(model, x).values).cosine > 0.9


@pytest.fixture(scope="module")
def pretrained(digits) -> tuple[SpikingModel, torch.Tensor]:
    """The bundled model, and a clip of a digit that turns into another and back."""
    from ecmt_deploy import data, models

    bundled = models.load("zoo:vit_digits")
    drawn = data.calibration("digits", preprocessing=bundled.preprocessing, n_samples=4, n_classes=10, seed=0)
    ends = torch.from_numpy(drawn.x).reshape(2, 2, *drawn.x.shape[1:])
    share = (0.5 - 0.5 * torch.cos(torch.linspace(0, 2 * math.pi, 16))).reshape(-1, 1, 1, 1, 1)
    return load(digits), (1 - share) * ends[:1] + share * ends[1:]


def test_a_larger_threshold_costs_less_and_is_worse(pretrained):
    model, x = pretrained
    reference = network(model, x).values
    points = sweep(model, calibrated(model, x), x, [0.01, 0.05, 0.2, 0.8, 3.2])
    macs = [float(point.answers.macs.mean()) for point in points]
    cosines = [fidelity(point.answers.values, reference).cosine for point in points]
    assert macs == sorted(macs, reverse=True)
    assert macs[0] > 0.7  # vectors on which nothing depends are sent no more
    assert macs[-1] < 0.2
    assert cosines[0] > 0.999
    assert cosines[-1] < 0.5
    assert cosines == sorted(cosines, reverse=True)


def test_tuned_gates_are_the_stronger_baseline(pretrained):
    """Both have their thresholds about where the spread of operands is."""
    model, x = pretrained
    plain, tuned = (fewest_macs(model, calibrated(model, x, t), x, 0.97) for t in (False, True))
    assert tuned.answers.macs.mean() < plain.answers.macs.mean()
    assert 0.02 < plain.threshold < 2
    assert 0.02 < tuned.threshold < 2


@pytest.mark.parametrize("tuned", [False, True])
def test_gates_do_not_depend_on_the_units_of_the_answer(tuned):
    x = moving([{0, 3}, {1}, {2, 4}], clips=2)
    plain, larger = (calibrated(attending(False, gain), x, tuned) for gain in (1.0, 8.0))
    for name, gate in plain.items():
        assert larger[name].axis == gate.axis
        torch.testing.assert_close(larger[name].scale, gate.scale)


@pytest.mark.parametrize(("measure", "wanted"), [("cosine", 0.9), ("cosine", 0.99), ("agreement", 0.95)])
def test_fewest_macs_of_equal_quality(pretrained, measure, wanted):
    """Nothing of a fine sweep that is as good costs clearly less."""
    model, x = pretrained
    gates, reference = calibrated(model, x), network(model, x).values

    def quality(answers):
        return getattr(fidelity(answers.values, reference), measure)

    point = fewest_macs(model, gates, x, wanted, measure)
    assert quality(point.answers) >= wanted
    good = [p for p in sweep(model, gates, x, np.geomspace(0.01, 3, 40).tolist()) if quality(p.answers) >= wanted]
    assert point.answers.macs.mean() <= min(p.answers.macs.mean() for p in good) + 0.01


def test_what_no_threshold_reaches(pretrained):
    model, x = pretrained
    gates = calibrated(model, x)
    assert fewest_macs(model, gates, x, 1.01) is None
    assert fewest_macs(model, gates, x[:1].repeat(3, *[1] * (x.ndim - 1)), 0.5) is None
    with pytest.raises(ConfigError, match="'error'"):
        fewest_macs(model, gates, x, 0.5, "error")


def test_what_cannot_be_gated(pretrained):
    model, x = pretrained
    with pytest.raises(ConfigError, match="two frames"):
        calibrated(model, x[:1])
    bare = verified(
        {
            "input": nir.Input(input_type={"input": np.array([3])}),
            "encode": nir.Linear(np.eye(3)),
            "readout": ops.Readout("differential"),
            "output": nir.Output(output_type={"output": np.array([3])}),
        },
        [("input", "encode"), ("encode", "readout"), ("readout", "output")],
    )
    with pytest.raises(ConfigError, match="no gate saves anything"):
        gated(SpikingModel(bare), {}, torch.zeros(2, 1, 3), [0.0])
