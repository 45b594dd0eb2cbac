"""Preset ``accurate``: budgets are kept, prices trade error for events, expectations change no mathematics, nothing is tuned
to outliers away."""

import functools
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.calibration.tools.allocation import level_neuron
from ecmt_deploy.conversion.calibration.tools.expectation import with_expectations
from ecmt_deploy.conversion.calibration.tools.misleading import misled
from ecmt_deploy.conversion.calibration.tools.survey import Survey, survey
from ecmt_deploy.conversion.calibration.tools.trials import Trials
from ecmt_deploy.conversion.calibration.tools.tuning import LOWEST_PRICE, Tuner
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.program import Provenance, ops
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.targets.reference import ReferenceTarget
from ecmt_deploy.testing.handmade import every_node, images
from ecmt_deploy.testing.transformer import TinyTransformer

FLOAT64 = np.dtype(np.float64)


def calibration(count: int = 32) -> torch.Tensor:
    return torch.from_numpy(images(count, seed=1))


def lowered(model: nn.Module, x: torch.Tensor):
    return lower(capture(called(model, x), x), "differential", x.dtype, Provenance(tool_version="test"), False)


@functools.cache
def within(budget: float) -> SpikingModel:
    """The model as it is converted within a budget, once for all tests that look at it."""
    return convert(TinyTransformer(outlier=3.0), calibration(), ConvertConfig(budget=budget))


@pytest.mark.parametrize("budget", [0.2, 0.5, 1.5])
def test_a_budget_is_kept_on_other_samples(budget):
    spiking = within(budget)
    _, activity = spiking.count(torch.from_numpy(images(64, seed=2)), 4)
    spent = activity.events_per_mac(spiking.program.encoding)
    assert 0.7 * budget < spent <= 1.05 * budget
    assert spiking.program.provenance.tuning.events_per_mac <= budget


@pytest.fixture(scope="module", params=[None, pytest.param(2, marks=pytest.mark.slow)])
def trials(request):
    """Of few levels too, with which events no longer fall steadily with the price."""
    x = calibration()
    config = ConvertConfig(levels=request.param)
    return Trials(lowered(TinyTransformer(outlier=3.0), x), x, config, lambda stage, samples: None)


def test_every_budget_between_the_extremes_is_met(trials):
    """As closely as prices can be told apart; below it ends only where no more events bring the answer nearer."""
    most, tuner = trials.attempt(trials.first_price * LOWEST_PRICE, 32), Tuner(trials, None)
    for budget in (*np.geomspace(0.01, 0.9, 7) * most.events_per_mac, 2 * most.events_per_mac):
        found = tuner.spend(budget, trials.first_price)
        assert found.best.events_per_mac <= budget
        near = found.best.events_per_mac >= 0.98 * budget
        narrow = found.bracket.over is not None and found.bracket.over.at - found.bracket.under.at <= 0.3
        assert near or narrow or found.best.distance < 1.2 * most.distance


def test_a_budget_below_silence_is_refused(trials, monkeypatch):
    attempt = trials.attempt

    def dearer(price, samples):
        trial = attempt(price, samples)
        return replace(trial, events_per_mac=trial.events_per_mac + 0.5)

    monkeypatch.setattr(trials, "attempt", dearer)
    with pytest.raises(ConversionError, match="a budget of 0.4 events per MAC cannot be met: .* are silent takes 0.5"):
        Tuner(trials, 0.4).tune()


def test_the_record_says_how_far_the_search_got():
    record = within(0.5).program.provenance.tuning
    assert record.goal == "events_per_mac"
    assert record.events_per_mac <= record.most < 0.5
    assert record.beyond is None or record.beyond > record.most
    assert record.mean_distance <= record.relative_error**0.5 <= record.worst_distance
    record = convert(TinyTransformer(outlier=3.0), calibration(), ConvertConfig(timesteps=8)).program.provenance.tuning
    assert record.goal == "distance"
    assert record.mean_distance < 1.3 * record.most


