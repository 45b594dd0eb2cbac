"""The same spiking network on SANA-FE and here: the same spikes and packets, and energies whose differences are explained."""

from pathlib import Path

import pytest

from ecmt_deploy import chips
from tests.support import sanafe_comparison as comparison

pytest.importorskip("sanafe", reason="the cross-check needs SANA-FE: pip install -e '.[crosscheck]' (Linux on x86-64)")


@pytest.fixture(scope="module")
def mine():
    return comparison.ours()


@pytest.fixture(scope="module")
def other(mine):
    return comparison.theirs(mine)


def test_the_same_spikes_and_packets(mine, other):
    assert mine.side.spikes == other.spikes > 5000
    assert mine.side.packets == other.packets
    # the routes average over elements, spikes do not
    assert mine.side.hops == pytest.approx(other.hops, rel=0.01)


def test_energies_agree_and_what_differs_is_explained(mine, other):
    """Within the 5 % that are asked for; and what is left is to the picojoule what docs/energy.md says."""
    ours = mine.side
    for field in ("synapse_pj", "soma_pj", "network_pj"):
        assert getattr(ours, field) == pytest.approx(getattr(other, field), rel=0.05)
    prices = chips.hardware("loihi1_sanafe").prices
    assert ours.synapse_pj == pytest.approx(other.synapse_pj, rel=1e-9)
    # SANA-FE updates a neuron with something on its membrane at every step, we one that something reaches
    update = prices["neuron_update_active_pj"].value - prices["neuron_update_idle_pj"].value
    assert ours.soma_pj + (other.updates - ours.updates) * update == pytest.approx(other.soma_pj, rel=1e-9)
    # all hops that differ go east or west here
    assert ours.network_pj + (other.hops - ours.hops) * prices["hop_ew_pj"].value == pytest.approx(other.network_pj, rel=1e-9)


def test_a_step_without_queues_takes_as_long(mine):
    assert mine.side.step_ns == pytest.approx(comparison.theirs(mine, "simple").step_ns, rel=0.05)


def test_the_documented_table_is_what_the_command_prints():
    document = Path(__file__).parents[2] / "docs" / "energy.md"
    assert comparison.table() in document.read_text()


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
