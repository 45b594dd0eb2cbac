"""Probes: what is recorded, the same on every target that records, kept in the run and drawn in the report."""

import nir
import numpy as np
import pytest

from ecmt_deploy.errors import ConfigError, RunError, TargetError
from ecmt_deploy.program import read
from ecmt_deploy.report.collect import report_on
from ecmt_deploy.report.write import write_report
from ecmt_deploy.runs.directory import PROBES
from ecmt_deploy.simulation.probes import load_probes, parse_probes, save_probes
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Probe
from ecmt_deploy.testing.handmade import images
from tests.support.runs import simulated
from tests.support.targets import needs_lava

NODE = "head.neuron"


def test_spikes_and_membrane_account_for_the_counts(all_programs):
    program = all_programs["every node, differential"]
    run = simulate(program, images(3), "reference", 4, probes=[NODE, f"{NODE}:membrane"])
    spikes, membrane = run.probes[Probe(NODE)], run.probes[Probe(NODE, "membrane")]
    assert spikes.shape == membrane.shape == (3, 4, *program.shapes[NODE])
    assert np.count_nonzero(spikes) == run.activity[NODE].spikes > 0
    unprobed = simulate(program, images(3), "reference", 4)
    np.testing.assert_array_equal(unprobed.outputs, run.outputs)
    assert np.abs(membrane).max() > 0


@needs_lava
@pytest.mark.parametrize("name", ["every node, rate", "transformer, accurate"])
def test_lava_records_what_the_reference_records(all_programs, name):
    program = all_programs[name]
    asked = [f"{node}:{kind}" for node in program.neurons for kind in ("spikes", "membrane")]
    expected, run = (simulate(program, images(2), target, 3, probes=asked).probes for target in ("reference", "lava"))
    assert list(run) == list(expected)
    for probe, series in expected.items():
        np.testing.assert_array_equal(run[probe], series, err_msg=str(probe))


def test_torch_refuses_in_one_line(all_programs):
    with pytest.raises(TargetError, match="target torch records no probes; use --target reference"):
        simulate(all_programs["every node, rate"], images(1), "torch", 2, probes=[NODE])


def test_unknown_nodes_list_close_matches(all_programs):
    program = all_programs["every node, rate"]
    with pytest.raises(ConfigError, match=r"head.neurn is not in the program; probe a neuron, for example head.neuron"):
        parse_probes(program, ["head.neurn"])
    with pytest.raises(ConfigError, match=r"softmax is a ECM; probe a neuron, for example softmax.neuron"):
        parse_probes(program, ["softmax:spikes"])
    with pytest.raises(ConfigError, match=r"head.neuron:voltage is not in the program"):
        parse_probes(program, ["head.neuron:voltage"])
    assert parse_probes(program, [NODE, f"{NODE}:spikes", f"{NODE}:membrane"]) == (Probe(NODE), Probe(NODE, "membrane"))


def test_the_file_is_nirs_own(tmp_path):
    series = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    save_probes(tmp_path / PROBES, {Probe("a.b"): series, Probe("a.b", "membrane"): -series})
    read = nir.read_data(str(tmp_path / PROBES))
    assert read.nodes["a.b"].observables["spikes"].data.shape == (2, 3, 20)
    assert read.nodes["a.b"].observables["membrane"].dt == 1.0
    np.testing.assert_array_equal(load_probes(tmp_path / PROBES)[Probe("a.b")], series.reshape(2, 3, 20))
    assert load_probes(tmp_path / "absent.h5") == {}


def test_what_is_no_recording_is_refused(tmp_path):
    (tmp_path / "garbage.h5").write_bytes(b"\x89HDF garbage")
    nir.write(tmp_path / "graph.h5", nir.NIRGraph({"a": nir.Linear(np.eye(2))}, [], type_check=False))
    odd = nir.NIRGraphData({"a": nir.NIRNodeData({"pressure": nir.TimeGriddedData(np.zeros((1, 1, 1)), 1.0)})})
    nir.write_data(tmp_path / "odd.h5", odd)
    for name in ("garbage", "graph", "odd"):
        with pytest.raises(RunError, match=f"{name}.h5: no recording of neurons") as caught:
            load_probes(tmp_path / f"{name}.h5")
        assert "\n" not in str(caught.value)


def test_the_report_draws_them(digits, tmp_path):
    program = read(digits)
    node = program.neurons[1]
    asked = (node, f"{node}:membrane")
    simulated(digits, tmp_path / "run", 3, 3, probes=asked)
    (found,) = report_on(tmp_path / "run", ["loihi2"]).probed
    rasters = found.rasters
    assert [(r.node, r.kind, r.samples, r.timesteps) for r in rasters] == [(node, "spikes", 3, 3), (node, "membrane", 3, 3)]
    assert rasters[0].neurons == np.prod(program.shapes[node])
    assert len(rasters[0].rows) <= 400
    assert len(rasters[0].rows[0]) == 9
    assert 0 < rasters[0].spiking < 1
    write_report([tmp_path / "run"], tmp_path / "report.html", ["loihi2"])
    page = (tmp_path / "report.html").read_text()
    assert page.count(f"<h3>{node}</h3>") == 1
    assert page.count(f"of {node}, neurons over samples and steps") == 2
