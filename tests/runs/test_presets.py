"""A sweep over presets: converted once each, run with their own steps, what cannot be had is left out and said."""

import csv
import logging
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.errors import ConversionError, RunError
from ecmt_deploy.program import read, write
from ecmt_deploy.runs.presets import configs, parse_budgets
from ecmt_deploy.runs.sweep import RECORD
from ecmt_deploy.verbs import convert as converting
from ecmt_deploy.verbs.runs import sweep
from tests.support.commands import run as command
from tests.support.runs import simulated
from tests.support.undrawn import undrawn

MODEL, DATA = "zoo:vit_digits", "digits"


@pytest.fixture(scope="module")
def converted() -> dict[str, bytes]:
    """Files of programs, by preset: what is swept need not be tuned for every budget."""
    return {}


@pytest.fixture(autouse=True)
def no_drawings() -> Iterator[None]:
    with undrawn():
        yield


@pytest.fixture
def made(monkeypatch, converted) -> list:
    """Configurations that a sweep had converted, in order."""
    calls = []
    real = converting.convert

    def counted(model, data, config, *, calibration_samples, skip_damaged, out):
        assert (model, data, calibration_samples, skip_damaged) == (MODEL, DATA, 8, False)
        calls.append(config)
        if config.name not in converted:
            real(model, data, config, calibration_samples=calibration_samples, out=out)
            converted[config.name] = out.read_bytes()
            return
        out.write_bytes(converted[config.name])
        program = read(out)
        provenance = msgspec.structs.replace(program.provenance, config=config.record())
        write(replace(program, provenance=provenance), out)

    monkeypatch.setattr(converting, "convert", counted)
    return calls


def swept(out, presets=("paper", "graded"), timesteps=None, **more):
    return sweep(MODEL, "loihi2", timesteps, out, DATA, limit=6, presets=presets, calibration_samples=8, **more)


def test_one_program_for_every_preset_step_and_budget():
    found = configs(["paper", "accurate", "graded"], None, [])
    assert found == {name: ConvertConfig(name) for name in ("paper", "accurate", "graded")}
    assert [config.timesteps for config in found.values()] == [4, 4, 1]
    assert configs(["graded", "paper"], [1, 2], [0.5, 1.0]) == {
        **{f"graded-b{b:g}-T{t}": ConvertConfig("graded", budget=b, timesteps=t) for b in (0.5, 1.0) for t in (1, 2)},
        **{f"paper-T{t}": ConvertConfig("paper", timesteps=t) for t in (1, 2)},
    }
    assert parse_budgets("1,0.25, .5,1") == [0.25, 0.5, 1.0]


def test_presets_in_one_table_and_no_program_twice(made, tmp_path, caplog):
    out = tmp_path / "out"
    compared = swept(out, budgets=[0.02, 0.6])
    assert [config.name for config in made] == ["paper", "graded", "graded"]
    assert [config.budget for config in made if config.name == "graded"] == [0.02, 0.6]
    rows = list(csv.DictReader((out / "summary.csv").open()))
    steps = {row["preset"]: (row["timesteps"], row["payload_bits"]) for row in rows}
    assert steps["paper"] == ("4", "5.0")
    assert steps["graded"][0] == "1"
    assert float(steps["graded"][1]) == pytest.approx(compared.entries[-1].report.energies[0].payload_bits)
    swept(out, ["accurate", "graded"], budgets=[0.6])
    assert [config.name for config in made[3:]] == ["accurate"]
    assert read(out / "programs-8" / "accurate-b0.6.nir").provenance.config["budget"] == 0.6
    rows = list(csv.DictReader((out / "summary.csv").open()))
    assert [row["series"] for row in rows] == ["accurate-b0.6", "graded-b0.6"]


def test_what_cannot_be_had_is_left_out_and_said(made, tmp_path, monkeypatch, caplog):
    real = converting.convert

    def stingy(model, data, config, **more):
        if getattr(config, "budget", None) == 0.25:
            raise ConversionError("a budget of 0.25 events per MAC cannot be met")
        return real(model, data, config, **more)

    monkeypatch.setattr(converting, "convert", stingy)
    with caplog.at_level(logging.WARNING):
        compared = swept(tmp_path / "out", budgets=[0.25])
    assert [entry.preset for entry in compared.entries] == ["paper"]
    assert "graded-b0.25 is left out: a budget of 0.25 events per MAC cannot be met" in caplog.text
    with pytest.raises(ConversionError, match=r"^graded-b0.25: a budget of 0.25"):
        swept(tmp_path / "other", ["graded"], budgets=[0.25])


def test_an_interrupted_sweep_resumes(made, tmp_path, monkeypatch):
    out, real = tmp_path / "out", converting.convert

    def interrupted(model, data, config, **more):
        if config.name == "graded":
            raise KeyboardInterrupt
        return real(model, data, config, **more)

    with monkeypatch.context() as patch:
        patch.setattr(converting, "convert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            swept(out)
    assert (out / RECORD).is_file()
    swept(out)
    assert [config.name for config in made] == ["paper", "graded"]


def test_a_program_of_something_else_is_left_alone(made, digits, tmp_path):
    out = tmp_path / "out"
    swept(out, ["paper"])
    path = out / "programs-8" / "paper.nir"
    path.rename(out / "programs-8" / "graded.nir")
    with pytest.raises(RunError, match=r"graded.nir: a program of another preset \(paper, not graded\); remove it, or"):
        swept(out, ["graded"])
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"paper.nir.*; remove it, or choose another --out"):
        swept(out, ["paper"])
    with pytest.raises(RunError, match="no sweep's directory"):
        swept(digits.parent)


def test_mean_bits_of_a_spike(digits, tmp_path):
    """Weighted by spikes: of a program of one width that width, whatever it does."""
    program = read(digits)
    assert set(program.spike_bits.values()) == {5}  # 8 levels of two signs, and silence
    done = simulated(digits, tmp_path / "run", 2, 1)
    assert done.activity.payload_bits(program.spike_bits) == 5
    some = {name: i for i, name in enumerate(program.neurons)}
    spikes = {name: done.activity[name].spikes for name in some}
    expected = sum(spikes[name] * bits for name, bits in some.items()) / sum(spikes.values())
    assert done.activity.payload_bits(some) == pytest.approx(expected)
    assert done.activity.payload_bits({}) is None


SWEEP = ["sweep", MODEL, "--hardware", "loihi2", "--limit", "4", "--out", "out"]


def test_on_the_command_line(made, capsys, monkeypatch, tmp_path):
    line = [*SWEEP, "--preset", "paper,graded", "--data", DATA, "--calibration-samples", "8"]
    status, out, err = command(line, capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert "bits" in out
    refused = [
        (["--preset", "papr", "--data", DATA], "preset is 'papr'; choose one of"),
        (["--preset", "paper"], "presets are compared on one model and its data; give its name"),
        (["--budget", "1"], "budget is for presets"),
        (["--preset", "graded", "--data", DATA, "--budget", "1,x"], "--budget 1,x: expected numbers of synaptic events"),
        (["--preset", "graded", "--data", DATA, "--budget", "-1"], "budget is -1; choose a positive number"),
        (["--preset", "graded", "--data", DATA, "--timesteps", "0"], "--timesteps 0"),
    ]  # fmt: skip
    for more, said in refused:
        status, _, err = command([*SWEEP, *more], capsys, monkeypatch, tmp_path)
        assert (status, said in err) == (2, True), err
