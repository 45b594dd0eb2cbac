"""Energy of frames: prices found once give what pricing every frame by itself gives."""

from __future__ import annotations

import numpy as np
import pytest

import ecmt_deploy as ecmt
from ecmt_deploy.estimation.frames import FramePrices
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.testing import case
from tests.support.streams import clip


@pytest.fixture(scope="module")
def run():
    chosen = case("transformer, graded")
    return stream(chosen.program, list(clip(chosen.inputs, 12)), "torch", gate=0.0)


@pytest.mark.parametrize("chip", ecmt.chips())
def test_a_frame_costs_what_it_costs_alone(run, chip):
    prices = FramePrices(run.program, chip, 1)
    found = prices.energy(run.frames)
    for i in range(len(run.frames)):
        alone = ecmt.energy(run.frames[i], run.program, chip)
        dynamic = sum(band.value for component, band in alone.components_pj.items() if component != "static")
        np.testing.assert_allclose(found.chip_pj[i], dynamic, rtol=1e-9)
        np.testing.assert_allclose(found.snn_pj[i], sum(alone.memory.snn_pj.values()), rtol=1e-12)
        np.testing.assert_allclose(found.ann_pj, sum(alone.memory.ann_pj.values()), rtol=1e-12)
    np.testing.assert_allclose(prices.chip_pj(run.activity), found.chip_pj.mean(), rtol=1e-9)


def test_a_frame_in_which_nothing_changes_costs_next_to_nothing(run):
    still = stream(run.program, [np.zeros(run.program.input_shape, np.float32)] * 3, "torch")
    prices = FramePrices(run.program, "loihi2", 1).energy(still.frames)
    assert still.frames.of("synops")[1:].sum() == 0
    assert prices.snn_pj[2] < 0.1 * prices.ann_pj
