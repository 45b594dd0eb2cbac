"""``ecmt-deploy stream``: what a user does wrong is one line and leaves nothing behind; Ctrl-C keeps what is done."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ecmt_deploy as ecmt
from ecmt_deploy.runs import stream as running
from ecmt_deploy.runs.directory import load_run
from ecmt_deploy.runs.frames import FRAMES, FRAMES_CSV
from tests.support.commands import run
from tests.support.trained import program_file
from tests.support.videos import pictures, write_sound, write_video


@pytest.fixture(scope="module")
def programs(tmp_path_factory, digits) -> dict[str, str]:
    """The bundled model in differential coding, as integers and in rate coding."""
    floats, integers = program_file("graded"), tmp_path_factory.mktemp("programs") / "integer.nir"
    ecmt.quantize(floats, out=integers)
    return {"RATE": str(digits), "DIGITS": str(floats), "INTEGER": str(integers)}


def damaged(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video at all" * 100)


def truncated(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", pictures(20)).read_bytes()
    (tmp_path / "whole.mp4").unlink()
    (tmp_path / "clip.mp4").write_bytes(whole[: len(whole) // 3])


def silent(tmp_path: Path) -> None:
    write_sound(tmp_path / "clip.mp4")


def empty_video(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mkv", pictures(2)[:0].reshape(0, 24, 32, 3), "ffv1", "bgr0")


def frames(tmp_path: Path, *sizes: tuple[int, int]) -> None:
    (tmp_path / "frames").mkdir()
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (20 * number, 0, 0)).save(tmp_path / "frames" / f"{number:03}.png")


def of_two_sizes(tmp_path: Path) -> None:
    frames(tmp_path, (12, 12), (12, 12), (13, 12))


def with_damage(tmp_path: Path) -> None:
    frames(tmp_path, (12, 12), (12, 12))
    (tmp_path / "frames" / "001.png").write_bytes(b"\x89PNG, and then nothing")


def without_frames(tmp_path: Path) -> None:
    frames(tmp_path)


def array(shape: tuple[int, ...]):
    def write(tmp_path: Path) -> None:
        np.savez(tmp_path / "clip.npz", x=np.zeros(shape, np.float32), y=np.zeros(shape[0], np.int64))

    return write


def no_number(tmp_path: Path) -> None:
    x = np.zeros((4, 1, 8, 8), np.float32)
    x[2, 0, 3, 3] = np.nan
    np.savez(tmp_path / "clip.npz", x=x, y=np.zeros(4, np.int64))


def in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")


def a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")


STILL = "made:still,frames=4"
#: what is prepared, the arguments behind the verb (a program, a clip, and others), and what the line says
BAD = {
    "no video": (damaged, ["DIGITS", "--video", "clip.mp4"], "clip.mp4: not a readable video"),
    "a video cut off": (truncated, ["DIGITS", "--video", "clip.mp4"], "clip.mp4: "),
    "sound": (silent, ["DIGITS", "--video", "clip.mp4"], "there is no video in it"),
    "no such video": (None, ["DIGITS", "--video", "none.mp4"], "no such file"),
    "a video without frames": (empty_video, ["DIGITS", "--video", "clip.mkv"], "clip.mkv: "),
    "a size that changes": (of_two_sizes, ["DIGITS", "--video", "frames:frames"], "frame 2 is 13 x 12 pixels, those before it"),
    "a damaged frame": (with_damage, ["DIGITS", "--video", "frames:frames"], "001.png"),
    "an empty clip": (without_frames, ["DIGITS", "--video", "frames:frames"], "frames:frames: "),
    "no such directory": (None, ["DIGITS", "--video", "frames:none"], "frames:none: "),
    "an unknown clip": (None, ["DIGITS", "--video", "made:rain"], "no such clip; there are made:still"),
    "no form": (None, ["DIGITS", "--video", "somewhere"], "unknown CLIP; expected video:FILE"),
    "frames of another shape": (array((4, 1, 9, 8)), ["DIGITS", "--video", "npz:clip.npz"], "samples are 1 x 9 x 8"),
    "an array without frames": (array((0, 1, 8, 8)), ["DIGITS", "--video", "npz:clip.npz"], "npz:clip.npz: "),
    "no number": (no_number, ["DIGITS", "--video", "npz:clip.npz"], "x holds NaN or infinity in 1 sample, first at 2"),
    "rate coding": (None, ["RATE", "--video", STILL], "the program is of rate coding"),
    "integers beside the network": (None, ["INTEGER", "--video", STILL, "--precision", "fixed", "--target", "reference",
        "--every", "2"], "an integer program has no network beside it"),
    "integers compared": (None, ["INTEGER", "--video", STILL, "--precision", "fixed", "--target", "reference",
        "--compare"], "an integer program has no network beside it"),
    "integers as floats": (None, ["INTEGER", "--video", STILL], "run it with --precision fixed"),
    "cores of a chip": (None, ["INTEGER", "--video", STILL, "--precision", "fixed", "--hardware", "loihi2", "--target",
        "cores"], "target cores"),
    "an unknown target": (None, ["DIGITS", "--video", STILL, "--target", "abacus"], "unknown target 'abacus'; registered: "),
    "an unknown chip": (None, ["DIGITS", "--video", STILL, "--hardware", "abacus"], "abacus"),
    "a chip that does not take it": (None, ["DIGITS", "--video", STILL, "--hardware", "truenorth"], "does not fit truenorth"),
    "every nought": (None, ["DIGITS", "--video", STILL, "--every", "0"], "--every 0"),
    "no frames wanted": (None, ["DIGITS", "--video", STILL, "--limit", "0"], "limit must be at least 1 frame"),
    "no steps": (None, ["DIGITS", "--video", STILL, "--steps-per-frame", "0"], "at least 1"),
    "a gate below nought": (None, ["DIGITS", "--video", STILL, "--gate", "-1"], "gate is -1"),
    "something in the way": (in_the_way, ["DIGITS", "--video", STILL], "run: exists and is no run directory"),
    "a file in the way": (a_file_in_the_way, ["DIGITS", "--video", STILL], "run: exists and is no run directory"),
    "nowhere to write": (None, ["DIGITS", "--video", STILL, "--out", "none/run"], "none"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_a_user_does_wrong_is_one_line(case, programs, tmp_path, capsys, monkeypatch):
    prepare, (program, *others), expected = BAD[case]
    if prepare:
        prepare(tmp_path)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    arguments = others if "--out" in others else [*others, "--out", "run"]
    status, out, err = run(["stream", programs[program], *arguments], capsys, monkeypatch, tmp_path)
    assert status == 2, err
    assert out == ""
    (line,) = [line for line in err.splitlines() if "WARNING" not in line]
    assert line.startswith("ecmt-deploy: ")
    assert expected in line
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before


def test_a_run_is_replaced_only_where_that_is_said(programs, tmp_path, capsys, monkeypatch):
    command = ["stream", programs["DIGITS"], "--video", STILL, "--out", "run", "--quiet"]
    assert run(command, capsys, monkeypatch, tmp_path)[0] == 0
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    status, _, err = run([*command, "--gate", "3"], capsys, monkeypatch, tmp_path)
    assert (status, "holds a run already" in err) == (2, True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == kept
    assert run([*command, "--gate", "3", "--overwrite"], capsys, monkeypatch, tmp_path)[0] == 0
    assert load_run(tmp_path / "run").record.clip.gate == 3


def interrupting(monkeypatch, frame: int, where: str) -> None:
    """Have Ctrl-C come while frame ``frame`` is computed, or while its row is kept."""
    original = running.frame_runs if where == "computed" else running.Worker.keep

    def computed(*args, **kwargs):
        for number, each in enumerate(original(*args, **kwargs)):
            if number == frame:
                os.kill(os.getpid(), signal.SIGINT)
            yield each

    def kept(self, result):
        if len(self.rows) == frame:
            os.kill(os.getpid(), signal.SIGINT)
        original(self, result)

    if where == "computed":
        monkeypatch.setattr(running, "frame_runs", computed)
    else:
        monkeypatch.setattr(running.Worker, "keep", kept)


@pytest.mark.parametrize(
    ("target", "where", "done"), [("torch", "computed", 20), ("torch", "kept", 21), ("reference", "kept", 21)]
)
def test_ctrl_c_keeps_what_is_done(target, where, done, programs, tmp_path, capsys, monkeypatch):
    interrupting(monkeypatch, 20, where)
    command = ["stream", programs["DIGITS"], "--video", "made:still,frames=100000", "--target", target, "--out", "run"]
    status, _, err = run([*command, "--every", "7"], capsys, monkeypatch, tmp_path)
    assert status == 130, err
    assert err.splitlines()[-1] == "ecmt-deploy: interrupted"
    stored = load_run(tmp_path / "run")
    assert stored.record.clip.interrupted
    assert stored.record.n_samples == done
    rows = stored.frames()
    assert [row.frame for row in rows] == list(range(done))
    assert [row.frame for row in rows if row.network_error is not None] == list(range(0, done, 7))
    assert stored.activity.n_samples == done
    assert len(np.load(tmp_path / "run" / "outputs.npy")[0]) == done
    assert len((tmp_path / "run" / FRAMES_CSV).read_text().splitlines()) == done + 1
    assert (tmp_path / "run" / FRAMES).exists()
    assert os.listdir(tmp_path) == ["run"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    whole = ecmt.stream(programs["DIGITS"], "made:still,frames=100000", target, limit=done)
    assert [row.synops for row in rows] == [row.synops for row in whole.rows]


def test_ctrl_c_before_the_first_frame_leaves_nothing(programs, tmp_path, capsys, monkeypatch):
    interrupting(monkeypatch, 0, "computed")
    command = ["stream", programs["DIGITS"], "--video", STILL, "--out", "run"]
    status, out, err = run(command, capsys, monkeypatch, tmp_path)
    assert (status, out, err) == (130, "", "ecmt-deploy: interrupted\n")
    assert os.listdir(tmp_path) == []
