"""The command line: every failure a user can cause is one line, exit status 2, and nothing left on disk."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import ecmt_deploy as ecmt
from ecmt_deploy import testing
from ecmt_deploy.cli import entry
from ecmt_deploy.cli.app import VERBS
from ecmt_deploy.cli.options import DEFAULT, as_json
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.models import zoo
from ecmt_deploy.program import read
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.report.units import per_mac
from ecmt_deploy.verbs.demo import STREAM_FILES, require_own
from tests.support.commands import run
from tests.support.trained import program_file
from tests.support.undrawn import undrawn


@pytest.fixture(scope="module")
def digits_program(tmp_path_factory) -> Path:
    return Path(shutil.copy(program_file("accurate"), tmp_path_factory.mktemp("program") / "digits.nir"))


@pytest.fixture(scope="module")
def integer_program(digits_program) -> Path:
    path = digits_program.parent / "integer.nir"
    ecmt.quantize(digits_program, out=path)
    return path


@pytest.fixture(scope="module")
def digits_run(digits_program) -> Path:
    from ecmt_deploy.runs.simulate import SimulateJob, simulate_file

    path = digits_program.parent / "run"
    simulate_file(SimulateJob(program=digits_program, target="torch", data="digits", out=path, limit=4, timesteps=2))
    return path


def other_weights(tmp_path: Path) -> None:
    safetensors.torch.save_file({"strange.weight": torch.zeros(3)}, tmp_path / "other.safetensors")


def zeros(tmp_path: Path) -> None:
    x = np.zeros((8, 1, 8, 8), np.float32)
    np.savez(tmp_path / "zeros.npz", x=x, y=np.zeros(8, np.int64), x_train=x, y_train=np.zeros(8, np.int64))


def wide(tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", x=np.ones((8, 3, 9, 9), np.float32), y=np.zeros(8, np.int64))


def streamed(tmp_path: Path) -> None:
    """A stream of one frame in ``s``."""
    program = testing.case("transformer, accurate").program
    np.savez(tmp_path / "x.npz", x=testing.handmade.images(1), y=np.zeros(1, np.int64))
    ecmt.stream(program, f"npz:{tmp_path / 'x.npz'}", out=tmp_path / "s")


def colour(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 28, 28)).astype(np.float32)
    np.savez(tmp_path / "colour.npz", x=x, y=np.zeros(4, np.int64), x_train=x, y_train=np.zeros(4, np.int64))


def pixels(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "pixels.npz", x=x, y=np.zeros(8, np.int64), x_train=x, y_train=np.zeros(8, np.int64))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def malicious(tmp_path: Path) -> None:
    torch.save({"model": Evil()}, tmp_path / "evil.pth")


def nothing(tmp_path: Path) -> None:
    (tmp_path / "empty" / "train").mkdir(parents=True)


def unknown_chip_field(tmp_path: Path) -> None:
    source = (Path(__file__).parents[2] / "hw_configs" / "loihi2.toml").read_text()
    (tmp_path / "chip.toml").write_text(source.replace("[limits]", "[limits]\nflux = 1"))


def missing_chip_field(tmp_path: Path) -> None:
    source = (Path(__file__).parents[2] / "hw_configs" / "loihi2.toml").read_text()
    (tmp_path / "chip.toml").write_text(source.replace('name = "loihi2"', ""))


def parts_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "part-1-of-1.json").write_text("{}")


def somebodys_program(tmp_path: Path) -> None:
    (tmp_path / "program.nir").write_text("precious")


CONVERT = ["convert", "zoo:vit_digits", "--data", "digits", "--out", "p.nir"]
BAD = {
    "no such model": (None, ["convert", "vit_tinny_patch16_224", *CONVERT[2:]], "vit_tiny_patch16_224"),
    "no such zoo model": (None, ["convert", "zoo:nothing", *CONVERT[2:]], "vit_digits"),
    "weights of another architecture": (other_weights, [*CONVERT, "--weights", "other.safetensors"], "strange.weight"),
    "no such weights": (None, [*CONVERT, "--weights", "none.safetensors"], "none.safetensors"),
    "image size mismatch": (wide, [*CONVERT[:3], "npz:wide.npz", *CONVERT[4:]], "9"),
    "empty dataset": (nothing, [*CONVERT[:3], "folder:empty", *CONVERT[4:]], "empty"),
    "no such dataset": (None, [*CONVERT[:3], "folder:nowhere", *CONVERT[4:]], "nowhere"),
    "calibration data of zeros": (zeros, [*CONVERT[:3], "npz:zeros.npz", *CONVERT[4:]], "constant 0 everywhere"),
    "budget 0": (None, [*CONVERT, "--budget", "0"], "budget is 0"),
    "a budget for preset paper": (None, [*CONVERT, "--preset", "paper", "--budget", "1"], "choose preset accurate"),
    "weights that are code": (malicious, [*CONVERT, "--weights", "evil.pth"], "refused"),
    "trace of no samples": (None, ["trace", "PROGRAM", "--data", "digits", "--limit", "0"], "limit"),
    "trace with timesteps 0": (None, ["trace", "PROGRAM", "--data", "digits", "--timesteps", "0"], "timesteps is 0"),
    "report with a broken trace": (lambda d: (d / "t.json").write_text("{}"), ["report", "RUN", "--trace", "t.json"], "t.json"),
    "report with the trace of another program": (
        lambda d: (d / "t.json").write_text(
            f'{{"n_samples": 1, "timesteps": 1, "coding": "rate", "nodes": [], "program_sha256": "{"0" * 64}"}}'
        ),
        ["report", "RUN", "--trace", "t.json"],
        "another program",
    ),
    "report with a trace of minus one step": (
        lambda d: (d / "t.json").write_text('{"n_samples": 1, "timesteps": -1, "coding": "rate", "nodes": []}'),
        ["report", "RUN", "--trace", "t.json"],
        "t.json: 1 sample of -1 steps; trace again",
    ),
    "report with a trace of shares above one": (
        lambda d: (d / "t.json").write_text(
            '{"n_samples": 1, "timesteps": 1, "coding": "rate", "nodes": [{"node": "a", "kind": "b", '
            '"relative_error": [0.1], "spike_rate": [2.0]}]}'
        ),
        ["report", "RUN", "--trace", "t.json"],
        "node a: spike_rate is no share",
    ),
    "pixels that are not normalised": (pixels, [*CONVERT[:3], "npz:pixels.npz", *CONVERT[4:]], "expected normalised images"),
    "timesteps 0": (None, [*CONVERT, "--timesteps", "0"], "timesteps is 0"),
    "levels 0": (None, [*CONVERT, "--levels", "0"], "levels is 0"),
    "no samples to calibrate on": (None, [*CONVERT, "--calibration-samples", "0"], "at least 1"),
    "no such directory": (None, [*CONVERT[:4], "--out", "none/p.nir"], "does not exist"),
    "model argument without a value": (None, [*CONVERT, "--model-arg", "img_size"], "key=value"),
    "model argument that the model does not take": (None, ["convert", "vit_tiny_patch16_224", *CONVERT[2:], "--model-arg",
                                                           "pretrained=false", "bananas=3"], "bananas"),
    "no such program": (None, ["evaluate", "none.nir", "--data", "digits"], "no such file"),
    "evaluate with timesteps 0": (None, ["evaluate", "PROGRAM", "--data", "digits", "--timesteps", "0"], "timesteps is 0"),
    "evaluate with batch size 0": (None, ["evaluate", "PROGRAM", "--data", "digits", "--batch-size", "0"], "batch size is 0"),
    "unknown target": (None, ["simulate", "PROGRAM", "--target", "brain", "--data", "digits", "--out", "r"], "torch"),
    "float precision of an integer program": (None, ["simulate", "INTEGER", "--target", "reference", "--data",
        "digits", "--out",
                                                     "r", "--limit", "1"], "run it with --precision fixed"),
    "a shard without a place": (None, ["evaluate", "PROGRAM", "--data", "digits", "--shard", "1/2"], "needs --checkpoint"),
    "a shard with a whole result": (
        None,
        ["evaluate", "PROGRAM", "--data", "digits", "--shard", "1/2", "--checkpoint", "c", "--out", "e.json"],
        "leave out --out",
    ),
    "a shard beyond the last": (
        None,
        ["evaluate", "PROGRAM", "--data", "digits", "--shard", "3/2", "--checkpoint", "c"],
        "expected i/n",
    ),
    "a checkpoint that is a file": (None, ["evaluate", "PROGRAM", "--data", "digits", "--checkpoint", "PROGRAM"], "directory"),
    "merge of nothing to merge": (lambda d: (d / "c").mkdir(), ["merge", "c", "--out", "e.json"], "neither a run nor"),
    "evaluate an integer program": (None, ["evaluate", "INTEGER", "--data", "digits"], "run it with --precision fixed"),
    "quantize an integer program": (None, ["quantize", "INTEGER", "--out", "q.nir"], "already"),
    "quantize into no directory": (None, ["quantize", "PROGRAM", "--out", "none/q.nir"], "does not exist"),
    "quantize for a chip without widths": (None, ["quantize", "PROGRAM", "--out", "q.nir", "--hardware", "horowitz45"],
                                           "weight_bits is unknown"),
    "quantize for 0 steps": (None, ["quantize", "PROGRAM", "--out", "q.nir", "--timesteps", "0"], "timesteps is 0"),
    "simulate with timesteps 0": (None, ["simulate", "PROGRAM", "--target", "torch", "--data", "digits", "--out", "r",
                                         "--timesteps", "0"], "timesteps is 0"),
    "simulate with limit 0": (None, ["simulate", "PROGRAM", "--target", "torch", "--data", "digits", "--out", "r",
                                     "--limit", "0"], "limit"),
    "not an image": (lambda d: (d / "a.png").write_text("hello"), ["classify", "PROGRAM", "a.png"], "a.png"),
    "no such image": (None, ["classify", "PROGRAM", "b.png"], "b.png"),
    "unknown chip": (None, ["energy", "RUN", "--hardware", "abacus"], "horowitz45, loihi1, loihi1_sanafe, loihi2"),
    "chip file with an unknown field": (unknown_chip_field, ["energy", "RUN", "--hardware", "chip.toml"], "flux"),
    "chip file with a missing field": (missing_chip_field, ["energy", "RUN", "--hardware", "chip.toml"], "name"),
    "no such run": (None, ["energy", "nowhere", "--hardware", "loihi2"], "no such run directory"),
    # names of results: before any work, so that a program that is not there is not even looked for
    "convert to no program": (None, ["convert", "nothing", "--data", "x", "--out", "p.h5"], "kind of file '.h5'; name it .nir"),
    "quantize to no program": (None, ["quantize", "none.nir", "--out", "q.json"], "unknown kind of file '.json'; name it .nir"),
    "evaluate to a table": (None, ["evaluate", "none.nir", "--data", "x", "--out", "e.csv"], "file '.csv'; name it .json"),
    "evaluate to a name alone": (None, ["evaluate", "none.nir", "--data", "x", "--out", "e"], "e: a name without a suffix"),
    "trace to a page": (None, ["trace", "none.nir", "--data", "x", "--out", "t.html"], "file '.html'; name it .json or .csv"),
    "energy to anything": (None, ["energy", "nowhere", "--hardware", "loihi2", "--out", "e.xml"], "name it .json or .csv"),
    "report to a document": (None, ["report", "nowhere", "--out", "r.pdf"], "kind of file '.pdf'; name it .html or .json"),
    "merge to a table": (parts_of_nothing, ["merge", "c", "--out", "e.csv"], "unknown kind of file '.csv'; name it .json"),
    "quantize onto itself": (None, ["quantize", "PROGRAM", "--out", "PROGRAM"], "is read, and would be replaced by the result"),
    "report onto its trace": (
        lambda d: (d / "t.json").write_text("{}"), ["report", "RUN", "--trace", "t.json", "--out", "t.json"], "t.json: is read",
    ),
    "energy onto its run": (None, ["energy", "RUN", "--hardware", "loihi2", "--out", "RUN/run.json"], "run.json: is read"),
    "a directory as result": (
        lambda d: (d / "e.json").mkdir(), ["evaluate", "PROGRAM", "--data", "digits", "--out", "e.json"], "is a directory",
    ),
    "demo over somebody's files": (lambda d: (d / "eval.json").write_text("mine"), ["demo", "--out", "."], "no demo wrote"),
    "demo over somebody's program": (somebodys_program, ["demo", "--out", "."], "holds program.nir, which no demo wrote"),
    "demo of a stream over somebody's program": (somebodys_program, ["demo", "--stream", "--out", "."], "no demo wrote"),
    "a stream beside runs on pictures": (
        streamed, ["report", "RUN", "s", "--out", "r.html"], "s: is a stream, which has a page of its own",
    ),
    "a trace of a stream": (streamed, ["report", "s", "--trace", "t.json", "--out", "r.html"], "is for runs on pictures"),
    "demo in no directory": (None, ["demo", "--out", "none/d"], "does not exist"),
    "completion of no shell": (None, ["--print-completion", "csh"], 'Choose from: "bash", "zsh", "fish"'),
    "completion of nothing": (None, ["--print-completion"], "parameter SHELL requires an argument"),
    "an unknown option before any verb": (None, ["--speed", "9"], "--speed"),
    "more than the verb takes": (None, ["energy", "RUN", "RUN", "--hardware", "loihi2"], "Unused Tokens"),
    "a choice that is none": (None, [*CONVERT, "--mlp-bases", "fix"], 'Choose from: "fixed", "measured"'),
    "a preset that is none": (None, [*CONVERT, "--preset", "papr"], "choose one of accurate, graded, paper"),
    "an operation outside the table": (
        colour,
        ["convert", "sequencer2d_s", "--data", "npz:colour.npz", "--out", "p.nir", "--input-size", "28", "--model-arg",
         "pretrained=false", "layers=[1,1,1,1]", "embed_dims=[8,8,8,8]", "hidden_sizes=[4,4,4,4]"],
        "8 operations cannot be converted: lstm in stages.0.blocks.0.rnn_tokens.rnn_v",
    ),
    "a required argument is missing": (None, CONVERT[:4], "--out"),
    "unknown option": (None, [*CONVERT, "--speed", "9"], "--speed"),
    "not a number": (None, [*CONVERT, "--levels", "many"], "many"),
    "unknown command": (None, ["fly"], "fly"),
    "report into no directory": (None, ["report", "RUN", "--out", "none/r.html"], "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    case, tmp_path, capsys, monkeypatch, digits_program, digits_run, integer_program
):
    prepare, arguments, expected = BAD[case]
    if prepare:
        prepare(tmp_path)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    named = {"PROGRAM": str(digits_program), "RUN": str(digits_run), "INTEGER": str(integer_program)}
    arguments = [named.get(a, a).replace("RUN/", f"{digits_run}/") for a in arguments]
    status, out, err = run(arguments, capsys, monkeypatch, tmp_path)
    lines = [line for line in err.splitlines() if "WARNING" not in line]
    assert status == 2, err
    assert len(lines) == 1, err
    assert lines[0].startswith("ecmt-deploy: ")
    assert expected in lines[0]
    assert "Traceback" not in out + err
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_a_target_that_is_not_installed_says_how_to_install_it(tmp_path, capsys, monkeypatch, digits_program):
    from ecmt_deploy.targets.lava import compat

    def absent(name: str) -> str:
        raise compat.PackageNotFoundError(name)

    monkeypatch.setattr(compat, "version", absent)
    monkeypatch.setattr(np, "__version__", "1.26.4")  # with 2 that stands in the way first
    arguments = ["simulate", str(digits_program), "--target", "lava", "--data", "digits", "--out", "r", "--limit", "1"]
    status, _, err = run(arguments, capsys, monkeypatch, tmp_path)
    assert status == 2
    assert "pip install 'ecmt-deploy[lava]'" in err
    assert ("--no-deps --ignore-requires-python lava-nc==0.10.0" in err) == (sys.version_info >= (3, 11))
    assert list(tmp_path.iterdir()) == []


def test_convert_is_deterministic_and_works(tmp_path, capsys, monkeypatch, digits_program):
    status, out, err = run(CONVERT, capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert "nodes" in out
    assert "preprocessing: input_size 1 x 8 x 8, mean 0.3054, std 0.3762" in out
    assert "(the card of zoo:vit_digits)" in out
    assert "classes: 10: 0, 1, 2, 3, 4, .." in out
    assert (tmp_path / "p.nir").read_bytes() == digits_program.read_bytes()
    assert read(tmp_path / "p.nir").provenance.class_names == tuple("0123456789")


def test_evaluate_writes_json_within_the_promise(tmp_path, capsys, monkeypatch, digits_program):
    arguments = ["evaluate", str(digits_program), "--data", "digits", "--out", "e.json"]
    status, out, err = run(arguments, capsys, monkeypatch, tmp_path)
    assert status == 0, err
    result = msgspec.json.decode((tmp_path / "e.json").read_bytes())
    assert result["n_samples"] == 360
    assert result["analog_accuracy"] >= 0.97
    assert abs(result["accuracy"][3] - result["analog_accuracy"]) <= 0.003
    assert f"{100 * result['accuracy'][3]:.2f}" in out


def test_parts_of_an_evaluation_are_merged(tmp_path, capsys, monkeypatch, digits_program):
    arguments = ["evaluate", str(digits_program), "--data", "digits", "--limit", "21", "--batch-size", "4"]
    status, table, err = run([*arguments, "--out", "e.json"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    for i in (2, 1):
        status, out, err = run([*arguments, "--shard", f"{i}/2", "--checkpoint", "parts"], capsys, monkeypatch, tmp_path)
        assert status == 0, err
        assert f"shard {i}/2 is done" in out
        assert "ecmt-deploy merge parts --out FILE" in out
    status, out, err = run(["merge", "parts", "--out", "m.json"], capsys, monkeypatch, tmp_path)
    assert (status, out) == (0, table), err
    assert (tmp_path / "m.json").read_bytes() == (tmp_path / "e.json").read_bytes()


def test_verbs_that_do_not_divide_run_in_one_process(tmp_path, capsys, monkeypatch):
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    status, _, err = run(CONVERT, capsys, monkeypatch, tmp_path)
    assert (status, err.count("\n")) == (2, 1)
    assert "convert runs in one process" in err


def test_preset_paper_converts_too(tmp_path, capsys, monkeypatch):
    status, _, err = run([*CONVERT, "--preset", "paper", "--timesteps", "6"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    program = read(tmp_path / "p.nir")
    assert (program.coding, program.timesteps) == ("rate", 6)


def test_energy_report_inspect_hardware_classify(tmp_path, capsys, monkeypatch, digits_program, digits_run):
    for name in ("e.json", "e.csv"):
        arguments = ["energy", str(digits_run), "--hardware", "loihi2", "horowitz45", "--out", name]
        status, out, err = run(arguments, capsys, monkeypatch, tmp_path)
        assert status == 0, err
        assert "blocks.0.attn" in out
    assert (tmp_path / "e.csv").read_text().count("\n") > 100
    assert {e["hardware"] for e in msgspec.json.decode((tmp_path / "e.json").read_bytes())} == {"loihi2", "horowitz45"}
    assert run(["report", str(digits_run), "--hardware", "loihi2"], capsys, monkeypatch, tmp_path)[0] == 0
    assert "<svg" in (tmp_path / "report.html").read_text()
    status, out, _ = run(["inspect", str(digits_program)], capsys, monkeypatch, tmp_path)
    assert status == 0
    assert re.search(r"^total +102,666 ", out, re.MULTILINE), "the model's parameters"
    assert len(out.splitlines()) <= 50
    assert "events" in run(["inspect", str(digits_run)], capsys, monkeypatch, tmp_path)[1].split("blocks.0.attn")[0]
    status, out, _ = run(["inspect", str(digits_program), "--nodes"], capsys, monkeypatch, tmp_path)
    assert status == 0
    nodes = {line.split()[0] for line in out.split("Provenance")[0].splitlines() if line.strip()}
    assert set(read(digits_program).nodes) <= nodes, "whole names"
    assert "Conv2d *" in out
    assert run(["hardware"], capsys, monkeypatch, tmp_path)[1].count("loihi") >= 2
    assert "SANA-FE" in run(["hardware", "loihi1_sanafe"], capsys, monkeypatch, tmp_path)[1]
    from sklearn.datasets import load_digits

    pixels = load_digits().images[0] / 16 * 255
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "zero.png")
    status, out, err = run(["classify", str(digits_program), "zero.png"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert " 0 " in out.splitlines()[-2]


def test_inspect_shows_cores_and_what_does_not_fit(tmp_path, capsys, monkeypatch, digits_program):
    arguments = ["inspect", str(digits_program), "--nodes", "--hardware"]
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        status, out, err = run([*arguments, "loihi2"], capsys, monkeypatch, tmp_path)
        assert status == 0, err
        assert "and their cores on loihi2" in out
        assert "4,095" in out, "the limit of neurons"
        assert "blocks.0.attn.qkv +" in out
        assert re.search(r"fits: [\d,]+ \([\d,]+ to [\d,]+\) cores on 1 (\(1 to \d\) )?chips?\b", out)
        assert all(len(line) <= int(columns) for line in out.splitlines())
    status, out, _ = run([*arguments, "loihi1_sanafe", "--details"], capsys, monkeypatch, tmp_path)
    assert status == 0
    assert "does not fit; what could be placed takes" in out
    assert "! blocks.0.norm1: programmable_neurons missing" in out
    assert "Weights are 8 bit wide: the chip's width" in out


def test_fixed_point_on_the_way_or_from_a_file(tmp_path, capsys, monkeypatch, digits_program):
    tail = ["--target", "reference", "--data", "digits", "--limit", "6", "--timesteps", "2", "--precision", "fixed", "--out"]
    status, out, err = run(["simulate", str(digits_program), *tail, "a"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert re.search(r"^[\d.]+ \([\d.]+ to [\d.]+\) % of .* right at T = \d+; the ANN [\d.]+ ", out), "the answer comes first"
    status, out, err = run(["quantize", str(digits_program), "--out", "q.nir"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert "weights 8, state 24, payloads 16 bits, for loihi2" in " ".join(out.split())
    status, out, err = run(["simulate", "q.nir", *tail, "b"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert "agreement" not in out, "an integer program has no analog one to agree with"
    # the run holds what ran: the integer program, the same either way
    assert (tmp_path / "a" / "program.nir").read_bytes() == (tmp_path / "q.nir").read_bytes()
    assert (tmp_path / "a" / "outputs.npy").read_bytes() == (tmp_path / "b" / "outputs.npy").read_bytes()
    records = [msgspec.json.decode((tmp_path / run_ / "run.json").read_bytes()) for run_ in "ab"]
    assert records[0]["program_sha256"] == records[1]["program_sha256"]
    assert records[0]["dtype"] == "int64"
    assert (records[1]["analog_accuracy"], records[1]["agreement"]) == (None, None)
    outputs = np.load(tmp_path / "a" / "outputs.npy")
    program = read(tmp_path / "q.nir")
    integers = np.ldexp(outputs, -program.exponents[program.output_name])
    assert outputs.dtype == np.float64
    assert (integers == np.rint(integers)).all()
    for name in "ab":
        assert run(["report", name, "--hardware", "loihi2"], capsys, monkeypatch, tmp_path)[0] == 0
        assert "No integer was clipped" in (tmp_path / "report.html").read_text()
        assert run(["energy", name, "--hardware", "loihi2"], capsys, monkeypatch, tmp_path)[0] == 0
    status, out, _ = run(["inspect", "q.nir", "--nodes", "--hardware", "loihi2"], capsys, monkeypatch, tmp_path)
    assert status == 0
    assert "24 bit, 2^" in out
    assert "fixed point" in out


def test_what_there_is_none_of_is_not_shown(capsys):
    DEFAULT.show({}, None, "", "a line")
    assert capsys.readouterr().out == "a line\n"


def test_saturations_are_shown(tmp_path, capsys, monkeypatch):
    """Steps beyond those that rate coding has room for overflow, visibly."""
    from ecmt_deploy.program.activity import Activity, Counts
    from ecmt_deploy.report.tables import saturations

    assert saturations(Activity(2, 1, {"a": Counts()})) is None
    from rich.console import Console

    Console().print(saturations(Activity(2, 1, {"a": Counts(saturations=3), "b": Counts()})))
    shown = capsys.readouterr().out
    assert "1.50" in shown
    assert "b" not in shown.split("per inference")[1]


def test_convert_within_a_budget(tmp_path, capsys, monkeypatch):
    status, out, err = run([*CONVERT, "--budget", "0.4", "--timesteps", "2"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    record = read(tmp_path / "p.nir").provenance.tuning
    assert record is not None
    assert 0.3 < record.events_per_mac <= 0.4
    words = " ".join(out.split())
    assert "tuned for T = 2" in words
    assert f"{per_mac(record.events_per_mac)} synaptic events per MAC" in words


def test_trace_as_table_json_and_in_the_report(tmp_path, capsys, monkeypatch, digits_program, digits_run):
    arguments = ["trace", str(digits_program), "--data", "digits", "--limit", "5", "--timesteps", "2", "--out", "t.json"]
    status, out, err = run(arguments, capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert out.startswith("The spiking network follows the ANN: its readout differs by ")
    assert "T=2" in out
    assert "nodes more: --details, or --out FILE.csv" in out
    assert len(out.splitlines()) <= 24
    assert max(map(len, out.splitlines())) <= 80
    every = run([*arguments, "--details"], capsys, monkeypatch, tmp_path)[1]
    assert all(node["node"] in every for node in msgspec.json.decode((tmp_path / "t.json").read_bytes())["nodes"][-50:])
    assert run([*arguments[:-1], "T.CSV"], capsys, monkeypatch, tmp_path)[0] == 0
    assert (tmp_path / "T.CSV").read_text().startswith("node,type,relative_error_t1,relative_error_t2\n")
    result = msgspec.json.decode((tmp_path / "t.json").read_bytes())
    assert (result["n_samples"], result["timesteps"]) == (5, 2)
    arguments = ["report", str(digits_run), "--hardware", "loihi2", "--trace", "t.json"]
    status, _, err = run(arguments, capsys, monkeypatch, tmp_path)
    assert status == 0, err
    page = (tmp_path / "report.html").read_text()
    assert "Error per node" in page
    assert page.count("blocks.1.mlp.fc2.neuron") >= 1


def test_a_program_with_its_preprocessing_needs_no_model(tmp_path, capsys, monkeypatch):
    """Converted from a folder of images by a model of timm's; evaluated, traced and classified from the file alone."""
    r = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            (tmp_path / "pets" / split / label).mkdir(parents=True)
            for i in range(8):
                pixels = r.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / split / label / f"{i}.png")
    sizes = ["patch_size=8", "embed_dim=24", "num_heads=3", "depth=1", "num_classes=2", "pretrained=false"]
    arguments = ["convert", "vit_tiny_patch16_224", "--data", "folder:pets", "--out", "p.nir", "--model-arg", *sizes]
    seen = ["--input-size", "32", "--crop-pct", "1", "--std", "0.2", "0.3", "0.4", "--interpolation", "bilinear"]
    status, out, err = run([*arguments, *seen], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    given = "input_size 3 x 32 x 32, std 0.2 0.3 0.4, interpolation bilinear, crop_pct 1.0 (given)"
    config = "mean 0.5 0.5 0.5, crop_mode center (timm's config of vit_tiny_patch16_224.augreg_in21k_ft_in1k)"
    assert f"preprocessing: {given}; {config}\nclasses: 2: cat, dog\n" in out
    source = read(tmp_path / "p.nir").provenance
    assert source.preprocessing == Preprocessing((3, 32, 32), (0.5,) * 3, (0.2, 0.3, 0.4), "bilinear", 1.0)
    assert source.model_args == dict(size.split("=") for size in sizes)
    assert (source.class_names, source.weights_key) == (("cat", "dog"), None)
    (tmp_path / "one").mkdir()
    (tmp_path / "pets" / "val" / "dog").rename(tmp_path / "one" / "Dog")
    monkeypatch.setitem(sys.modules, "timm", None)
    for arguments in (["evaluate", "p.nir", "--data", "folder:pets"], ["trace", "p.nir", "--data", "folder:pets"],
                      ["classify", "p.nir", "pets/val/cat/0.png"], ["evaluate", "p.nir", "--data", "folder:one"],
                      ["inspect", "p.nir", "--details"]):  # fmt: skip
        status, out, err = run(arguments, capsys, monkeypatch, tmp_path)
        assert status == 0, err
        assert out
    for said in (*given.split(), "(given);", *config.split(), "cat,", *sizes):
        assert said in out
    (tmp_path / "one" / "Dog").rename(tmp_path / "one" / "wolf")
    for verb, *more in (["evaluate"], ["trace"], ["simulate", "--target", "torch", "--out", "run"],
                        ["sweep", "--hardware", "loihi2", "--timesteps", "1", "--out", "runs"]):  # fmt: skip
        arguments = [verb, "p.nir", "--data", "folder:one", *more]
        status, out, err = run(arguments, capsys, monkeypatch, tmp_path)
        assert (status, out) == (2, "")
        assert "no single class of the program is called wolf (data: wolf; program: cat, dog)" in err
        assert run([*arguments, "--labels", "position"], capsys, monkeypatch, tmp_path)[0] == 0
    run(["report", "run", "--hardware", "loihi2", "--out", "r.html"], capsys, monkeypatch, tmp_path)
    page = html.unescape((tmp_path / "r.html").read_text())
    for said in (f"{given}; {config}", "2: cat, dog", " ".join(sizes), "by position, as asked for"):
        assert f">{said}</td>" in page


def test_weights_are_chosen_among_those_of_a_file(tmp_path, capsys, monkeypatch):
    own = safetensors.torch.load_file(zoo.weights_path("zoo:vit_digits"))
    torch.save({"model": {k: v / 2 for k, v in own.items()}, "model_ema": own}, tmp_path / "c.pth")
    chosen = [*CONVERT, "--preset", "paper", "--weights", "c.pth", "--weights-key", "model"]
    status, _, err = run(chosen, capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert read(tmp_path / "p.nir").provenance.weights_key == "model"
    assert (
        "model"
        in run(["inspect", "p.nir", "--details"], capsys, monkeypatch, tmp_path)[1]
        .split("weights of the file")[1]
        .split("\n")[0]
    )


@pytest.mark.parametrize("chip", [None, "loihi2", "truenorth", "odin", "horowitz45"])
def test_a_program_is_inspected_on_one_screen(chip, tmp_path, capsys, monkeypatch, digits_program):
    monkeypatch.setenv("COLUMNS", "80")
    line = ["inspect", str(digits_program), *(["--hardware", chip] if chip else [])]
    lines = run(line, capsys, monkeypatch, tmp_path)[1].splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith("(--details has all)")
    every = run([*line, "--details"], capsys, monkeypatch, tmp_path)[1]
    assert len(every.splitlines()) > len(lines)
    assert read(digits_program).provenance.weights_sha256[:40] in every


def test_every_command_has_help(capsys, monkeypatch, tmp_path):
    assert list(VERBS) == [
        "demo", "convert", "check", "evaluate", "trace", "simulate", "stream", "quantize", "merge", "classify", "energy",
        "inspect", "report", "sweep", "hardware",
    ]  # fmt: skip
    for command in VERBS:
        status, out, _ = run([command, "--help"], capsys, monkeypatch, tmp_path)
        assert status == 0
        assert command in out
        assert all(option in out for option in ("--json", "-v", "-q"))


def loaded_by(arguments: list[str]) -> set[str]:
    """Top-level packages that Python loads to run this."""
    result = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True)
    return {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in result.stderr.splitlines()
        if line.startswith("import time")
    }


@pytest.mark.parametrize(
    "statement",
    [
        "import ecmt_deploy",
        "import ecmt_deploy; ecmt_deploy.read; ecmt_deploy.hardware",
        "import ecmt_deploy.cli, ecmt_deploy.runs.merge",
    ],
)
def test_imports_stay_lean(statement):
    heavy = {"torch", "torchvision", "lava", "timm", "matplotlib", "sklearn", "scipy"}
    if statement == "import ecmt_deploy":
        heavy |= {"numpy", "nir", "h5py", "rich", "cyclopts"}
    loaded = loaded_by(["-c", statement])
    assert "ecmt_deploy" in loaded
    assert not heavy & loaded


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"], ["hardware", "--help"]])
def test_help_loads_nothing_that_computes(arguments):
    loaded = loaded_by(["-m", "ecmt_deploy", *arguments])
    assert "cyclopts" in loaded
    assert not {"torch", "torchvision", "lava", "timm", "numpy", "nir", "h5py", "matplotlib", "msgspec", "markdown_it"} & loaded


JSON = {
    "hardware": ["hardware"], "a chip": ["hardware", "loihi2"],
    "bibtex": ["hardware", "--bibtex"], "template": ["hardware", "--template"],
    "inspect": ["inspect", "PROGRAM", "--hardware", "loihi2"],
    "check": ["check", "zoo:vit_digits", "--hardware", "loihi2"],
    "convert": [*CONVERT, "--preset", "paper"], "energy": ["energy", "RUN", "--hardware", "loihi2"],
    "quantize": ["quantize", "PROGRAM", "--out", "q.nir"],
    "report": ["report", "RUN", "--hardware", "loihi2", "--bibtex"], "classify": ["classify", "PROGRAM", "a.png"],
    "trace": ["trace", "PROGRAM", "--data", "digits", "--limit", "1", "--timesteps", "1"],
    "evaluate": ["evaluate", "PROGRAM", "--data", "digits", "--limit", "2", "--timesteps", "1"],
    "part": ["evaluate", "PROGRAM", "--data", "digits", "--limit", "2", "--shard", "1/1", "--checkpoint", "c"],
    "merge": ["merge", "PARTS", "--out", "e.json"],
    "simulate": ["simulate", "PROGRAM", "--target", "torch", "--data", "digits", "--limit", "1", "--out", "r"],
    "sweep": ["sweep", "PROGRAM", "--hardware", "loihi2", "--timesteps", "1", "--limit", "2", "--out", "s"],
    "stream": ["stream", "PROGRAM", "--video", "made:digits,frames=2"],
}  # fmt: skip


@pytest.mark.parametrize("case", JSON)
def test_every_verb_answers_in_json(case, tmp_path, capsys, caplog, monkeypatch, digits_program, digits_run):
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "a.png")
    named = {"PROGRAM": str(digits_program), "RUN": str(digits_run), "PARTS": str(tmp_path / "c")}
    if case == "merge":
        run([named.get(word, word) for word in JSON["part"]], capsys, monkeypatch, tmp_path)
        caplog.clear()
    arguments = [named.get(word, word) for word in JSON[case]]
    status, out, err = run([*arguments, "--json", "-q"], capsys, monkeypatch, tmp_path)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("ecmt_deploy")]
    assert (status, err, said) == (0, "", []), "with --quiet there is the result alone"
    assert out.isascii()
    result = json.loads(out)
    assert isinstance(result, list if case in ("hardware", "a chip", "energy", "classify") else dict)
    assert VERBS.keys() - {"demo"} <= {words[0] for words in JSON.values()}


