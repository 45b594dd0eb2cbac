"""Whole models on the cores of a chip: spikes, counts and utilisation; the files of their cores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ecmt_deploy import convert, data, models
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.door import as_chip
from ecmt_deploy.placement import place
from ecmt_deploy.program import Program, read
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Probe
from ecmt_deploy.targets.cores import CoresTarget
from ecmt_deploy.testing import differences
from tests.support.trained import program_file


def require_equal(program: Program, x: np.ndarray, chip: str) -> None:
    """Every stream of spikes, readout and count is the reference's, on the cores of the placement."""
    probes = [Probe(name, "spikes") for name in program.neurons]
    run = simulate(program, x, CoresTarget(), None, "fixed", hardware=chip, probes=probes, allow_misfit=True)
    expected = simulate(program, x, "reference", None, "fixed", probes=probes)
    assert list(differences(program, run, expected)) == []
    assert run.loads is not None
    placement = place(program, chip)
    assert run.loads.cores == placement.cores > 1
    for unit in placement.units:  # every core of a unit works
        assert run.loads.events[:, unit.first_core : unit.first_core + unit.cores].any(axis=0).all() or not unit.cores


def pictures(samples: int) -> np.ndarray:
    loaded = models.load("zoo:vit_digits")
    dataset = data.open("digits", preprocessing=loaded.preprocessing, split="test")
    return np.asarray(dataset.take(range(samples)).arrays()[0])


def test_the_bundled_model(digits: Path) -> None:
    require_equal(quantize(read(digits), as_chip("loihi2")), pictures(1), "loihi2")


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "chip"), [
    ("accurate", "loihi2"), ("graded", "loihi2"), ("paper", "loihi1_sanafe"), ("accurate", "loihi1_sanafe"),
])  # fmt: skip
def test_presets_of_the_bundled_model(preset: str, chip: str) -> None:
    made = read(program_file(preset))
    widths = None if chip == "loihi1_sanafe" else as_chip(chip)
    require_equal(quantize(made, widths, made.timesteps), pictures(3), chip)


@pytest.mark.slow
def test_a_block_of_vit_tiny_at_224_px() -> None:
    timm = pytest.importorskip("timm")
    timm.layers.set_fused_attn(False)
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", pretrained=False, depth=1, num_classes=10).eval()
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(5))
    made = convert(module, x, ConvertConfig(preset="accurate")).program
    require_equal(quantize(made, as_chip("loihi2"), made.timesteps), x[:1].numpy(), "loihi2")
