"""A chip named to ``simulate`` means something: the core places the program there, and refuses it where it does not fit."""

import shutil
from pathlib import Path

import pytest

import ecmt_deploy
from ecmt_deploy import chips
from ecmt_deploy.errors import EcmtError, HardwareError, TargetError
from ecmt_deploy.placement import place
from ecmt_deploy.program import Program
from ecmt_deploy.report.write import write_report
from ecmt_deploy.runs.directory import load_run
from ecmt_deploy.simulation import run as simulation
from ecmt_deploy.simulation.run import fitted, simulate
from ecmt_deploy.simulation.target import find
from ecmt_deploy.testing.handmade import images
from tests.support.commands import run as command
from tests.support.targets import installed, needs_chip


@pytest.mark.parametrize("target", [target for target in installed() if not needs_chip(target)])
def test_every_target_refuses_what_does_not_fit(target, program: Program, monkeypatch):
    monkeypatch.setattr(type(find(target)), "run", lambda *args, **kwargs: pytest.fail("it ran"))
    with pytest.raises(TargetError, match="does not fit truenorth: ") as caught:
        simulate(program, images(1), target, 1, hardware="truenorth")
    obstacles = place(program, chips.hardware("truenorth")).obstacles
    said = str(caught.value)
    assert all(obstacle.sentence in said for obstacle in obstacles[:5])
    assert (f"; {len(obstacles) - 5} more, which" in said) == (len(obstacles) > 5)
    assert "--allow-misfit (in Python allow_misfit=True)" in said
    assert "\n" not in said


def test_a_misfit_runs_where_it_is_allowed(program):
    run = simulate(program, images(1), "reference", 1, hardware="truenorth", allow_misfit=True)
    assert run.activity == simulate(program, images(1), "reference", 1).activity


@pytest.mark.parametrize("chip", ["loihi2", "FILE", chips.hardware("loihi2"), None])
def test_chips_by_name_file_or_as_they_are(chip, program, tmp_path):
    if chip == "FILE":
        text = (Path(__file__).parents[2] / "hw_configs" / "loihi2.toml").read_text()
        (tmp_path / "mine.toml").write_text(text)
        chip = str(tmp_path / "mine.toml")
    assert simulate(program, images(1), "reference", 1, hardware=chip).outputs.shape[0] == 1


@pytest.mark.parametrize(
    ("chip", "kind", "message"),
    [
        ("nonsense", HardwareError, "unknown chip 'nonsense'"),
        ("no.toml", HardwareError, "no such file"),
        (7, HardwareError, "no chip"),
    ],
)
def test_what_is_no_chip_is_refused(chip, kind, message, program):
    with pytest.raises(kind, match=message) as caught:
        simulate(program, images(1), "reference", 1, hardware=chip)
    assert isinstance(caught.value, EcmtError)


def test_of_a_chip_without_limits_nothing_is_known(program):
    """It is neither said to fit nor refused."""
    placement = fitted(program, chips.hardware("horowitz45"))
    assert not placement.bounded
    assert placement.verdict == "the chip states no limits, so whether the program fits is unknown"
    assert simulate(program, images(1), "reference", 1, hardware="horowitz45").activity.n_samples == 1
    assert fitted(program, chips.hardware("loihi2")).verdict.startswith("fits: ")


def test_fixed_point_is_quantised_for_the_chip_and_placed(all_programs, monkeypatch):
    program, placed = all_programs["transformer, accurate"], []
    monkeypatch.setattr(simulation, "place", lambda made, chip: placed.append(made) or place(made, chip))
    simulate(program, images(1), "reference", 1, "fixed", hardware="loihi2")
    assert [made.provenance.quantization.hardware for made in placed] == ["loihi2"], "the integer program is what must fit"
    with pytest.raises(HardwareError, match="weight_bits is unknown"):
        simulate(program, images(1), "reference", 1, "fixed", hardware="horowitz45")
    simulate(program, images(1), "reference", 1, "fixed")
    assert len(placed) == 1, "without a chip the widths are loihi2's, and nothing is placed"


def test_on_the_command_line(digits, tmp_path, capsys, monkeypatch):
    shutil.copy(digits, tmp_path / "p.nir")
    tail = ["--target", "torch", "--data", "digits", "--limit", "1", "--timesteps", "1", "--hardware"]
    status, _, err = command(["simulate", "p.nir", *tail, "truenorth", "--out", "run"], capsys, monkeypatch, tmp_path)
    assert (status, err.count("\n")) == (2, 1)
    assert "does not fit truenorth" in err
    assert [path.name for path in tmp_path.iterdir()] == ["p.nir"]
    for chip, line in (
        ("loihi2", f"loihi2: {place(ecmt_deploy.read(digits), 'loihi2').verdict}\n"),
        ("horowitz45", "horowitz45: the chip states no limits, so whether the program fits is unknown\n"),
    ):
        status, _, err = command(["simulate", "p.nir", *tail, chip, "--out", chip], capsys, monkeypatch, tmp_path)
        assert status == 0
        assert line in err
        record = load_run(tmp_path / chip).record
        assert (record.hardware, record.obstacles) == (chip, [])
    arguments = ["simulate", "p.nir", *tail, "truenorth", "--allow-misfit", "--out", "run"]
    status, _, err = command(arguments, capsys, monkeypatch, tmp_path)
    assert status == 0
    assert "truenorth: does not fit" in err
    assert "run all the same" in err
    record = load_run(tmp_path / "run").record
    assert record.hardware == "truenorth"
    assert any("programmable_neurons missing" in obstacle for obstacle in record.obstacles)
    write_report([tmp_path / "run"], tmp_path / "r.html", ["loihi2"])
    assert "Run in spite of what does not fit truenorth: " in (tmp_path / "r.html").read_text()
