"""Damaged images: found before anything is computed, named, left out where asked for, and counted in every record."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import ecmt_deploy as ecmt
from ecmt_deploy import data
from ecmt_deploy.data.whole_files import looks_whole
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program.preprocessing import Preprocessing
from tests.support.commands import run

GREY = Preprocessing((1, 8, 8), (0.5,), (0.5,), "bilinear", 1.0, "center")
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")


def encoded(form: str, seed: int = 0, size: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size), np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, form)
    return held.getvalue()


@pytest.fixture(params=[False, True], ids=["one split", "two splits"])
def folder(request, tmp_path):
    """Ten images in two classes, of which the numbers 1 (truncated) and 6 (empty) are damaged, in one split or in both."""
    for split in ("train", "val") if request.param else ("",):
        for i in range(10):
            path = tmp_path / "d" / split / f"c{i // 5}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = encoded("PNG", i, 8)
            path.write_bytes({1: whole[:-30], 6: b""}.get(i, whole))
    return tmp_path / "d"


@settings(max_examples=30)
@given(st.sampled_from(FORMATS), st.integers(0, 3), st.floats(0, 0.9))
def test_whole_files_look_whole_and_cut_ones_never_hide(tmp_path_factory, form, seed, share):
    """What looks whole is whole; where bytes are missing at the end it does not look so, unless they were no pixels."""
    path = tmp_path_factory.mktemp("files") / "a.img"
    content = encoded(form, seed)
    path.write_bytes(content)
    assert looks_whole(path) or form == "TIFF"  # of which nothing short of decoding tells
    path.write_bytes(content[: int(share * len(content))])
    assert not looks_whole(path)


def test_what_is_behind_the_end_of_a_picture_is_no_damage(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.jpg").write_bytes(encoded("JPEG") + bytes(100))
    (tmp_path / "c" / "b.png").write_bytes(encoded("PNG") + b"more")  # looks odd, decodes
    assert len(data.evaluation(f"folder:{tmp_path}", preprocessing=GREY)) == 2


def test_truncated_and_empty_files_are_found_before_anything_is_computed(folder):
    for opened in (data.evaluation, lambda spec, **more: data.calibration(spec, n_samples=10, **more)):
        if opened is data.evaluation or (folder / "train").exists():
            with pytest.raises(
                DataError, match=r"2 damaged images, found before .*1\.png.*6\.png.*; --skip-damaged leaves out"
            ):
                opened(f"folder:{folder}", preprocessing=GREY)


def test_damaged_ones_are_left_out_and_the_rest_keeps_numbers_and_labels(folder, caplog):
    found = data.evaluation(f"folder:{folder}", preprocessing=GREY, skip_damaged=True)
    assert found.skipped == 2
    assert found.indices.tolist() == [0, 2, 3, 4, 5, 7, 8, 9]
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert "2 damaged images left out of 10 samples" in caplog.text
    x, _ = found.arrays()
    assert x.shape == (8, 1, 8, 8)


def test_damage_in_the_middle_is_found_where_images_are_decoded(tmp_path):
    (tmp_path / "c").mkdir()
    content = bytearray(encoded("PNG"))
    content[60:70] = bytes(10)
    (tmp_path / "c" / "a.png").write_bytes(content)
    (tmp_path / "c" / "b.png").write_bytes(encoded("PNG"))
    assert looks_whole(tmp_path / "c" / "a.png")
    assert data.evaluation(f"folder:{tmp_path}", preprocessing=GREY, skip_damaged=True).indices.tolist() == [1]


def test_where_all_are_damaged_nothing_is_left(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="every sample of 1 is damaged"):
        data.evaluation(f"folder:{tmp_path}", preprocessing=GREY, skip_damaged=True)


def test_calibration_records_what_was_read(folder):
    drawn = data.calibration(f"folder:{folder}", preprocessing=GREY, n_samples=10, skip_damaged=True)
    record = drawn.record
    assert not {1, 6} & set(record.indices)
    assert len(drawn.x) == len(record.indices)
    assert record.skipped + len(record.indices) == (10 if record.split == "train" else 5)
    source = data.open(f"folder:{folder}", preprocessing=GREY, split="train")
    assert record.sha256 == source.take(record.indices).sha256
    if record.split == "all":  # the hold-out is recognised, and left out
        left = data.evaluation(f"folder:{folder}", preprocessing=GREY, exclude=record, skip_damaged=True)
        assert not set(left.indices.tolist()) & set(record.indices)


@pytest.fixture
def program(folder, tmp_path):
    model = ecmt.models.load("zoo:vit_digits")
    path = tmp_path / "p.nir"
    x = np.random.default_rng(0).normal(size=(8, 1, 8, 8)).astype(np.float32)
    config = ecmt.ConvertConfig("paper", timesteps=1)
    ecmt.convert(model.module, x, config, preprocessing={"mean": 0.5, "std": 0.5, "crop_pct": 1.0}, out=path)
    return path


@pytest.mark.parametrize("folder", [True], indirect=True)
def test_records_shards_and_resumed_jobs_agree(folder, program, tmp_path, capsys, monkeypatch, caplog):
    asked = [str(program), "--data", f"folder:{folder}", "--labels", "position", "--skip-damaged"]
    status, out, err = run(["evaluate", *asked, "--json", "--batch-size", "3"], capsys, monkeypatch, tmp_path)
    assert status == 0, err
    whole = json.loads(out)
    assert (whole["n_samples"], whole["skipped"]) == (8, 2)
    assert "2 damaged images left out of 10 samples" in caplog.text
    for i in (1, 2, 1):  # the first again: it is done already
        shard = ["--shard", f"{i}/2", "--checkpoint", "c", "--batch-size", "3"]
        assert run(["evaluate", *asked, *shard], capsys, monkeypatch, tmp_path)[0] == 0
    ecmt.merge(tmp_path / "c", tmp_path / "merged.json")
    assert json.loads((tmp_path / "merged.json").read_text()) == whole
    for i in (1, 2):
        shard = ["--target", "torch", "--shard", f"{i}/2", "--out", f"r{i}"]
        assert run(["simulate", *asked, *shard], capsys, monkeypatch, tmp_path)[0] == 0
    merged = ecmt.merge([tmp_path / "r1", tmp_path / "r2"], tmp_path / "r").record
    assert (merged.n_samples, merged.skipped) == (8, 2)
    status, out, _ = run(["trace", *asked], capsys, monkeypatch, tmp_path)
    assert status == 0
    assert "2 damaged images left out" in out
    status, _, err = run(["evaluate", *asked[:-1]], capsys, monkeypatch, tmp_path)
    assert status == 2
    assert "2 damaged images, found before anything is computed" in err


def test_samples_in_memory_are_read_already(program):
    for call in (ecmt.evaluate, ecmt.trace, lambda *a, **k: ecmt.simulate(*a, "torch", **k)):
        with pytest.raises(ConfigError, match="skip_damaged is for a"):
            call(program, np.zeros((2, 1, 8, 8), np.float32), skip_damaged=True)