@pytest.mark.parametrize(("outlier", "expected"), [(3.0, False), (300.0, True)])
def test_gradients_mislead_where_softmax_is_saturated(outlier, expected):
    x = calibration()
    trials = Trials(lowered(TinyTransformer(outlier=outlier), x), x, ConvertConfig(), lambda stage, samples: None)
    model = SpikingModel(trials.program(10 * trials.first_price))
    assert misled(model, trials.answers, trials.surveys, 4) == expected


def test_a_conversion_is_the_same_every_time():
    first = within(0.5).program
    second = convert(TinyTransformer(outlier=3.0), calibration(), ConvertConfig(budget=0.5)).program
    assert first.provenance == second.provenance
    for name in first.neurons:
        for mine, other in zip(parameters(first.nodes[name]), parameters(second.nodes[name]), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_more_events_buy_a_smaller_error():
    model, x = TinyTransformer(outlier=3.0), torch.from_numpy(images(64, seed=2))
    with torch.no_grad():
        expected = model(x)
    errors = []
    for budget in (0.2, 0.5, 1.5):
        errors.append(float((within(budget)(x, 4)[-1] - expected).norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * errors[0]


def test_the_smallest_budget_is_silence():
    spiking = convert(TinyTransformer(), calibration(), ConvertConfig(budget=1e-3))
    assert 0 <= spiking.program.provenance.tuning.events_per_mac <= 1e-3
    assert spiking(calibration(2), 4).isfinite().all()


@pytest.mark.parametrize("timesteps", [1, 2, 8])
def test_tuning_is_for_the_number_of_steps_asked_for(timesteps):
    spiking = convert(TinyTransformer(), calibration(), ConvertConfig(timesteps=timesteps))
    record = spiking.program.provenance.tuning
    assert record.timesteps == spiking.program.timesteps == timesteps
    assert 16 <= record.samples <= 32


def test_a_constant_answer_is_refused():
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(32, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(0.0 * self.a(x.flatten(1)))

    with pytest.raises(ConversionError, match="the readout varies by 0 over the 32 calibration samples"):
        convert(Constant().eval(), calibration())


def test_saturated_attention_is_found_out():
    """Behind a softmax that answers 0 or 1 gradients vanish; measured one by one, its neurons are seen to matter."""
    model, x = TinyTransformer(outlier=300.0), torch.from_numpy(images(32, seed=2))
    spiking = convert(model, calibration(16))
    assert spiking.program.provenance.tuning.relative_error < 5e-3
    with torch.no_grad():
        expected = model(x)
    assert float((spiking(x, 4)[-1] - expected).norm() / expected.norm()) < 0.1


def test_tokens_on_which_nothing_depends_are_silent():
    """Only the class token leaves the last block: whatever the other tokens do there is not worth a spike."""
    spiking = convert(TinyTransformer(outlier=3.0), calibration())
    node = spiking.program.nodes["fc1.neuron"]
    assert (node.lowest_level[1:] == node.levels).all()
    assert (node.lowest_level[0] < node.levels).any()
    activity = simulate(spiking, images(4), "reference", 4).activity
    _, counted = spiking.count(torch.from_numpy(images(4)), 4)
    assert activity["fc1.neuron"].spikes == counted["fc1.neuron"].spikes > 0


def test_sensitivity_is_the_mean_squared_derivative_over_the_variance():
    """Against autograd's full Jacobian, for a model whose answer is linear in one operand."""

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(32, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.second(torch.tanh(self.first(x.flatten(1))))

    model, x = Small().double().eval(), calibration(4096).double()
    (seen,) = survey(SpikingModel(lowered(model, x).program), x, 1.0, lambda samples: None).values()
    expected = (model.second.weight**2).sum(0).detach().numpy()
    np.testing.assert_allclose(seen.sensitivity, expected, rtol=0.1)
    operand = torch.tanh(model.first(x.flatten(1))).detach()
    np.testing.assert_allclose(seen.expected, operand.mean(0).numpy(), atol=1e-12)
    np.testing.assert_allclose(seen.reach, (operand - operand.mean(0)).abs().amax(0).numpy(), atol=1e-12)


def test_fan_out_is_synops_per_spike():
    """Where every element of every neuron spikes once, spikes times fan-out are the dense MACs of its consumers."""
    program = every_node("differential")
    model = SpikingModel(program)
    dense = {name: op.dense for name, op in zip(program.nodes, model.ops, strict=True) if hasattr(op, "dense")}
    for name, fan_out in program.fan_outs.items():
        spikes = int(np.prod(program.shapes[name]))
        takers = [taker for taker, sources in program.operands.items() for source in sources if source == name]
        assert spikes * fan_out == pytest.approx(sum(dense[taker] for taker in takers if taker in dense))


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), price=st.floats(1e-9, 1e3), limit=st.integers(1, 15), axis=st.sampled_from([None, 0, 1]))
def test_a_neuron_reaches_its_operand_and_stops_at_its_dead_zone(seed, price, limit, axis):
    r = np.random.default_rng(seed)
    sensitivity = r.lognormal(0, 3, (3, 4)) * (r.random((3, 4)) > 0.2)
    seen = Survey(r.normal(size=(3, 4)), r.lognormal(0, 2, (3, 4)), sensitivity)
    node = level_neuron(seen, 5.0, price, axis, limit, 0.74, -seen.expected)
    assert 1 <= node.levels <= limit
    highest = node.positive_base * 2.0 ** (node.levels - 1)
    others = tuple(i for i in range(2) if i != axis)
    reach = seen.reach.max(axis=others, keepdims=True)
    assert (highest >= reach * (1 - 1e-9)).all() or node.levels == limit or (node.positive_base >= reach).any()
    assert (node.lowest_level[sensitivity == 0] == node.levels).all() or node.levels == limit == 1
    zone = np.sqrt(price * 5.0 / np.maximum(sensitivity, 1e-300))
    smallest = node.positive_base * 2.0 ** node.lowest_level.astype(float)
    free = (node.lowest_level > 0) & (node.lowest_level < node.levels)
    ratio = (smallest / zone)[free]
    assert ((ratio > 0.7) & (ratio < 1.42)).all()


def test_expectations_change_no_mathematics():
    """Any expectation, for every kind of consumer: with neurons as identity the program computes what it did."""
    r = np.random.default_rng(0)
    program = every_node("differential")
    for name in program.neurons:
        program.nodes[name].initial_membrane = np.zeros(())
    for node in program.nodes.values():
        if isinstance(node, ops.ECMProduct):
            node.left_initial = node.right_initial = np.zeros(())
    neurons = {name: expecting(program.nodes[name], r.normal(size=program.shapes[name])) for name in program.neurons}
    x = images(3).astype(np.float64)
    before = ReferenceTarget().run(program, x, 3, dtype=FLOAT64, identity_neurons=True).outputs
    made = with_expectations(program, neurons)
    after = ReferenceTarget().run(made, x, 3, dtype=FLOAT64, identity_neurons=True).outputs
    np.testing.assert_allclose(after, before, atol=1e-9 * np.abs(before).max())
    engine = SpikingModel(made).double().analog(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(engine, before[0], atol=1e-9 * np.abs(before).max())


def expecting(node: ops.Op, initial: np.ndarray) -> ops.Op:
    return replace(node, initial_membrane=initial)


def test_the_record_of_tuning_is_kept_in_the_file(tmp_path):
    from ecmt_deploy.engine import load

    spiking = within(0.5)
    spiking.save(tmp_path / "p.nir")
    assert load(tmp_path / "p.nir").program.provenance.tuning == spiking.program.provenance.tuning
    assert msgspec.to_builtins(spiking.program.provenance.tuning)["trials"] >= 1
