"""What a program consists of: the same sums from a path, a program, a model and a run, and a table that can be pasted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import asdict

import ecmt_deploy as ecmt
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program.layers import ROOT
from ecmt_deploy.report import units
from ecmt_deploy.runs.directory import load_run
from tests.support.trained import program_file

COUNTED = ("nodes", "parameters", "macs", "neurons", "state_bytes")


@pytest.fixture(scope="module")
def digits_program(tmp_path_factory):
    return Path(shutil.copy(program_file("accurate"), tmp_path_factory.mktemp("program") / "digits.nir"))


@pytest.fixture(scope="module")
def digits_run(digits_program):
    path = digits_program.parent / "run"
    ecmt.simulate(digits_program, "digits", "torch", 2, limit=2, out=path)
    return path


@pytest.fixture(scope="module")
def network():
    return ecmt.models.load("zoo:vit_digits").module


@pytest.mark.parametrize("depth", [None, 1, 2, 9])
def test_modules_add_up_to_the_network(depth, digits_run, network):
    found, activity = ecmt.summary(digits_run, depth), load_run(digits_run).activity
    for name in (*COUNTED, "events"):
        assert sum(getattr(row, name) for row in found.rows) == pytest.approx(getattr(found.total, name))
    assert found.total.parameters == sum(values.numel() for values in network.parameters())
    assert found.total.macs * activity.n_samples == sum(counts.dense_macs for counts in activity.nodes.values())
    assert found.total.events == sum(counts.synops for counts in activity.nodes.values()) / activity.n_samples
    assert (found.events_of, found.timesteps) == ("run", activity.timesteps)
    assert found.events_per_mac == pytest.approx(ecmt.energy(digits_run, hardware="loihi2").events_per_mac)
    for row in found.rows:
        if row.module != ROOT:
            network.get_submodule(row.module)  # a name that can be pasted


def test_a_path_a_program_and_a_model_have_one_summary(digits_program):
    program = ecmt.read(digits_program)
    found = [ecmt.summary(source) for source in (digits_program, str(digits_program), program, ecmt.load(digits_program))]
    assert all(other == found[0] for other in found)
    assert found[0].events_of in (None, "calibration")
    assert found[0].total.events is None
    assert found[0].total.cores is None


def test_an_integer_program_has_the_state_of_its_widths(digits_program):
    program = ecmt.read(digits_program)
    made = ecmt.quantize(program, "loihi2")
    narrow, wide = ecmt.summary(made).total, ecmt.summary(program).total
    assert (narrow.neurons, narrow.macs) == (wide.neurons, wide.macs)
    assert narrow.state_bytes < wide.state_bytes, "24 bits and not 32"


def test_cores_are_those_of_the_placement(digits_program):
    found = ecmt.summary(digits_program, hardware="loihi2")
    assert found.total.cores == sum(row.cores or 0 for row in found.rows) == ecmt.place(digits_program, "loihi2").cores


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_as_text_it_is_a_table_with_whole_names(columns, monkeypatch, digits_run):
    monkeypatch.setenv("COLUMNS", columns)
    found = ecmt.summary(digits_run)
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert len(lines) <= 50
    names = {line.split()[0] for line in lines if line.strip()}
    assert {row.module for row in found.rows} <= names
    assert "total" in names
    shown = " ".join(lines)
    assert ("events" in shown.split("total")[0]) is (columns != "40"), "a narrow terminal shows fewer columns"
    assert f"{found.total.parameters:,}" in shown


def test_unknown_is_not_zero(digits_program):
    found = ecmt.summary(digits_program)
    bare = type(found)(**{**{name: getattr(found, name) for name in found.__struct_fields__}, "events_per_mac": None})
    assert "events per MAC: unknown" in str(bare)
    assert asdict(found.total)["events"] is None


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_without_a_module_is_refused(depth, digits_program):
    with pytest.raises(ConfigError, match="depth is"):
        ecmt.summary(digits_program, depth)


def test_every_place_counts_the_same_parameters(digits_run, network):
    """A table of pandas and a card counted thresholds of neurons, and a bias once for every position."""
    program = load_run(digits_run).program
    own = sum(parameter.numel() for parameter in network.parameters())
    assert program.to_frame()["parameters"].sum() == own
    assert f"parameters</td><td>{units.large(own)}</td>" in program._repr_html_()
    assert ecmt.neurobench(digits_run).parameter_count == own


def test_a_notebook_prints_the_same_table(digits_program, monkeypatch):
    text = str(ecmt.summary(digits_program))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(ecmt.summary(digits_program)).split() == text.split() != []
