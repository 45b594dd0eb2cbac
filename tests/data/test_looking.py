"""``check --data``: every sample is read once; what is damaged, of an odd size, or of no output's class is listed."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

import ecmt_deploy as ecmt
from ecmt_deploy.cli import main
from ecmt_deploy.data import look_through
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program.preprocessing import Preprocessing

SMALL = Preprocessing((3, 8, 8), (0.5,) * 3, (0.5,) * 3)


def picture(path, width: int = 16, height: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)


@pytest.fixture
def pets(tmp_path):
    """Two splits of two classes, 44 pictures, all sound and of one size."""
    for split, count in (("train", 20), ("val", 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                picture(tmp_path / "pets" / split / name / f"{i}.png")
    return tmp_path / "pets"


def test_sound_data_is_counted(pets):
    found = look_through(f"folder:{pets}", SMALL, ["dog", "cat", "fox"])
    assert found.sound
    assert [(split.split, split.samples, split.classes) for split in found.splits] == [
        ("train", 40, {"cat": 20, "dog": 20}), ("test", 4, {"cat": 2, "dog": 2}),
    ]  # fmt: skip
    assert all(split.damaged == split.odd == () for split in found.splits)
    assert found.splits[0].sizes == ((16, 12), (16, 12), (16, 12))
    assert (found.matched, found.unmatched) == (2, ())


DAMAGE = {
    "cut off": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "no picture": lambda whole: b"<html>not found</html>",
    "a flipped bit": lambda whole: whole[:60] + bytes([whole[60] ^ 255]) + whole[61:],
}


@pytest.mark.parametrize("workers", [0, 2])
def test_all_that_is_damaged_is_listed_and_the_rest_is_read(pets, workers):
    expected = set()
    for i, change in enumerate(DAMAGE.values()):
        path = pets / "train" / ("cat" if i % 2 else "dog") / f"{3 * i}.png"
        path.write_bytes(change(path.read_bytes()))
        expected.add(str(path))
    found = look_through(f"folder:{pets}", SMALL, workers=workers)
    train, test = found.splits
    assert {one.where for one in train.damaged} == expected
    assert all(one.why and not one.why.startswith(one.where) for one in train.damaged)
    assert (train.samples, found.damaged, found.sound, test.damaged) == (40, 4, False, ())


def test_odd_sizes_are_named_and_are_no_fault(pets):
    picture(pets / "train" / "cat" / "small.png", 16, 7)
    picture(pets / "train" / "cat" / "long.png", 80, 12)
    picture(pets / "train" / "dog" / "other.png", 17, 12)
    found = look_through(f"folder:{pets}", SMALL)
    assert found.sound
    said = {one.where.rpartition("/")[2]: one.why for one in found.splits[0].odd}
    assert "smaller than the 8 x 8 that the model takes" in said["small.png"]
    assert "a crop leaves little" in said["long.png"]
    assert "17 x 12 pixels" in said["other.png"]
    without = {one.where.rpartition("/")[2]: one.why for one in look_through(f"folder:{pets}", None).splits[0].odd}
    assert "where nearly all have 16 x 12" in without["small.png"]  # nobody says what is too small


def test_pictures_that_are_all_too_small_are_told_once(pets):
    large = Preprocessing((3, 64, 64), (0.5,) * 3, (0.5,) * 3)
    (one,) = look_through(f"folder:{pets}", large).splits[0].odd
    assert "all pictures are smaller than the 64 x 64 that the model takes; most have 16 x 12" in one.why


def test_a_class_of_no_output_or_of_one_that_another_has_too_is_listed(pets):
    assert look_through(f"folder:{pets}", SMALL, ["dog", "fox"]).unmatched == ("cat",)
    found = look_through(f"folder:{pets}", SMALL, ["cat, dog", "fox"])
    assert (found.unmatched, found.sound) == (("cat", "dog"), False)


def test_arrays_have_classes_and_no_sizes(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((5, 3), np.float32), y=np.array([0, 2, 2, 0, 0]))
    found = look_through(f"npz:{tmp_path / 'a.npz'}", None)
    (split,) = found.splits
    assert (split.split, split.samples, split.classes, split.sizes) == ("all", 5, {"0": 3, "2": 2}, None)


def test_data_that_nobody_can_read_without_a_model_says_so():
    with pytest.raises(DataError, match="name the model too"):
        look_through("digits", None)
    with pytest.raises(DataError, match="no such directory"):
        look_through("folder:nowhere", None)
    with pytest.raises(ConfigError, match="pass a model to check"):
        ecmt.check()


def command(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["ecmt-deploy", "check", *words])
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().out


def test_the_command_says_what_is_wrong_a_line_each(pets, monkeypatch, capsys):
    data = f"folder:{pets}"
    status, out = command(monkeypatch, capsys, "--data", data, "--workers", "0")
    assert status == 0
    assert "40 samples of 2 classes, 20 each; all can be read" in " ".join(out.split())
    for i in range(12):
        (pets / "train" / "cat" / f"{i}.png").write_bytes(b"damaged")
    status, out = command(monkeypatch, capsys, "--data", data, "--workers", "0")
    assert status == 1
    said = " ".join(out.split())
    assert "12 cannot be read" in said
    assert said.count("damaged: ") == 10
    assert "and 2 more damaged, which --json lists" in said
    status, out = command(monkeypatch, capsys, "--data", data, "--workers", "0", "--json")
    assert len(json.loads(out)["check"]["data"]["splits"][0]["damaged"]) == 12


def test_a_model_and_its_data_are_checked_together(monkeypatch, capsys):
    status, out = command(monkeypatch, capsys, "zoo:vit_digits", "--data", "digits", "--hardware", "loihi2")
    assert status == 0
    assert "zoo:vit_digits converts" in out
    assert "classes matched to outputs of the model by name: 10" in " ".join(out.split())
