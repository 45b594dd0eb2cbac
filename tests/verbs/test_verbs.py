"""The public verbs take what people have, by name or in memory; the commands of their names call them."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

import ecmt_deploy as ecmt
from ecmt_deploy.cli import main
from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.files import sha256
from ecmt_deploy.runs.directory import load_run
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer
from tests.support.runs import simulated

#: what names the verb in Python, and in the shell where that is another name
VERBS = {
    "convert": ["convert", "zoo:vit_digits", "--data", "digits", "--out", "p.nir"],
    "check": ["check", "zoo:vit_digits"],
    "evaluate": ["evaluate", "p.nir", "--data", "digits"],
    "simulate": ["simulate", "p.nir", "--target", "torch", "--data", "digits", "--out", "r"],
    "merge": ["merge", "a", "b", "--out", "c"],
    "trace": ["trace", "p.nir", "--data", "digits"],
    "quantize": ["quantize", "p.nir", "--out", "q.nir"],
    "classify": ["classify", "p.nir", "a.png"],
    "energy": ["energy", "run", "--hardware", "loihi2"],
    "report": ["report", "run"],
    "sweep": ["sweep", "p.nir", "--hardware", "loihi2", "--timesteps", "1", "--out", "s"],
    "chips": ["hardware"],
    "hardware": ["hardware", "loihi2"],
    "summary": ["inspect", "p.nir"],
}
#: where a command needs more than the verb gives, what both of them call
BENEATH = {"classify": "ecmt_deploy.verbs.program.classified", "summary": "ecmt_deploy.verbs.summary.opened"}


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    simulated(digits, path, 3, 4, "torch")
    return path


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_calls_the_verb_of_its_name(verb, monkeypatch, capsys, tmp_path):
    def called(*args, **kwargs):
        raise ConfigError(f"{verb} was called")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(BENEATH.get(verb, f"ecmt_deploy.{verb}"), called)
    monkeypatch.setattr(sys, "argv", ["ecmt-deploy", *VERBS[verb]])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == f"ecmt-deploy: {verb} was called\n"
    if verb in BENEATH:
        with pytest.raises(ConfigError, match="was called"):
            getattr(ecmt, verb)(*VERBS[verb][1:])


def test_every_public_name_is_there_and_documented():
    for name in ecmt.__all__:
        assert getattr(ecmt, name).__doc__, name


@pytest.mark.parametrize("before", ["", "import ecmt_deploy.chips, ecmt_deploy.report", "from ecmt_deploy.report import model"])
def test_chips_and_report_are_packages_and_verbs_whatever_was_imported_before(before):
    code = f"""
import inspect
{before}
import ecmt_deploy as ecmt
from ecmt_deploy import chips, report
assert ecmt.chips() == chips() == chips.available() and "loihi2" in chips()
assert list(inspect.signature(ecmt.report).parameters) == [
    "runs", "out", "hardware", "trace", "ann_bits", "assume_functions", "evaluation", "figures",
    "figures_width_in",
]
try:
    report([])
except ecmt.EcmtError as error:
    assert "no run is named" in str(error)
else:
    raise AssertionError
from ecmt_deploy.report import model
assert report.model is model
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_by_name_takes_samples_too(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32)
    config = ecmt.ConvertConfig(preset="paper")
    made = ecmt.convert("zoo:vit_digits", x, config, data="noise", out=tmp_path / "p.nir")
    source = ecmt.read(tmp_path / "p.nir").provenance
    assert source == made.program.provenance
    assert (source.model, source.calibration.spec, source.class_names) == ("zoo:vit_digits", "noise", tuple("0123456789"))
    assert source.preprocessing is not None


def test_arguments_that_belong_to_the_other_kind_of_model_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="weights is for a model by name"):
        ecmt.convert(TinyTransformer(), images(4), weights=tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="zoo:vit_digits knows its provenance"):
        ecmt.convert("zoo:vit_digits", "digits", provenance=ecmt.read)


def test_a_trace_of_a_program_in_memory_is_the_one_of_its_file(digits, run, tmp_path):
    kept = ecmt.trace(ecmt.load(digits), "digits", 1, limit=2, out=tmp_path / "t.json")
    assert kept == ecmt.trace(digits, "digits", 1, limit=2)
    assert (kept.program_sha256, kept.data, kept.n_samples) == (sha256(digits), "digits", 2)
    assert ecmt.report(run, tmp_path / "r.html", "loihi2", tmp_path / "t.json") == tmp_path / "r.html"
    assert "Error per node" in (tmp_path / "r.html").read_text()


def test_classify_takes_a_model_and_one_image(digits, tmp_path):
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "a.png")
    (steps,) = ecmt.classify(ecmt.load(digits), tmp_path / "a.png", timesteps=2, top=3)
    assert [len(best) for best in steps] == [3, 3]
    assert [steps] == ecmt.classify(str(digits), [tmp_path / "a.png"], 2, 3)


def test_quantize_writes_what_it_returns(digits, tmp_path):
    made = ecmt.quantize(ecmt.load(digits), "loihi2", out=tmp_path / "q.nir")
    assert ecmt.read(tmp_path / "q.nir").provenance == made.provenance
    assert made.integer


def test_a_run_directory_is_priced_by_its_path(run, tmp_path):
    stored = load_run(run)
    assert ecmt.energy(run, "loihi2") == ecmt.energy(stored, "loihi2")
    found = ecmt.energy(str(run), "loihi2")
    counted = msgspec.structs.replace(found.neurobench, classification_accuracy=None)  # counts know of no labels
    assert msgspec.structs.replace(found, neurobench=counted) == ecmt.energy(stored.activity, stored.program, "loihi2")
    both = ecmt.energy(stored, ["loihi2", ecmt.hardware("odin")], out=tmp_path / "e.csv")
    assert both == ecmt.energy(run, ("loihi2", "odin"))
    assert "odin,total" in (tmp_path / "e.csv").read_text()
    with pytest.raises(ConfigError, match="out is for a list of chips"):
        ecmt.energy(run, "loihi2", out=tmp_path / "f.csv")
    with pytest.raises(RunError, match="nowhere: no such run directory"):
        ecmt.energy("nowhere", "loihi2")


def test_a_report_takes_runs_as_they_are_at_hand(run, digits, tmp_path):
    for given in (str(run), run, [run], load_run(run), (load_run(run),)):
        ecmt.report(given, tmp_path / "r.json", hardware=["loihi2"])
    ecmt.report([run], str(tmp_path / "r.html"), ecmt.hardware("loihi2"))
    simulated = ecmt.simulate(digits, np.zeros((1, 1, 8, 8), np.float32), "torch", 1)
    with pytest.raises(ConfigError, match="Run is in no run directory"):
        ecmt.report([simulated], tmp_path / "r.html")


def test_a_sweep_takes_one_program_one_chip_and_text(digits, tmp_path):
    swept = ecmt.sweep(str(digits), "loihi2", "1,2", tmp_path / "s", limit=2)
    assert [entry.report.record.timesteps for entry in swept.entries] == [1, 2]
    assert (tmp_path / "s" / "report.html").exists()
