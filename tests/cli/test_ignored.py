"""An option that a verb would not use is refused, and never silently left alone: in one line, before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ecmt_deploy as ecmt
from ecmt_deploy import testing
from ecmt_deploy.config import CALIBRATION_SAMPLES
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program import write
from tests.support.commands import run

FLOAT, INTEGER = "float.nir", "integer.nir"
TRACE, EVALUATE = ["trace", FLOAT, "--data", "npz:none.npz"], ["evaluate", FLOAT, "--data", "npz:none.npz"]
STREAM, SWEEP = ["stream", FLOAT, "--video", "made:digits"], ["sweep", FLOAT, "--hardware", "loihi2", "--out", "s"]

#: an option and the words around it, of every verb that has one which it uses in one mode alone
IGNORED = [
    ("--network", [*TRACE, "--network", FLOAT]),
    ("--network", [*TRACE, "--network", FLOAT, "--precision", "fixed"]),
    ("--network", [*EVALUATE, "--network", FLOAT]),
    ("--network", [*EVALUATE, "--network", FLOAT, "--precision", "fixed"]),
    ("--network", [*EVALUATE, "--network", FLOAT, "--shard", "1/2", "--checkpoint", "c"]),
    ("--hardware", [*TRACE, "--hardware", "loihi2"]),
    ("--hardware", ["trace", INTEGER, *TRACE[2:], "--precision", "fixed", "--hardware", "loihi2"]),
    ("--hardware", ["evaluate", INTEGER, *EVALUATE[2:], "--precision", "fixed", "--hardware", "loihi2"]),
    ("--table", [*EVALUATE, "--table", "t.md", "--shard", "1/2", "--checkpoint", "c"]),
    ("--out", [*EVALUATE, "--out", "t.md", "--shard", "1/2", "--checkpoint", "c"]),
    ("--allow-misfit", ["simulate", FLOAT, "--target", "torch", "--data", "digits", "--out", "r", "--allow-misfit"]),
    ("--allow-misfit", [*STREAM, "--allow-misfit"]),
    ("--overwrite", [*STREAM, "--overwrite"]),
    ("--every", [*STREAM, "--compare", "--every", "2"]),
    ("--overwrite", ["merge", "checkpoints", "--out", "e.json", "--overwrite"]),
    ("--budget", [*SWEEP, "--budget", "1"]),
    ("--budget", ["sweep", "zoo:vit_digits", *SWEEP[2:], "--data", "digits", "--preset", "paper", "--budget", "1"]),
    ("--calibration-samples", [*SWEEP, "--calibration-samples", "8"]),
    ("--weights-key", ["convert", "zoo:vit_digits", "--data", "digits", "--out", "p.nir", "--weights-key", "model"]),
    ("--mlp-bases", ["convert", "zoo:vit_digits", "--data", "digits", "--out", "p.nir", "--mlp-bases", "fixed"]),
    ("--payload-bits", ["convert", "zoo:vit_digits", "--data", "digits", "--out", "p.nir", "--payload-bits", "4"]),
    *((words[0], ["check", "--data", "npz:none.npz", *words]) for words in (
        ["--hardware", "loihi2"], ["--weights", "w.pth"], ["--weights-key", "k"], ["--model-arg", "a=1"], ["--input-size", "8"],
        ["--output-name", "logits"], ["--table", "t.md"],
    )),
    ("--workers", ["check", "zoo:vit_digits", "--workers", "0"]),
    ("--tile-bytes", ["energy", "run", "--hardware", "loihi2", "--tile-bytes", "64"]),
    ("--ann-bits", ["report", "stream", "--ann-bits", "4"]),
    ("--table", ["hardware", "--bibtex", "--table", "t.md"]),
    ("--table", ["hardware", "--template", "--table", "t.md"]),
    *(("--table", [*words, "--table", "t.md"]) for words in (
        ["convert", "none", "--data", "x", "--out", "p.nir"], ["quantize", "none.nir", "--out", "q.nir"], ["report", "r"],
        ["demo"],
    )),
    ("--quiet", ["hardware", "-q", "-v"]), ("--quiet", ["demo", "-q", "-v"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    program = testing.case("transformer, accurate").program
    write(program, folder / FLOAT)
    write(ecmt.quantize(program), folder / INTEGER)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "part-1-of-1.json").write_text("{}")
    x = testing.handmade.images(1)
    np.savez(folder / "x.npz", x=x, y=np.zeros(1, np.int64))
    ecmt.simulate(program, f"npz:{folder / 'x.npz'}", timesteps=1, out=folder / "run")
    ecmt.stream(program, f"npz:{folder / 'x.npz'}", out=folder / "stream")
    return folder


@pytest.mark.parametrize(
    ("option", "words"), IGNORED, ids=[f"{words[0]} {option} {i}" for i, (option, words) in enumerate(IGNORED)]
)
def test_an_option_that_would_be_ignored_is_refused(option, words, files, capsys, monkeypatch):
    before = sorted(files.rglob("*"))
    status, out, err = run(words, capsys, monkeypatch, files)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    python = {"--output-name": "output", "--model-arg": "model_args", "--out": "t.md"}
    said = err.lower().replace("-", "_")
    assert python.get(option, option).strip("-").replace("-", "_") in said
    assert sorted(files.rglob("*")) == before


X, Y = testing.handmade.images(2), np.zeros(2, np.int64)
PYTHON = {
    "trace, limit": lambda p: ecmt.trace(p, X, limit=1),
    "trace, labels": lambda p: ecmt.trace(p, X, labels="position"),
    "trace, skip_damaged": lambda p: ecmt.trace(p, X, skip_damaged=True),
    "evaluate, labels": lambda p: ecmt.evaluate(p, (X, Y), labels="position"),
    "evaluate, shard": lambda p: ecmt.evaluate(p, (X, Y), shard="1/2"),
    "evaluate, data": lambda p: ecmt.evaluate(p, "digits", data="mine"),
    "simulate, labels": lambda p: ecmt.simulate(p, X, labels="position"),
    "simulate, limit": lambda p: ecmt.simulate(p, X, limit=1),
    "simulate, overwrite": lambda p: ecmt.simulate(p, X, overwrite=True),
    "simulate, allow_misfit": lambda p: ecmt.simulate(p, X, allow_misfit=True),
    "stream, overwrite": lambda p: ecmt.stream(p, X, overwrite=True),
    "stream, compare": lambda p: ecmt.stream(p, X, compare=True),
    "convert, data": lambda p: ecmt.convert("zoo:vit_digits", "digits", data="mine"),
    "convert, calibration_samples": lambda p: ecmt.convert("zoo:vit_digits", X, calibration_samples=1),
    "energy, placement": lambda p: ecmt.energy(ecmt.simulate(p, X), ["loihi2"], placement=ecmt.place(p, "loihi2")),
    "energy, arithmetic": lambda p: ecmt.energy(ecmt.simulate(p, X), ["loihi2"], arithmetic="loihi2"),
    "energy, hardware": lambda p: ecmt.energy(ecmt.simulate(p, X), ["loihi2"], "loihi2"),
}


@pytest.mark.parametrize("case", PYTHON)
def test_an_argument_that_would_be_ignored_is_refused(case):
    with pytest.raises(ConfigError, match=rf"{case.partition(', ')[2]} is for "):
        PYTHON[case](testing.case("transformer, accurate").program)


def test_help_says_the_number_of_calibration_samples(capsys, monkeypatch, tmp_path):
    for verb in ("convert", "sweep"):
        text = " ".join(run([verb, "--help"], capsys, monkeypatch, tmp_path)[1].replace("│", " ").split())
        assert f"training split to calibrate on. [default: {CALIBRATION_SAMPLES}]" in text
