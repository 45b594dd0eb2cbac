"""Blocks of the bundled model on SANA-FE and here: what is equal, what is near, and what the rest comes from."""

import re
from pathlib import Path

import numpy as np
import pytest

from ecmt_deploy import chips
from tests.support import sanafe_comparison as comparison
from tests.support.replay.loads import Cores
from tests.support.replay.ours import overlapped_ns, soma_pj

pytest.importorskip("sanafe", reason="the cross-check needs SANA-FE: pip install -e '.[crosscheck]' (Linux on x86-64)")
#: asked of a step without queues in the mesh, of one with them, and of the network's energy
STEP, QUEUED, NETWORK = 0.10, 0.25, 0.005


@pytest.fixture(scope="module", params=comparison.STEPS)
def both(request):
    """One block, one sample."""
    return comparison.compared(request.param)


def test_events_packets_and_synapse_energy_are_equal(both):
    ours, theirs = both.ours, both.simple
    assert ours.synops == theirs.synops > 100_000
    assert ours.spikes == theirs.spikes > 1_000
    assert round(ours.packets, 6) == theirs.packets > 1_000
    assert ours.synapse_pj == pytest.approx(theirs.synapse_pj, rel=1e-9)


def test_the_cores_add_up_to_the_run(both):
    """What is counted core by core from spikes is what the run counted by node."""
    assert both.loads.synops.sum() == both.ours.synops
    assert both.loads.spikes.sum() == both.ours.spikes
    assert both.loads.packets.sum() == both.loads.packets_in.sum() == round(both.ours.packets, 6)


@pytest.mark.parametrize("preset", comparison.STEPS)
def test_target_cores_measures_the_same_on_every_core(preset):
    """Of the whole model: spikes and packets of every core in every step of a full pipeline, synaptic events of every core."""
    work = comparison.replayed(preset, ("",), 1)
    found, loads = Cores.of(work), work.loads
    for action in ("spikes", "packets"):
        folded = np.zeros((work.period, loads.cores), np.int64)
        for step, amounts in enumerate(loads.total_of(action)):
            folded[step % work.period] += amounts
        assert np.array_equal(folded, getattr(found, action))
    assert np.array_equal(loads.total("synops").sum(axis=0), found.synops.sum(axis=0))


def test_the_network_differs_by_the_hops_of_its_averages_alone(both):
    ours, theirs, prices = both.ours, both.simple, chips.hardware("loihi1_sanafe").prices
    assert ours.network_pj == pytest.approx(theirs.network_pj, rel=NETWORK)
    # packet by packet there is no difference
    ew, ns = both.loads.hops_ew.sum(), both.loads.hops_ns.sum()
    assert ew + ns == theirs.hops
    hops_pj = ew * prices["hop_ew_pj"].value + ns * prices["hop_ns_pj"].value
    packets_pj = both.loads.packets.sum() * prices["message_pj"].value
    assert hops_pj + packets_pj == pytest.approx(theirs.network_pj, rel=1e-9)


def test_neurons_differ_by_those_of_a_row_that_nothing_reached(both):
    """Our rule books a row as active; SANA-FE books what an event reached itself."""
    assert both.ours.soma_pj == pytest.approx(both.simple.soma_pj, rel=0.02)
    assert soma_pj(both.work, both.loads, both.loads.reached) == pytest.approx(both.simple.soma_pj, rel=1e-9)


def test_a_step_takes_as_long(both):
    """Without queues, and with them: queues make steps longer, never shorter."""
    assert both.ours.steps_ns.mean() == pytest.approx(both.simple.steps_ns.mean(), rel=STEP)
    assert (both.queued.steps_ns >= both.simple.steps_ns).all()
    assert both.ours.steps_ns.mean() == pytest.approx(both.queued.steps_ns.mean(), rel=QUEUED)


