"""The design space: what is there is not run again, what does not belong is left alone, nothing is half written."""

import csv
import dataclasses
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ecmt_deploy import quantize
from ecmt_deploy.errors import ConfigError, RunError, TargetError
from ecmt_deploy.program import Provenance, read, write
from ecmt_deploy.report.collect import compare_runs
from ecmt_deploy.runs import simulate as simulating
from ecmt_deploy.runs.directory import load_run
from ecmt_deploy.runs.sweep import parse_timesteps
from ecmt_deploy.verbs.runs import sweep
from tests.support.commands import run
from tests.support.runs import simulated
from tests.support.trained import program_file
from tests.support.undrawn import undrawn

CHIPS = ["loihi2", "dynapcnn"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> list[Path]:
    directory = tmp_path_factory.mktemp("programs")
    for preset in (presets := ("accurate", "paper")):
        shutil.copy(program_file(preset, 32, timesteps=2), directory / f"{preset}.nir")
    return [directory / f"{preset}.nir" for preset in presets]


@pytest.fixture(scope="module", autouse=True)
def no_drawings() -> Iterator[None]:
    with undrawn():
        yield


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """Runs that were made, in order."""
    calls: list[str] = []
    real = simulating.simulate_file

    def counted(job):
        calls.append(f"{job.out.parent.name}/{job.out.name}")
        return real(job)

    monkeypatch.setattr(simulating, "simulate_file", counted)
    return calls


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:4", [1, 2, 3, 4]),
        ("1:8:3", [1, 4, 7]),
        ("4", [4]),
        ("4,1, 2", [1, 2, 4]),
        ("1:3,2:6:2", [1, 2, 3, 4, 6]),
        ("5:5", [5]),
    ],
)
def test_timesteps(text, expected):
    assert parse_timesteps(text) == expected


@pytest.mark.parametrize(
    "text", ["", ",", "0:4", "4:1", "1:", ":4", "1:4:0", "1:2:3:4", "a", "1:4,", "-1", "1.5", "1:99999", "9" * 30, "²"]
)
def test_timesteps_that_are_none(text):
    with pytest.raises(ConfigError, match="--timesteps"):
        parse_timesteps(text)


