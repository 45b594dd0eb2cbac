"""A run says on which machine it was made; of what nobody knows it says nothing."""

import platform

import msgspec
import numpy as np
import pytest

import ecmt_deploy as ecmt
from ecmt_deploy.runs import machine
from ecmt_deploy.runs.directory import load_run
from ecmt_deploy.runs.record import RunRecord


@pytest.fixture(scope="module")
def digits_run(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    ecmt.simulate(digits, "digits", "torch", 1, limit=1, out=out)
    return out


def test_a_run_keeps_it(digits_run):
    found = load_run(digits_run).record.machine
    assert found is not None
    assert found.python == platform.python_version()
    assert found.libraries["numpy"] == np.__version__
    assert found.threads is not None
    assert f"Python {found.python}" in str(found)


@pytest.mark.parametrize(
    "text",
    [
        "processor\t: 0\n", "", "model name : One\nmodel name : Two\n", "processor : 0\nCPU part : 0xd0c\nHardware : One\n",
        "cpu\t\t: One\nclock : 3\n", "uarch : One\n", "cpu model : One\n", "model name :\nHardware : One\n", "no colon at all",
    ],
)  # fmt: skip
@pytest.mark.parametrize("python", ["", "aarch64", "One"])
def test_the_processor_is_named_where_the_system_names_it(text, python, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    monkeypatch.setattr(machine, "CPUINFO", file)
    monkeypatch.setattr(platform, "processor", lambda: python)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")  # an architecture, and no processor
    assert machine.this_machine().cpu == ("One" if "One" in text + python else None)


def test_other_systems_tell_python(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(platform, "processor", lambda: "")
    found = machine.this_machine()
    assert found.cpu is None
    assert str(found).startswith("processor unknown, ")


def test_old_runs_are_read(digits_run):
    record = load_run(digits_run).record
    old = msgspec.to_builtins(record)
    del old["machine"]
    assert msgspec.convert(old, RunRecord) == msgspec.structs.replace(record, machine=None)