def test_json_brings_no_control_character_to_the_terminal():
    shown = as_json({"a\x1b[2J\x7f\x9b": "\u202e"})
    assert shown.replace("\n", "").isprintable()
    assert json.loads(shown) == {"a\x1b[2J\x7f\x9b": "\u202e"}


#: of every verb the first words of the above, and some that fail
OF_EVERY_VERB = {words[0]: words for words in reversed(JSON.values())}
FAILS = {
    "demo": ["demo", "--out", "none/d"], "convert": ["convert", "none", "--data", "digits", "--out", "p.nir"],
    "check": ["check", "zoo:none"], "evaluate": ["evaluate", "none.nir", "--data", "digits"],
    "trace": ["trace", "none.nir", "--data", "digits"], "classify": ["classify", "none.nir", "a.png"],
    "simulate": ["simulate", "none.nir", "--target", "torch", "--data", "digits", "--out", "r"],
    "stream": ["stream", "none.nir", "--video", "made:digits"], "quantize": ["quantize", "none.nir", "--out", "q.nir"],
    "merge": ["merge", "none", "--out", "m"], "energy": ["energy", "none", "--hardware", "loihi2"],
    "inspect": ["inspect", "none.nir"], "report": ["report", "none"], "hardware": ["hardware", "none"],
    "sweep": ["sweep", "none.nir", "--hardware", "loihi2", "--out", "s"],
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_its_errors_when_quiet(verb, tmp_path, capsys, monkeypatch):
    status, out, err = run([*FAILS[verb], "-q"], capsys, monkeypatch, tmp_path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("ecmt-deploy: ")
    status, _, err = run([*FAILS[verb], "-v"], capsys, monkeypatch, tmp_path)
    assert (status, "Traceback" in err) == (2, True), "with --verbose where it comes from"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "demo"])
