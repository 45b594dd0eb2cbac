"""What ablations leave out is left out: every variant makes another program, and leaves its preset as it was."""

import pytest
import torch

from docs.generate import ablation
from ecmt_deploy.conversion.calibration.accurate import Accurate
from ecmt_deploy.conversion.calibration.graded import Graded
from ecmt_deploy.conversion.calibration.tools.search import Bracket
from ecmt_deploy.conversion.calibration.tools.tuning import Found, Goal, Tuner
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program, Provenance
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer

PRESETS = {"accurate": (Accurate, ablation.ACCURATE, 4), "graded": (Graded, ablation.GRADED, 1)}
SAMPLES = 16
X = torch.from_numpy(images(SAMPLES, seed=1))
MODEL = TinyTransformer(outlier=3.0)


@pytest.fixture(autouse=True)
def one_price(monkeypatch):
    """Every program for the same price, so that what differs is of the variant, not of the search."""

    def tune(self: Tuner) -> Found:
        trial = self.trials.attempt(self.trials.first_price, SAMPLES)
        return Found(Goal("events_per_mac", 1.0), trial, Bracket(None, None))

    monkeypatch.setattr(Tuner, "tune", tune)


@pytest.fixture(scope="module")
def captured():
    return capture(called(MODEL, X), X)


def made(captured, kind: str, name: str) -> Program:
    preset, variants, timesteps = PRESETS[kind]
    with variants[name].preset(preset, timesteps=timesteps) as changed:
        provenance = Provenance(tool_version="test", config=changed.record())
        lowered = lower(captured, changed.coding, X.dtype, provenance, changed.analog_readout_layer)
        return changed.calibrate(lowered, [X], lambda stage, samples: None)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_variant_is_another_program(captured, preset):
    """Than the preset as it is, before all others and after them: changes are taken back."""
    before = made(captured, preset, ablation.AS_IT_IS)
    for name in PRESETS[preset][1]:
        if name != ablation.MAY_BE_LEFT_OUT:
            assert ablation.alike(made(captured, preset, name), before) == (name == ablation.AS_IT_IS), name
    assert ablation.alike(made(captured, preset, ablation.AS_IT_IS), before)


def test_figures_are_those_of_the_tuning_record(captured):
    """On the samples that a program was measured on, all of them where nothing is corrected."""
    program = made(captured, "graded", "no correction")
    with torch.no_grad():
        found = ablation.figures(SpikingModel(program), X, MODEL(X).double())
    tuning = program.provenance.tuning
    assert tuning.samples == SAMPLES
    assert found.distance == pytest.approx(tuning.mean_distance, rel=0.01)
    assert found.relative_error == pytest.approx(tuning.relative_error, rel=0.02)
    assert found.events_per_mac == pytest.approx(tuning.events_per_mac, rel=1e-6)