def test_a_sweep_goes_on_where_it_was_interrupted(programs, made, monkeypatch, tmp_path):
    out = tmp_path / "out"
    counted = simulating.simulate_file

    def interrupted(*args, **kwargs):
        if len(made) == 2:
            raise KeyboardInterrupt
        return counted(*args, **kwargs)

    monkeypatch.setattr(simulating, "simulate_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(programs, CHIPS, [1, 2], out, limit=5)
    assert made == ["accurate/T1", "accurate/T2"]
    assert {path.name for path in out.iterdir()} == {"sweep.json", "accurate", "paper"}
    assert not any((out / "paper").iterdir()), "nothing half written"

    monkeypatch.setattr(simulating, "simulate_file", counted)
    said: list[str] = []
    first = sweep(programs, CHIPS, [1, 2], out, limit=5, say=said.append)
    assert made[2:] == ["paper/T1", "paper/T2"]
    assert said[0] == "2 of 4 runs are there already"
    assert said[1].startswith("run 1 of 2: paper, T = 1, 5 samples")
    assert [entry.label for entry in first.entries] == ["accurate T=1", "accurate T=2", "paper T=1", "paper T=2"]
    files = contents(out)

    again = sweep(programs, CHIPS, [1, 2], out, limit=5)
    assert len(made) == 4, "all are there"
    assert again == first
    assert contents(out) == files, "and nothing differs"

    longer = sweep(programs[:1], CHIPS[:1], [1, 3], out, limit=5)
    assert made[4:] == ["accurate/T3"]
    assert [entry.report.record.timesteps for entry in longer.entries] == [1, 3]


@pytest.fixture(scope="module")
def swept(programs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("swept") / "out"
    sweep(programs[:1], CHIPS, [1, 2], out, limit=5)
    return out


@pytest.fixture
def copy(swept, tmp_path) -> Path:
    return Path(shutil.copytree(swept, tmp_path / "copy"))


def test_runs_are_those_of_simulate_and_the_summary_is_theirs(programs, swept, tmp_path):
    alone = tmp_path / "alone"
    record = simulated(programs[0], alone, 5, 2, "torch").record
    kept = load_run(swept / "accurate" / "T2")
    for name in ("accuracy", "program_sha256", "data"):
        assert getattr(kept.record, name) == getattr(record, name)
    assert kept.activity == load_run(alone).activity
    with (swept / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["series"], row["timesteps"], row["hardware"]) for row in rows] == [
        ("accurate", t, chip) for t in "12" for chip in CHIPS
    ]  # fmt: skip
    compared = compare_runs([swept / "accurate" / "T1", swept / "accurate" / "T2"], CHIPS)
    expected = [e for entry in compared.entries for e in entry.report.energies]
    assert [row["total_pj"] for row in rows] == [repr(e.total_pj.value) if e.components_pj else "" for e in expected]
    as_json = msgspec.json.decode((swept / "summary.json").read_bytes())
    assert [row["total_pj"] for row in as_json] == [e.total_pj.value if e.components_pj else None for e in expected]
    assert "Pareto" in (swept / "report.html").read_text()


@pytest.mark.parametrize("damage", ["outputs.npy", "activity.json", "edited counts", "run.json", "program.nir"])
def test_a_run_that_is_not_whole_is_made_again(damage, programs, copy, made, caplog):
    whole = contents(copy)
    if damage == "run.json":
        shutil.rmtree(copy / "accurate" / "T2")
        (copy / "accurate" / "T2").mkdir()
    elif damage == "edited counts":
        path = copy / "accurate" / "T2" / "activity.json"
        path.write_text(path.read_text().replace('"dense_macs": ', '"dense_macs": 9', 1))
    else:
        path = copy / "accurate" / "T2" / damage
        path.write_bytes(b"{}")
    sweep(programs[:1], CHIPS, [1, 2], copy, limit=5)
    assert made == ["accurate/T2"]
    assert "T2: not whole, made again" in caplog.text
    different = {name for name, content in contents(copy).items() if whole[name] != content}
    assert different <= {"accurate/T2/run.json"}, "but for the seconds it took"


OTHER = {
    "number of samples": ({"limit": 4}, "another number of samples (5, not 4)"),
    "target": ({"target": "reference"}, "another target (torch, not reference)"),
    "data": ({"data": "npz:DIGITS"}, "another data"),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_run_that_does_not_belong_is_left_alone(case, programs, copy, made, tmp_path):
    changes, message = OTHER[case]
    if case == "data":
        import numpy as np

        from ecmt_deploy.data import evaluation

        x, y = evaluation("digits", preprocessing=read(programs[0]).provenance.preprocessing, limit=5).arrays()
        np.savez(tmp_path / "digits.npz", x=x, y=y)
        changes = {"data": f"npz:{tmp_path / 'digits.npz'}"}
    before = contents(copy)
    with pytest.raises(RunError, match="T1: a run of") as caught:
        sweep(programs[:1], CHIPS, [1, 2, 3], copy, **{"limit": 5, **changes})
    assert message in str(caught.value)
    assert "choose another --out" in str(caught.value)
    assert (made, contents(copy)) == ([], before)


def test_a_program_that_has_changed_since_is_refused(programs, copy, made, tmp_path):
    shutil.copy(programs[1], tmp_path / "accurate.nir")
    with pytest.raises(RunError, match="another program"):
        sweep([tmp_path / "accurate.nir"], CHIPS, [1], copy, limit=5)
    assert made == []


@pytest.mark.slow
def test_integer_programs(programs, made, tmp_path):
    """Quantised for the first chip that states its widths; recognised when the sweep goes on."""
    out = tmp_path / "out"
    first = sweep(programs[:1], ["horowitz45", "loihi2"], [1, 2], out, limit=2, target="reference", precision="fixed")
    assert made == ["accurate/T1", "accurate/T2"]
    quantised = [entry.report.record.provenance.quantization for entry in first.entries]
    assert {record.hardware for record in quantised if record} == {"loihi2"}
    assert sweep(programs[:1], ["loihi2"], [1, 2], out, limit=2, target="reference", precision="fixed").entries
    assert len(made) == 2
    quantize(programs[0], out=tmp_path / "integer.nir")
    sweep([tmp_path / "integer.nir"], ["horowitz45"], [1], out, limit=2, target="reference", precision="fixed")
    assert made[2:] == ["integer/T1"]


def test_a_run_that_fails_says_which(programs, monkeypatch, tmp_path):
    def failing(*args, **kwargs):
        raise TargetError("the target fell over")

    monkeypatch.setattr(simulating, "simulate_file", failing)
    with pytest.raises(TargetError, match="accurate, T = 1: the target fell over"):
        sweep(programs[:1], CHIPS, [1], tmp_path / "out", limit=2)


# --- the command line -------------------------------------------------------------------------------------------------


def thesis(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "summary.csv").write_text("important")


def namesake(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    shutil.copy(PLACE["PROGRAM"], tmp_path / "b" / "accurate.nir")


def from_arrays(tmp_path: Path) -> None:
    program = read(Path(PLACE["PROGRAM"]))
    provenance = msgspec.structs.replace(program.provenance, calibration=None)
    write(dataclasses.replace(program, provenance=provenance), tmp_path / "arrays.nir")


def elsewhere(tmp_path: Path) -> None:
    program = read(Path(PLACE["PROGRAM"]))
    calibration = msgspec.structs.replace(program.provenance.calibration, spec="npz:samples.npz")
    provenance = msgspec.structs.replace(program.provenance, calibration=calibration)
    write(dataclasses.replace(program, provenance=provenance), tmp_path / "elsewhere.nir")


PLACE: dict[str, str] = {}
TAIL = ["--hardware", "loihi2", "--timesteps", "1:2", "--limit", "2", "--out", "out"]
BAD = {
    "no program": (None, ["sweep", *TAIL], "PROGRAMS requires an argument"),
    "no such program": (None, ["sweep", "none.nir", *TAIL], "none.nir"),
    "the same program twice": (None, ["sweep", "PROGRAM", "PROGRAM", *TAIL], "rename one"),
    "two programs of one name": (namesake, ["sweep", "PROGRAM", "b/accurate.nir", *TAIL], "rename one"),
    "no chip": (None, ["sweep", "PROGRAM", "--hardware", "--timesteps", "1", "--out", "out"], "hardware"),
    "unknown chip": (None, ["sweep", "PROGRAM", "--hardware", "abacus", *TAIL[2:]], "abacus"),
    "steps that are none": (None, ["sweep", "PROGRAM", *TAIL[:3], "4:1", *TAIL[4:]], "1:8"),
    "no such directory": (None, ["sweep", "PROGRAM", *TAIL[:-1], "none/out"], "does not exist"),
    "something else in the way": (thesis, ["sweep", "PROGRAM", *TAIL[:-1], "mine"], "no sweep's directory"),
    "a file in the way": (lambda d: (d / "f").write_text("x"), ["sweep", "PROGRAM", *TAIL[:-1], "f"], "no sweep's directory"),
    "no such data": (None, ["sweep", "PROGRAM", *TAIL, "--data", "folder:nowhere"], "nowhere"),
    "data that is not known": (from_arrays, ["sweep", "arrays.nir", *TAIL], "give --data"),
    "data of another folder": (elsewhere, ["sweep", "elsewhere.nir", *TAIL], "or say with --data where the data is"),
    "limit 0": (None, ["sweep", "PROGRAM", *TAIL, "--limit", "0"], "limit"),
    "unknown target": (None, ["sweep", "PROGRAM", *TAIL, "--target", "brain"], "brain"),
    "fixed without widths": (None, ["sweep", "PROGRAM", "--hardware", "horowitz45", *TAIL[2:], "--precision", "fixed"], "bits"),
    "report of no run": (None, ["report"], "RUN"),
    "report of one run twice": (None, ["report", "RUN", "RUN"], "given twice"),
    "trace of several": (None, ["report", "RUN", "OTHER", "--trace", "t.json"], "belongs to one run"),
    "report on an unknown chip": (None, ["report", "RUN", "--hardware", "abacus"], "abacus"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(case, programs, swept, tmp_path, capsys, monkeypatch):
    PLACE.update(PROGRAM=str(programs[0]), RUN=str(swept / "accurate" / "T1"), OTHER=str(swept / "accurate" / "T2"))
    prepare, arguments, expected = BAD[case]
    if prepare:
        prepare(tmp_path)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    status, out, err = run([PLACE.get(a, a) for a in arguments], capsys, monkeypatch, tmp_path)
    assert status == 2, err
    assert len(err.splitlines()) == 1, err
    assert expected in err
    assert "Traceback" not in out + err
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_sweep_and_reports_on_the_command_line(programs, swept, tmp_path, capsys, monkeypatch):
    out = tmp_path / "copy"
    shutil.copytree(swept, out)
    arguments = ["sweep", str(programs[0]), "--hardware", *CHIPS, "--timesteps", "1:2", "--limit", "5", "--out", "copy"]
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        status, shown, err = run(arguments, capsys, monkeypatch, tmp_path)
        assert (status, err) == (0, "")
        assert "accurate  1" in shown
        assert "not priced" in shown, "a chip without prices is not free"
        assert all(len(line) <= int(columns) for line in shown.splitlines())
    runs = [str(out / "accurate" / "T1"), str(out / "accurate" / "T2")]
    status, shown, err = run(["report", *runs, "--hardware", "loihi2", "--bibtex"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert shown.startswith("@"), "BibTeX alone is on standard output"
    assert "wrote report.html" in err
    assert "2 runs compared" in (tmp_path / "report.html").read_text()
    status, _, err = run(["report", runs[0], "--hardware", "loihi2", "--out", "r.json"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert [e["hardware"] for e in msgspec.json.decode((tmp_path / "r.json").read_bytes())["energies"]] == ["loihi2"]


def test_runs_of_one_program_are_one_series(programs, swept, tmp_path):
    simulated(programs[1], tmp_path / "T1", 5, 1, "torch")
    compared = compare_runs([swept / "accurate" / "T1", swept / "accurate" / "T2", tmp_path / "T1"], ["loihi2"])
    assert [entry.series for entry in compared.entries] == ["zoo:vit_digits, accurate"] * 2 + ["zoo:vit_digits, paper"]
    labels = [entry.label for entry in compared.entries]
    assert labels[:2] == ["accurate/T1", "accurate/T2"]
    assert isinstance(compared.entries[0].report.record.provenance, Provenance)


def test_a_comparison_is_one_table_where_the_terminal_has_room(swept):
    from ecmt_deploy.report import tables
    from ecmt_deploy.untrusted.terminal import Terminal

    paths = [swept / "accurate" / "T1", swept / "accurate" / "T2"]
    titles = ["a program of a name that is long"] * 2
    for width, chips, most in ((80, 1, 1), (80, 2, 1), (100, 2, 1), (120, 4, 1), (80, 4, 2), (40, 2, 2)):
        compared = compare_runs(paths, ["loihi2", "dynapcnn", "odin", "truenorth"][:chips], ["T1", "T2"], titles)
        console = Terminal(width=width, record=True, file=io.StringIO())
        console.print(shown := tables.compared(compared, width))
        parts = shown.renderables[:-1]
        assert len(parts) <= most
        assert len(parts) == 1 or "bits" in [str(column.header) for column in parts[0].columns]
        text = console.export_text()
        if width >= 80:
            assert all(name in text for name in ("loihi2", "dynapcnn", "odin", "truenorth")[:chips])