def test_every_verb_says_what_it_does_when_verbose(verb, tmp_path, capsys, caplog, monkeypatch, digits_program, digits_run):
    """And nothing of it otherwise; a demo is run below."""
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "a.png")
    named = {"PROGRAM": str(digits_program), "RUN": str(digits_run), "PARTS": str(tmp_path / "c")}
    if verb == "merge":
        run([named.get(word, word) for word in JSON["part"]], capsys, monkeypatch, tmp_path)
    status, _, err = run([*(named.get(word, word) for word in OF_EVERY_VERB[verb]), "-v"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    assert re.fullmatch(rf"{verb} took \d+\.\d s", caplog.messages[-1])
    if "PROGRAM" in OF_EVERY_VERB[verb] or "RUN" in OF_EVERY_VERB[verb]:
        assert any(re.fullmatch(r"reads program .*\.nir", said) for said in caplog.messages)
    if "--data" in OF_EVERY_VERB[verb]:
        assert any(said.startswith("reads data digits") for said in caplog.messages)


def test_quiet_and_verbose(tmp_path, capsys, monkeypatch, digits_program):
    arguments = [
        "simulate",
        str(digits_program),
        "--target",
        "torch",
        "--data",
        "digits",
        "--limit",
        "1",
        "--hardware",
        "loihi2",
    ]
    status, out, err = run([*arguments, "--out", "a"], capsys, monkeypatch, tmp_path)
    assert (status, "loihi2: " in err) == (0, True)
    status, quiet, err = run([*arguments, "--out", "b", "-q"], capsys, monkeypatch, tmp_path)
    assert (status, err) == (0, "")
    assert len(quiet.splitlines()) == len(out.splitlines()), "the result is printed all the same"
    status, _, err = run(["hardware", "a\x1b[2J", "-v"], capsys, monkeypatch, tmp_path)
    assert status == 2
    assert "Traceback" in err
    assert err.replace("\n", "").isprintable()


@pytest.mark.parametrize("bad", ["\x1b[2J", "a\nb", "\x9b2J", "\u202e"])
def test_errors_of_usage_quote_no_control_character(bad, tmp_path, capsys, monkeypatch):
    for arguments in ([bad], [*CONVERT, "--levels", bad], [*CONVERT, f"--{bad}", "1"], ["hardware", "odin", bad],
                      [*CONVERT, "--preset", bad], ["--print-completion", bad]):  # fmt: skip
        status, out, err = run(arguments, capsys, monkeypatch, tmp_path)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err[:-1].isprintable()


def test_a_misspelt_verb_is_answered_with_the_nearest(capsys, monkeypatch, tmp_path):
    status, _, err = run(["evaluat", "--data", "digits"], capsys, monkeypatch, tmp_path)
    assert status == 2
    assert 'Unknown command "evaluat". Did you mean "evaluate"?' in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_parameter(shell, capsys, monkeypatch, tmp_path):
    status, out, _ = run(["--print-completion", shell], capsys, monkeypatch, tmp_path)
    assert status == 0
    assert all(option in out for option in ("batch-size", "hardware", "bibtex", "allow-misfit"))


def test_bash_completes_verbs_and_options(capsys, monkeypatch, tmp_path):
    status, script, _ = run(["--print-completion", "bash"], capsys, monkeypatch, tmp_path)
    assert status == 0
    (tmp_path / "completion").write_text(script)
    for words, expected in (("sim", "simulate"), ("simulate --allow", "--allow-misfit")):
        last = len(words.split())
        code = f"""
        source completion
        f=$(complete -p ecmt-deploy | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=(ecmt-deploy {words}); COMP_CWORD={last}; COMP_LINE="ecmt-deploy {words}"; COMP_POINT=${{#COMP_LINE}}
        $f ecmt-deploy; echo "${{COMPREPLY[@]}}"
        """
        made = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert made.stdout.split() == [expected], made.stderr


def test_the_version(capsys, monkeypatch, tmp_path):
    import ecmt_deploy

    assert run(["--version"], capsys, monkeypatch, tmp_path) == (0, f"ecmt-deploy {ecmt_deploy.__version__}\n", "")


def test_the_overview_names_every_verb_and_what_else_there_is(capsys, monkeypatch, tmp_path):
    status, out, _ = run(["--help"], capsys, monkeypatch, tmp_path)
    assert status == 0
    assert all(re.search(rf"^│ {verb} +\w", out, re.MULTILINE) for verb in VERBS)
    assert "--version" in out
    assert "--print-completion" in out
    for verb, several in (("merge", "RUNS"), ("report", "RUNS"), ("classify", "IMAGES")):
        assert re.search(rf"Usage: ecmt-deploy {verb} .*\b{several}\b", run([verb, "--help"], capsys, monkeypatch, tmp_path)[1])


PRINTING = {"--help": ["--help"], "--version": ["--version"], "completion": ["--print-completion", "bash"], "nothing": [],
            **{f"{verb} --help": [verb, "--help"] for verb in VERBS},
            "hardware": ["hardware"], "hardware NAME": ["hardware", "loihi2"], "bibtex": ["hardware", "--bibtex"],
            "template": ["hardware", "--template"], "inspect": ["inspect", "PROGRAM", "--hardware", "loihi2"],
            "energy": ["energy", "RUN", "--hardware", "loihi2"], "quantize": ["quantize", "PROGRAM", "--out", "q.nir"],
            "report": ["report", "RUN", "--hardware", "loihi2", "--bibtex", "--out", "r.html"],
            "trace": ["trace", "PROGRAM", "--data", "digits", "--limit", "1", "--timesteps", "1"],
            "evaluate": ["evaluate", "PROGRAM", "--data", "digits", "--limit", "1", "--timesteps", "1"],
            "simulate": ["simulate", "PROGRAM", "--target", "torch", "--data", "digits", "--limit", "1", "--timesteps", "1",
                         "--out", "r"]}  # fmt: skip


@pytest.mark.parametrize("case", PRINTING)
def test_a_reader_that_leaves_ends_a_command_without_a_word(case, tmp_path, capfd, monkeypatch, digits_program, digits_run):
    named = {"PROGRAM": str(digits_program), "RUN": str(digits_run)}
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        monkeypatch.setattr(sys, "argv", ["ecmt-deploy", *(named.get(word, word) for word in PRINTING[case])])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as end:
            entry.main()
    assert end.value.code == (2 if case == "nothing" else 141)  # an error of usage writes to stderr alone
    err = [line for line in capfd.readouterr().err.splitlines() if line]
    assert not any("Traceback" in line or "Error" in line for line in err), err
    if case in ("simulate", "quantize", "report"):
        assert len(list(tmp_path.iterdir())) == 1, "what was made is kept"


def test_another_broken_pipe_is_no_reader_that_left(capfd, monkeypatch, tmp_path):
    def broken(*args: object) -> None:
        raise BrokenPipeError(32, "a worker is gone")

    monkeypatch.setattr(entry, "parse", lambda words: (broken, DEFAULT))
    with pytest.raises(BrokenPipeError, match="a worker is gone"):
        run([], capfd, monkeypatch, tmp_path)


def test_systems_without_some_signals_and_files_without_some_calls(capsys, monkeypatch, tmp_path, digits_program):
    """Windows has no SIGHUP, and its Python no ``os.fchmod`` before 3.13."""
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.delattr(os, "fchmod")
    status, _, err = run(["quantize", str(digits_program), "--out", "q.nir"], capsys, monkeypatch, tmp_path)
    assert (status, err) == (0, "")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_closed_streams_are_no_failure(closed, tmp_path):
    code = f"import os; os.close({1 if closed == 'stdout' else 2}); os.execvp({sys.executable!r}, " \
           f"[{sys.executable!r}, '-m', 'ecmt_deploy', '--help'])"  # fmt: skip
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert made.returncode == 0
    assert "Traceback" not in made.stdout + made.stderr


@contextmanager
def shortened() -> Iterator[None]:
    """The same road with fewer samples and frames, and without drawings."""
    with undrawn(), pytest.MonkeyPatch.context() as patch:
        few = {"LAVA_SAMPLES": 4, "CLIP": "made:digits,frames=4", "TUNING_CLIP": "made:digits,seed=5,frames=8", "BUDGET": 0.5}
        for name, value in few.items():
            patch.setattr(f"ecmt_deploy.verbs.demo.{name}", value)
        yield


#: as ``make demo`` has it, and shortened
LENGTHS = [shortened, pytest.param(nullcontext, marks=pytest.mark.slow)]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_demo_of_a_stream_answers_in_json(length, tmp_path, capsys, monkeypatch):
    with length():
        status, out, said = run(["demo", "--stream", "--out", "d", "--json"], capsys, monkeypatch, tmp_path)
    assert status == 0, said
    assert out.isascii()
    found = json.loads(out)
    assert set(found["files"]) == {path.name for path in (tmp_path / "d").iterdir()} == set(STREAM_FILES)
    assert {chip["fits"] for chip in found["energy"]} == {"yes", "no", "unknown"}
    assert found["stream"]["clip"]["alternatives"]
    assert "<svg" in (tmp_path / "d" / "report.html").read_text()
    require_own(tmp_path / "d", STREAM_FILES)


@pytest.mark.parametrize("length", LENGTHS)
def test_demo_runs_the_whole_road(length, tmp_path, capsys, caplog, monkeypatch):
    """In JSON too: what it says on the way is on standard error then."""
    with length():
        status, out, said = run(["demo", "--out", "d", "--json", "-v"], capsys, monkeypatch, tmp_path)
    assert status == 0, said
    assert re.fullmatch(r"demo took \d+\.\d s", caplog.messages[-1])
    made = {p.name for p in (tmp_path / "d").iterdir()}
    assert made == {"program.nir", "eval.json", "run", "energy.json", "energy.csv", "trace.json", "report.json", "report.html"}
    assert out.isascii()
    assert set(json.loads(out)["files"]) == made
    assert "NOT equal" not in said
    assert "loihi1_sanafe" in said
    if "left out" not in said:
        assert "spikes equal, all counts equal" in " ".join(said.split())
    assert len(said.splitlines()) <= 40, "a screen"
    found = json.loads(out)
    assert {chip["fits"] for chip in found["energy"]} == {"yes", "no", "unknown"}
    assert len(found["evaluation"]["accuracy"]) == 8
    require_own(tmp_path / "d")  # so it may be repeated


def test_a_stage_of_a_demo_is_a_line_or_what_its_verb_shows(capsys):
    from ecmt_deploy.untrusted.terminal import Terminal
    from ecmt_deploy.verbs.demo import Stages

    for details, expected in ((False, "evaluate  [98 %]"), (True, "evaluate ──")):
        Stages(Terminal(width=60), details)("evaluate", "[98 %]", "a table", "")
        out = capsys.readouterr().out
        assert out.startswith(expected)
        assert ("a table" in out) is details


def test_demo_speaks_on_standard_output(tmp_path, capsys, monkeypatch):
    def fails(*arguments, **options):
        raise ConversionError("no conversion today")

    monkeypatch.setattr("ecmt_deploy.verbs.demo.convert", fails)
    status, out, err = run(["demo", "--out", "d"], capsys, monkeypatch, tmp_path)
    assert (status, err) == (2, "ecmt-deploy: no conversion today\n")
    assert out == "", "a stage is shown when it is done"
