"""Rows of neurons that stand for patches of the input, on models of several families: what changes when a patch changes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.program.patches import patches, rows_of_patches
from tests.support.families import FAMILIES, inputs, randomised


@cache
def made(name: str):
    (family,) = [family for family in FAMILIES if family.name == name]
    model = convert(randomised(family), inputs(family, 4, seed=3), ConvertConfig(preset="paper")).double()
    return model, inputs(family, 1, seed=4).double()


def moved(model, x: torch.Tensor, patch: np.ndarray) -> dict[str, np.ndarray]:
    """Of every neuron, the rows whose input changes in the analog network when this patch of the sample does."""
    changed = x.clone()
    changed[0, torch.from_numpy(patch)] += 1.0
    found: dict[str, np.ndarray] = {}

    def observe(name, value):
        found[name] = (value[0] - value[1]).abs().amax(-1).numpy() > 1e-9

    model.analog(torch.cat([x, changed]), observe=observe)
    return found


@pytest.mark.parametrize("name", ["ViT, class token", "ViT, average pooling", "Swin"])
def test_rows_follow_their_patch(name):
    model, x = made(name)
    numbers, rows = patches(model.program), rows_of_patches(model.program)
    count = numbers.max() + 1
    assert count == {"Swin": 256}.get(name, 16)
    # behind the embedding: what the first attention takes, before it mixes patches
    early = [neuron for neuron in list(rows)[:4] if not neuron.endswith("matmul_1.neuron_left")]
    assert [neuron.rpartition("attn.")[2] for neuron in early] == ["qkv.neuron", "matmul.neuron_left", "matmul_1.neuron_right"]
    assert len(rows) == 14
    for neuron, patch_of in rows.items():
        assert patch_of.shape == model.program.shapes[neuron][:-1]
        assert set(np.unique(patch_of)) == set(range(0 if name != "ViT, class token" else -1, count))
    for patch in np.random.default_rng(0).choice(count, 4, replace=False):
        found = moved(model, x, numbers == patch)
        for neuron in early:
            np.testing.assert_array_equal(found[neuron], rows[neuron] == patch, err_msg=neuron)
        for neuron in rows:
            assert found[neuron][rows[neuron] == patch].all(), f"{neuron}: its own row stays"


def test_rows_behind_a_mean_or_a_merge_of_patches_are_of_none():
    model, _ = made("Swin")
    rows = rows_of_patches(model.program)
    assert {name.partition(".blocks")[0] for name in rows} == {"layers.0"}
    assert "layers.1.downsample.reduction.neuron" in model.program.neurons


def test_a_network_of_convolutions_has_no_rows_of_patches():
    model, _ = made("ConvNeXt")
    assert patches(model.program).max() + 1 == 64
    assert rows_of_patches(model.program) == {}