def test_a_step_differs_by_what_a_core_does_at_once(both):
    """Every step, to the last digit, once a core takes in packets while it sends, and the barrier is not interpolated."""
    np.testing.assert_allclose(overlapped_ns(both.work, both.loads), both.simple.steps_ns, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("preset", comparison.STEPS)
def test_all_blocks(preset):
    both = comparison.compared(preset, comparison.ALL)
    ours, theirs = both.ours, both.simple
    assert (ours.synops, ours.spikes, round(ours.packets, 6)) == (theirs.synops, theirs.spikes, theirs.packets)
    assert ours.synapse_pj == pytest.approx(theirs.synapse_pj, rel=1e-9)
    assert ours.network_pj == pytest.approx(theirs.network_pj, rel=NETWORK)
    assert ours.steps_ns.mean() == pytest.approx(theirs.steps_ns.mean(), rel=STEP)
    assert ours.steps_ns.mean() == pytest.approx(both.queued.steps_ns.mean(), rel=QUEUED)


@pytest.mark.parametrize(
    ("part", "made"),
    [("sanafe", comparison.table), pytest.param("sanafe, all blocks", comparison.whole, marks=pytest.mark.slow)],
)
def test_the_documented_table_is_of_this_comparison(part, made):
    """Row by row. On another machine conversion rounds otherwise: counts move by some percent, differences hardly."""
    document = (Path(__file__).parents[2] / "docs" / "energy.md").read_text()
    shown = re.search(f"<!-- generated: {part} -->(.*)<!-- end: {part} -->", document, re.DOTALL)
    assert shown
    written, now = ([re.split(r" *\| *", line) for line in text.strip().splitlines()] for text in (shown[1], made()))
    assert [row[:3] for row in written] == [row[:3] for row in now]
    limits = {"no queues": STEP, "queues in": QUEUED, "network": NETWORK, "synap": 1e-6, "packets": 1e-6}
    for was, is_ in zip(written[2:], now[2:], strict=True):
        for before, after in zip(was[3:5], is_[3:5], strict=True):
            assert float(before.replace(",", "")) == pytest.approx(float(after.replace(",", "")), rel=0.1)
        difference = 0.0 if was[5] == "none" else float(was[5].removesuffix(" %")) / 100
        assert abs(difference) <= next((most for what, most in limits.items() if what in was[2]), 1.0)


def test_the_chip_file_has_sana_fes_own_numbers():
    """Every energy of SANA-FE's loihi.yaml that we took, read from the installed package."""
    from importlib.resources import files

    import yaml

    described = yaml.safe_load((files("sanafe.examples") / "loihi.yaml").read_text())["architecture"]
    tile = described["tile"][0]
    core = tile["core"][0]
    unit = {u["name"]: u["attributes"] for part in ("axon_in", "soma", "synapse", "axon_out") for u in core[part]}
    soma, prices, times = unit["loihi_lif"], chips.hardware("loihi1_sanafe").prices, chips.hardware("loihi1_sanafe").times
    for figure, theirs in (
        (prices["synop_pj"], unit["loihi_dense_synapse"]["energy_process_spike"]),
        (prices["synop_conv_pj"], unit["loihi_conv_synapse"]["energy_process_spike"]),
        (prices["neuron_update_idle_pj"], soma["energy_access_neuron"]),
        (prices["neuron_update_active_pj"], soma["energy_access_neuron"] + soma["energy_update_neuron"]),
        (prices["spike_pj"], soma["energy_spike_out"]),
        (prices["message_pj"], unit["loihi_out"]["energy_message_out"]),
        (prices["hop_ew_pj"], tile["attributes"]["energy_east_hop"]),
        (prices["hop_ns_pj"], tile["attributes"]["energy_north_hop"]),
    ):
        assert figure.value == pytest.approx(theirs * 1e12)
    for figure, theirs in (
        (times["neuron_update_idle_ns"], soma["latency_access_neuron"]),
        (times["neuron_update_active_ns"], soma["latency_access_neuron"] + soma["latency_update_neuron"]),
        (times["spike_ns"], soma["latency_spike_out"]),
        (times["message_in_ns"], unit["loihi_in"]["latency_message_in"]),
        (times["message_ns"], unit["loihi_out"]["latency_message_out"]),
        *(
            (point.time, described["attributes"]["latency_sync"][point.tiles])
            for point in chips.hardware("loihi1_sanafe").barrier
        ),
    ):
        assert figure.value == pytest.approx(theirs * 1e9)
