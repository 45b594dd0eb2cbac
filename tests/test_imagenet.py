"""The command that fills the paper's table, on a small folder and random weights: resumed, and divided by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import imagenet
from ecmt_deploy import energy, read
from ecmt_deploy.evaluation import jobs
from tests.support.datasets import write_images

ROOT = Path(__file__).parents[1]
MODEL = "vit_tiny_patch16_224"
SMALL = ("pretrained=false", "img_size=32", "depth=1", "embed_dim=32", "num_heads=2", "num_classes=2")


def command(data: Path, out: Path) -> list[str]:
    given = [f"--model-arg={pair}" for pair in SMALL]
    sizes = ["--timesteps", "3", "--calibration-samples", "4", "--batch-size", "3", "--device", "cpu", "--workers", "0"]
    return ["--data", f"folder:{data}", "--models", MODEL, "--presets", "paper", "graded", *sizes, *given, "--out", str(out)]


def known(out: Path) -> list[dict]:
    """The rows without how long they took."""
    return [{**row, "seconds_per_sample": None} for row in json.loads((out / "table.json").read_text())]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"), {"a": 7, "b": 8}, size=(32, 32))


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    imagenet.run(imagenet.arguments().parse_args(command(images, out)))
    return out


def test_a_row_for_every_preset_and_step_as_energy_has_it(whole: Path) -> None:
    rows = known(whole)
    assert [(row["preset"], row["timesteps"]) for row in rows] == [(p, t) for p in ("paper", "graded") for t in (1, 2, 3)]
    program = whole / f"{MODEL}-paper" / "program.nir"
    found = jobs.evaluate_file(
        jobs.EvaluateJob(
            program=program, data=read(program).provenance.calibration.spec, timesteps=3, batch_size=3, workers=0,
        )
    )  # fmt: skip
    bill = energy(found.activity, read(program), "horowitz45")
    assert rows[2]["energy_ratio"] == pytest.approx(bill.paper.ratio)
    assert rows[2]["events_per_mac"] == pytest.approx(bill.events_per_mac)
    assert rows[2]["accuracy"] == found.accuracy[-1]
    assert rows[0]["events_per_mac"] < rows[2]["events_per_mac"]
    for name in ("table.tex", "table.md"):
        assert (whole / name).read_text().count("graded") >= 3


def test_what_was_stopped_is_resumed_with_the_same_figures(images, whole, tmp_path, monkeypatch) -> None:
    batches = iter([jobs.score_batch] * 2)
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "score_batch", lambda *arguments: next(batches)(*arguments))
        with pytest.raises(StopIteration):
            imagenet.run(imagenet.arguments().parse_args(command(images, tmp_path)))
    assert not (tmp_path / "table.json").exists()
    for _ in range(2):  # resumed, and then read
        imagenet.run(imagenet.arguments().parse_args(command(images, tmp_path)))
        assert known(tmp_path) == known(whole)


def test_torchrun_divides_it_and_gives_the_same_figures(images, whole, tmp_path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "benchmarks.imagenet",
         *command(images, tmp_path), "--presets", "paper"],
        cwd=ROOT, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert known(tmp_path) == [row for row in known(whole) if row["preset"] == "paper"]


def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["imagenet", *command(tmp_path / "nowhere", tmp_path / "out")])
    assert imagenet.main() == 2
    assert "no such directory" in capsys.readouterr().err.splitlines()[-1]


def test_another_question_is_refused(images, whole, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["imagenet", *command(images, whole), "--limit", "3"])
    assert imagenet.main() == 2
    assert "--limit None, not 3; choose another --out" in capsys.readouterr().err
