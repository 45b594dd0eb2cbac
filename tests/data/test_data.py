"""Datasets: every DATA form, its errors, and the separation of calibration from evaluation."""

from __future__ import annotations

import gzip
import io
import logging
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecmt_deploy import data
from ecmt_deploy.data import timm_names
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing
from tests.support.datasets import GREY8, RGB16, FakeDataset, FakeReader, FakeStream, write_idx, write_images, write_npz


def one_line(error: pytest.ExceptionInfo[DataError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# --- digits ----------------------------------------------------------------------------------------------------------


def test_digits_split_is_fixed_stratified_and_disjoint():
    train, test = data.split_digits()
    assert (len(train), len(test)) == (1437, 360)
    assert set(train).isdisjoint(test)
    assert len(set(train) | set(test)) == 1797
    labels = data.open("digits", preprocessing=GREY8, split="test").labels
    assert np.bincount(labels).tolist() == [36] * 10
    again = data.split_digits()
    assert np.array_equal(train, again[0])
    assert np.array_equal(test, again[1])


def test_digits_are_scaled_and_normalised():
    from sklearn.datasets import load_digits

    dataset = data.open("digits", preprocessing=GREY8, split="test")
    x, y = dataset.arrays()
    _, test = data.split_digits()
    expected = (load_digits().images[test][:, None] / 16 - 0.5) / 0.25
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-6)
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    assert dataset.class_names == tuple("0123456789")


def test_size_mismatch_names_both_shapes_and_the_fix():
    with pytest.raises(DataError) as error:
        data.open("digits", preprocessing=RGB16)
    message = one_line(error)
    assert "1 x 8 x 8" in message
    assert "3 x 16 x 16" in message
    assert "--model-arg in_chans=1" in message
    assert "--model-arg img_size=8" in message


# --- Dataset ---------------------------------------------------------------------------------------------------------


def test_batches_cover_everything_once_in_order():
    dataset = data.open("digits", preprocessing=GREY8)
    batches = list(dataset.batches(100))
    assert [len(y) for _, y in batches] == [100, 100, 100, 60]
    x, y = dataset.arrays()
    assert np.array_equal(np.concatenate([b[0] for b in batches]), x)
    assert np.array_equal(np.concatenate([b[1] for b in batches]), y)


def test_limit_is_a_fixed_random_subset_that_grows():
    dataset = data.open("digits", preprocessing=GREY8)
    small, large = dataset.sample(20), dataset.sample(50)
    assert set(small.indices) < set(large.indices)
    assert not np.array_equal(large.indices, np.arange(50))
    assert np.array_equal(large.indices, np.sort(large.indices))
    limited = np.concatenate([y for _, y in dataset.sample(20).batches(8)])
    assert np.array_equal(limited, small.labels)
    assert len(dataset.sample(10_000)) == len(dataset)


def test_indices_shard_without_overlap():
    dataset = data.open("digits", preprocessing=GREY8)
    shards = [np.concatenate([y for _, y in dataset.take(range(r, 360, 3)).batches(64)]) for r in range(3)]
    merged = np.empty(360, np.int64)
    for rank, labels in enumerate(shards):
        merged[rank::3] = labels
    assert np.array_equal(merged, dataset.labels)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: next(d.batches(0)),
        lambda d: d.sample(0),
        lambda d: d.take([360]),
        lambda d: d.take([-1]),
    ],
)
def test_senseless_requests_are_refused(call):
    dataset = data.open("digits", preprocessing=GREY8)
    with pytest.raises(DataError) as error:
        call(dataset)
    assert one_line(error).startswith("digits: ")


# --- calibration and evaluation --------------------------------------------------------------------------------------


def test_calibration_comes_from_the_train_split_and_repeats():
    first = data.calibration("digits", preprocessing=GREY8, n_samples=32, seed=3)
    again = data.calibration("digits", preprocessing=GREY8, n_samples=32, seed=3)
    other = data.calibration("digits", preprocessing=GREY8, n_samples=32, seed=4)
    assert first.record == again.record
    assert np.array_equal(first.x, again.x)
    assert first.record.indices != other.record.indices
    assert first.record.sha256 != other.record.sha256
    assert first.record.split == "train"
    assert first.record.holdout == ()
    assert first.x.shape == (32, 1, 8, 8)
    assert len(set(first.record.indices)) == 32
    whole = data.open("digits", preprocessing=GREY8, split="train")
    assert np.array_equal(whole.take(first.record.indices).arrays()[0], first.x)
    assert len(data.evaluation("digits", preprocessing=GREY8, exclude=first.record)) == 360


def test_calibration_takes_what_is_there_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        chosen = data.calibration("digits", preprocessing=GREY8, n_samples=5000)
    assert len(chosen.x) == 1437
    assert "5000" in caplog.text
    assert "1437" in caplog.text
    with pytest.raises(DataError):
        data.calibration("digits", preprocessing=GREY8, n_samples=0)


def test_single_split_is_held_out(tmp_path, caplog):
    spec = f"npz:{write_npz(tmp_path / 'a.npz')}"
    chosen = data.calibration(spec, preprocessing=GREY8, n_samples=6)
    assert chosen.record.split == "all"
    assert chosen.record.holdout == chosen.record.indices
    assert len(chosen.record.holdout) == 6
    rest = data.evaluation(spec, preprocessing=GREY8, exclude=chosen.record)
    assert sorted([*rest.indices, *chosen.record.holdout]) == list(range(20))
    assert len(data.evaluation(spec, preprocessing=GREY8, exclude=chosen.record.holdout)) == 14
    assert len(data.evaluation(spec, preprocessing=GREY8)) == 20
    assert set(data.evaluation(spec, preprocessing=GREY8, exclude=chosen.record, limit=5).indices) <= set(rest.indices)

    moved = (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    assert len(data.evaluation(f"npz:{moved}", preprocessing=GREY8, exclude=chosen.record)) == 14

    other = f"npz:{write_npz(tmp_path / 'other.npz', n=21)}"
    assert len(data.evaluation(other, preprocessing=GREY8, exclude=chosen.record)) == 21
    write_npz(tmp_path / "a.npz", n=22)
    with caplog.at_level(logging.WARNING):
        assert len(data.evaluation(spec, preprocessing=GREY8, exclude=chosen.record)) == 22
    assert "changed since" in caplog.text


def test_single_split_gives_at_most_half_to_calibration(tmp_path):
    spec = f"npz:{write_npz(tmp_path / 'a.npz')}"
    assert len(data.calibration(spec, preprocessing=GREY8, n_samples=15).x) == 10
    with pytest.raises(DataError, match="none is left"):
        data.evaluation(spec, preprocessing=GREY8, exclude=range(20))
    tiny = f"npz:{write_npz(tmp_path / 'tiny.npz', n=1)}"
    with pytest.raises(DataError, match="at least 2"):
        data.calibration(tiny, preprocessing=GREY8, n_samples=1)


def test_record_survives_json():
    import msgspec

    record = data.calibration("digits", preprocessing=GREY8, n_samples=4).record
    assert msgspec.json.decode(msgspec.json.encode(record), type=data.CalibrationRecord) == record
    assert msgspec.json.decode(msgspec.json.encode(RGB16), type=Preprocessing) == RGB16


# --- npz -------------------------------------------------------------------------------------------------------------


def test_npz_is_passed_through_and_has_a_train_split(tmp_path):
    x = np.arange(2 * 64, dtype=np.float32).reshape(2, 1, 8, 8)
    path = write_npz(tmp_path / "a.npz", x_train=x, y_train=np.array([3, 4]))
    train = data.open(f"npz:{path}", preprocessing=GREY8, split="train")
    assert train.split == "train"
    assert np.array_equal(train.arrays()[0], x)
    assert train.labels.tolist() == [3, 4]
    assert data.open(f"npz:{path}", preprocessing=GREY8).split == "test"
    assert data.calibration(f"npz:{path}", preprocessing=GREY8, n_samples=2).record.holdout == ()


X = np.zeros((3, 1, 8, 8), np.float32)
Y = np.zeros(3, np.int64)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": X.astype(np.float64), "y": Y}, "float64"),
        ({"x": X[0], "y": Y}, r"shape \(1, 8, 8\)"),
        ({"x": X, "y": Y.astype(float)}, "expected int64"),
        ({"x": X, "y": Y[:2]}, "3 samples and 2 labels"),
        ({"x": X * np.nan, "y": Y}, r"NaN or infinity in 3 samples, first at 0"),
        ({"x": X, "y": Y - 1}, "label -1"),
        ({"x": X, "y": Y + 10}, "label 10 found, but the model has 10 outputs"),
        ({"x": np.array([{}, {}, {}], dtype=object), "y": Y}, "pickled objects"),
        ({"images": X, "y": Y}, "no array 'x'; found images, y"),
        ({"x": X}, "no array 'y'"),
        ({"x": X[:, :, :4], "y": Y}, "1 x 4 x 8"),
        ({"x": X[:0], "y": Y[:0]}, "empty"),
    ],
)
def test_npz_errors(tmp_path, arrays, expected):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=expected) as error:
        data.open(f"npz:{tmp_path / 'a.npz'}", preprocessing=GREY8, n_classes=10)
    one_line(error)


@pytest.mark.parametrize("shape", [(1, 8, 8), (6,), (5, 6), (2, 3, 4, 5)])
def test_npz_needs_no_preprocessing_and_any_rank_is_checked(tmp_path, shape):
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, y=Y)
    spec = f"npz:{tmp_path / 'a.npz'}"
    assert np.array_equal(data.evaluation(spec, preprocessing=None, shape=shape, n_classes=1).arrays()[0], x)
    assert np.array_equal(data.open(spec, preprocessing=None).arrays()[0], x)
    for other in ((*shape, 1), (*shape[:-1], 7)):
        with pytest.raises(DataError, match=r"expected normalised float32 of shape|but the model takes") as error:
            data.evaluation(spec, preprocessing=None, shape=other)
        one_line(error)


@pytest.mark.parametrize("spec", ["digits", "folder:pets", "idx:mnist", "torch/cifar10"])
def test_images_need_preprocessing_and_the_error_says_how(spec):
    for read, expected in ((data.evaluation, r"convert\(.., preprocessing="), (data.open, r"preprocessing=.*models.load")):
        with pytest.raises(DataError, match=expected + ".*npz:FILE") as error:
            read(spec, preprocessing=None)
        one_line(error)
    with pytest.raises(DataError, match=r"models.load"):
        data.open(spec)


def test_npz_missing_or_not_an_archive(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        data.open(f"npz:{tmp_path / 'none.npz'}", preprocessing=GREY8)
    (tmp_path / "a.npz").write_bytes(b"not a zip file")
    with pytest.raises(DataError, match=r"not a readable .npz"):
        data.open(f"npz:{tmp_path / 'a.npz'}", preprocessing=GREY8)
    whole = write_npz(tmp_path / "b.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(whole[:-30])
    with pytest.raises(DataError, match=r"not a readable .npz"):
        data.open(f"npz:{tmp_path / 'b.npz'}", preprocessing=GREY8)


def test_npz_header_that_promises_too_much_allocates_nothing(tmp_path):
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1, 8, 8)}
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue() + b"\0" * 256)
    with pytest.raises(DataError, match="256 are there"):
        data.open(f"npz:{tmp_path / 'a.npz'}", preprocessing=GREY8)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", b"no header")
    with pytest.raises(DataError, match="not a NumPy array"):
        data.open(f"npz:{tmp_path / 'b.npz'}", preprocessing=GREY8)


# --- idx -------------------------------------------------------------------------------------------------------------


IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
LABELS = np.arange(12) % 10


@pytest.mark.parametrize("gz", [False, True])
def test_idx(tmp_path, gz):
    write_idx(tmp_path, "train", IMAGES, LABELS, gz)
    write_idx(tmp_path, "t10k", IMAGES[:5], LABELS[:5], gz)
    spec = f"idx:{tmp_path}"
    train = data.open(spec, preprocessing=GREY8, split="train")
    test = data.open(spec, preprocessing=GREY8, split="test")
    assert (len(train), len(test), train.split, test.split) == (12, 5, "train", "test")
    x, y = test.arrays()
    np.testing.assert_allclose(x[:, 0], (IMAGES[:5] / 255 - 0.5) / 0.25, atol=1e-6)
    assert y.tolist() == LABELS[:5].tolist()
    assert data.calibration(spec, preprocessing=GREY8, n_samples=4).record.split == "train"


def test_idx_single_split_is_held_out(tmp_path):
    write_idx(tmp_path, "t10k", IMAGES, LABELS)
    chosen = data.calibration(f"idx:{tmp_path}", preprocessing=GREY8, n_samples=4)
    assert chosen.record.split == "all"
    assert len(chosen.record.holdout) == 4
    assert len(data.evaluation(f"idx:{tmp_path}", preprocessing=GREY8, exclude=chosen.record)) == 8


def spoil_idx(directory: Path, damage: str) -> None:
    images, labels = directory / "t10k-images-idx3-ubyte", directory / "t10k-labels-idx1-ubyte"
    content = images.read_bytes()
    if damage == "magic":
        images.write_bytes(struct.pack(">I", 0x804) + content[4:])
    elif damage == "truncated":
        images.write_bytes(content[:-1])
    elif damage == "header":
        images.write_bytes(content[:9])
    elif damage == "long":
        images.write_bytes(content + b"\0")
    elif damage == "huge":
        images.write_bytes(struct.pack(">IIII", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1) + content[16:])
    elif damage == "huge gz":
        images.with_suffix(".gz").write_bytes(gzip.compress(struct.pack(">IIII", 0x803, 2**31, 8, 8)))
        images.unlink()
    elif damage == "truncated gz":
        images.with_suffix(".gz").write_bytes(gzip.compress(content)[:-20])
        images.unlink()
    elif damage == "not gz":
        images.rename(images.with_suffix(".gz"))
    elif damage == "lengths":
        labels.write_bytes(struct.pack(">II", 0x801, 3) + b"\0\0\0")
    elif damage == "no labels":
        labels.unlink()
    elif damage == "two":
        (directory / "letters-t10k-images-idx3-ubyte").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("magic", "0x00000804; expected 0x00000803"),
        ("truncated", "needs 768 bytes, the file has 783|needs 768 bytes, found 767"),
        ("header", "is truncated: 9 bytes"),
        ("long", "too long"),
        ("huge", "is truncated"),
        ("huge gz", "is truncated"),
        ("truncated gz", "cannot be read"),
        ("not gz", "cannot be read"),
        ("lengths", "12 samples and 3 labels"),
        ("no labels", "has no labels"),
        ("two", "several files"),
    ],
)
def test_idx_errors(tmp_path, damage, expected):
    write_idx(tmp_path, "t10k", IMAGES, LABELS)
    spoil_idx(tmp_path, damage)
    with pytest.raises(DataError, match=expected) as error:
        data.open(f"idx:{tmp_path}", preprocessing=GREY8)
    one_line(error)


def test_idx_missing(tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        data.open(f"idx:{tmp_path / 'none'}", preprocessing=GREY8)
    with pytest.raises(DataError, match="no idx files"):
        data.open(f"idx:{tmp_path}", preprocessing=GREY8)
    write_idx(tmp_path, "t10k", IMAGES[:, :7], LABELS)
    with pytest.raises(DataError, match=r"1 x 7 x 8.*img_size=\[7,8\]"):
        data.open(f"idx:{tmp_path}", preprocessing=GREY8)


# --- folder ----------------------------------------------------------------------------------------------------------


def test_folder_with_train_and_val(tmp_path):
    write_images(tmp_path / "train", {"cat": 3, "dog": 2, "emu": 1})
    write_images(tmp_path / "val", {"cat": 1, "emu": 2})
    spec = f"folder:{tmp_path}"
    train = data.open(spec, preprocessing=RGB16, split="train")
    val = data.open(spec, preprocessing=RGB16)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 2]
    assert val.labels.tolist() == [0, 2, 2]
    assert val.class_names == ("cat", "dog", "emu")
    x, _ = next(val.batches(8))
    assert x.shape == (3, 3, 16, 16)
    assert x.dtype == np.float32


def test_folder_pixels_are_normalised_per_channel(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (16, 16), (255, 0, 51)).save(tmp_path / "a" / "i.png")
    x, _ = data.open(f"folder:{tmp_path}", preprocessing=RGB16).arrays()
    expected = [(1 - 0.5) / 0.2, (0 - 0.4) / 0.3, (0.2 - 0.3) / 0.4]
    np.testing.assert_allclose(x[0].mean(axis=(1, 2)), expected, rtol=1e-5)


def test_folder_single_split_is_held_out_by_content(tmp_path, caplog):
    root = write_images(tmp_path / "pets", {"cat": 5, "dog": 5})
    chosen = data.calibration(f"folder:{root}", preprocessing=RGB16, n_samples=4)
    assert chosen.record.split == "all"
    assert len(chosen.record.holdout) == 4
    assert len(data.evaluation(f"folder:{root}", preprocessing=RGB16, exclude=chosen.record)) == 6
    Image.new("RGB", (9, 9)).save(root / "cat" / "00.png")
    with caplog.at_level(logging.WARNING):
        assert len(data.evaluation(f"folder:{root}", preprocessing=RGB16, exclude=chosen.record)) == 11
    assert "changed since" in caplog.text


def test_folder_with_only_val_is_a_single_split(tmp_path):
    write_images(tmp_path / "val", {"cat": 2, "dog": 2})
    dataset = data.open(f"folder:{tmp_path}", preprocessing=RGB16, split="train")
    assert dataset.split == "all"
    assert dataset.class_names == ("cat", "dog")


def test_folder_classes_in_natural_order(tmp_path, caplog):
    write_images(tmp_path, {"2": 1, "10": 1, "1": 1})
    with caplog.at_level(logging.WARNING):
        assert data.open(f"folder:{tmp_path}", preprocessing=RGB16).class_names == ("1", "2", "10")
    assert "natural order" in caplog.text


def test_folder_of_some_synsets_uses_the_models_labels(tmp_path):
    write_images(tmp_path, {"n01440764": 1, "n01443537": 1, "n02102040": 1})
    assert data.open(f"folder:{tmp_path}", preprocessing=RGB16, n_classes=1000).labels.tolist() == [0, 1, 217]
    assert data.open(f"folder:{tmp_path}", preprocessing=RGB16).labels.tolist() == [0, 1, 2]


SYNSETS = ["n01440764", "n01443537", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042", "n03425413",
           "n03445777"]  # fmt: skip


@pytest.mark.parametrize("n_classes", [None, 1000])
def test_folder_directories_without_images_are_no_classes(tmp_path, caplog, n_classes):
    """What systems and people leave beside classes does not renumber them; the numbers are those of timm's own reader."""
    from timm.data.readers.reader_image_folder import find_images_and_targets

    root = write_images(tmp_path / "some", dict.fromkeys(SYNSETS, 1))
    before = data.open(f"folder:{root}", preprocessing=RGB16, n_classes=n_classes)
    for name in ("lost+found", "__MACOSX", ".thumbnails", "a_empty/deeper", "zz notes", "@eaDir/n01440764"):
        (root / name).mkdir(parents=True)
    (root / "zz notes" / "readme.txt").write_text("no image")
    (root / "n01440764" / "._0.png").write_bytes(b"what macOS writes beside a file")
    with caplog.at_level(logging.WARNING):
        after = data.open(f"folder:{root}", preprocessing=RGB16, n_classes=n_classes)
    assert after.labels.tolist() == before.labels.tolist()
    assert after.class_names == before.class_names
    assert len(after) == 10
    assert "without images, so no class: a_empty, zz notes" in caplog.text
    assert after.arrays()[0].shape == (10, 3, 16, 16)
    if n_classes is None:
        (root / "n01440764" / "._0.png").unlink()  # timm takes it for an image
        assert dict(zip(after.class_names, range(10), strict=True)) == find_images_and_targets(str(root))[1]
    else:
        assert after.labels.tolist()[:3] == [0, 1, 217]


def test_folder_what_systems_leave_behind_is_no_class_even_with_images(tmp_path):
    root = write_images(
        tmp_path / "pets", {"cat": 1, "dog": 1, "@eaDir": 2, "$RECYCLE.BIN": 1, ".cache": 1, "cat/@eaDir/0.png": 1}
    )
    (root / "__MACOSX" / "cat").mkdir(parents=True)
    (root / "__MACOSX" / "cat" / "._0.png").write_bytes(b"x")
    dataset = data.open(f"folder:{root}", preprocessing=RGB16)
    assert (dataset.class_names, dataset.labels.tolist()) == (("cat", "dog"), [0, 1])


def test_folder_without_images_in_one_split(tmp_path, caplog):
    """Classes are those that training images are of; a test split need not have images of all of them."""
    write_images(tmp_path / "train", {"ant": 0, "cat": 1, "dog": 1})
    write_images(tmp_path / "val", {"ant": 0, "cat": 0, "dog": 1, "elk": 0})
    with caplog.at_level(logging.WARNING):
        val = data.open(f"folder:{tmp_path}", preprocessing=RGB16)
    assert (val.class_names, val.labels.tolist()) == (("cat", "dog"), [1])
    assert "train: without images, so no class: ant" in caplog.text
    write_images(tmp_path / "other" / "train", {"notes": 0})
    write_images(tmp_path / "other", {"cat": 1})
    assert data.open(f"folder:{tmp_path / 'other'}", preprocessing=RGB16).class_names == ("cat",)


def test_folder_images_below_a_class_are_of_it_and_that_is_said(tmp_path, caplog):
    root = write_images(tmp_path, {"cat/siamese": 1, "dog": 1})
    with caplog.at_level(logging.WARNING):
        assert data.open(f"folder:{root}", preprocessing=RGB16).class_names == ("cat", "dog")
    assert "timm makes each innermost directory a class" in caplog.text


@pytest.mark.parametrize("closed", ["cat", "cat/deeper"])
def test_folder_that_cannot_be_read_does_not_renumber(tmp_path, monkeypatch, closed):
    root = write_images(tmp_path, {"cat/deeper": 1, "dog": 1})
    scandir = os.scandir

    def refuse(path):
        if Path(path) == root / closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=f"{closed} cannot be read") as error:
        data.open(f"folder:{root}", preprocessing=RGB16)
    one_line(error)


def test_folder_names_of_unusual_numbers_sort(tmp_path):
    assert data.open(f"folder:{write_images(tmp_path, {'²': 1, '10': 1, '2': 1})}", preprocessing=RGB16).class_names[:2] == (
        "2",
        "10",
    )


def test_folder_errors(tmp_path):
    def refused(directory: Path, expected: str, preprocessing: Preprocessing = RGB16, n_classes: int | None = None):
        with pytest.raises(DataError, match=expected) as error:
            data.open(f"folder:{directory}", preprocessing=preprocessing, n_classes=n_classes)
        one_line(error)

    refused(tmp_path / "none", "no such directory")
    refused(tmp_path, "no class directories")
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    refused(tmp_path / "empty", "no images")
    split = tmp_path / "split"
    write_images(split / "train", {"cat": 1})
    write_images(split / "val", {"cat": 1, "yak": 1})
    refused(split, r"val/ has 1 class that train/ lacks: yak")
    refused(split / "val", "label 1 found, but the model has 1 output ", n_classes=1)
    four = Preprocessing(input_size=(4, 8, 8), mean=(0.0,) * 4, std=(1.0,) * 4)
    refused(split / "val", "the model takes 4", preprocessing=four)


@pytest.mark.parametrize("damage", ["text", "truncated", "empty", "32 bit"])
def test_unreadable_image_is_named(tmp_path, damage):
    root = write_images(tmp_path / "a", {"cat": 1})
    path = root / "cat" / "0.png"
    if damage == "32 bit":
        Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(path, "TIFF")
    else:
        path.write_bytes({"text": b"hello", "truncated": path.read_bytes()[:200], "empty": b""}[damage])
    with pytest.raises(DataError, match=r"0.png") as error:
        next(data.open(f"folder:{root}", preprocessing=RGB16).batches(1))
    one_line(error)


# --- single images ---------------------------------------------------------------------------------------------------


def test_load_images_converts_to_the_models_channels(tmp_path):
    path = tmp_path / "i.png"
    Image.new("RGB", (40, 30), (255, 255, 255)).save(path)
    assert data.load_images([path, str(path)], RGB16).shape == (2, 3, 16, 16)
    grey = data.load_images([path], GREY8)
    assert grey.shape == (1, 1, 8, 8)
    np.testing.assert_allclose(grey, (1 - 0.5) / 0.25)


def test_load_images_errors(tmp_path):
    with pytest.raises(DataError, match="no such image"):
        data.load_images([tmp_path / "none.png"], RGB16)
    with pytest.raises(DataError, match="no image given"):
        data.load_images([], RGB16)
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match="not a readable image"):
        data.load_images([tmp_path / "empty.png"], RGB16)


def test_decompression_bomb_is_refused(tmp_path, monkeypatch):
    Image.new("L", (64, 64)).save(tmp_path / "i.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="not a readable image .*pixels"):
        data.load_images([tmp_path / "i.png"], RGB16)


# --- timm names and unknown forms ------------------------------------------------------------------------------------


def test_torchvision_dataset_from_a_directory(tmp_path):
    for prefix, n in (("train", 12), ("t10k", 5)):
        write_idx(tmp_path / "MNIST" / "raw" if prefix != "train" else _raw(tmp_path), prefix, IMAGES[:n], LABELS[:n])
    spec = f"torch/mnist:{tmp_path}"
    test = data.open(spec, preprocessing=GREY8, n_classes=10)
    assert (len(test), test.split, test.labels.tolist()) == (5, "test", LABELS[:5].tolist())
    x, _ = test.arrays()
    np.testing.assert_allclose(x[:, 0], (IMAGES[:5] / 255 - 0.5) / 0.25, atol=1e-5)
    chosen = data.calibration(spec, preprocessing=RGB16, n_samples=3)
    assert chosen.x.shape == (3, 3, 16, 16)
    assert chosen.record.split == "train"
    assert len(chosen.record.sha256) == 64


def _raw(root: Path) -> Path:
    directory = root / "MNIST" / "raw"
    directory.mkdir(parents=True)
    return directory


@pytest.mark.parametrize(
    ("mapping", "names"),
    [({"b": 1, "a": 0}, ("a", "b")), ({"cat": 0, "kitten": 0, "dog": 2}, ("cat, kitten", "", "dog")), ({}, None)],
)
def test_names_of_reader_datasets_stand_at_their_labels(mapping, names):
    reader = FakeReader(2)
    reader.class_to_idx = mapping
    assert timm_names.TimmSource("hfds/x", "test", FakeDataset(reader), RGB16).class_names == names


def test_reader_datasets_are_read_below_timms_retry():
    source = timm_names.TimmSource("hfds/x", "test", FakeDataset(FakeReader(6, damaged=4)), RGB16)
    assert source.class_names == ("a", "b")
    assert source.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert source.read(np.array([3, 1])).shape == (2, 3, 16, 16)
    with pytest.raises(DataError, match=r"hfds/x\[4\]"):
        source.read(np.array([4]))


def test_streamed_datasets_are_read_from_their_start():
    source = timm_names.TimmSource("wds/x", "test", FakeStream(6, 6), GREY8)
    x = source.read(np.array([4, 1]))
    np.testing.assert_allclose(x[:, 0, 0, 0], (np.array([4, 1]) / 255 - 0.5) / 0.25, atol=1e-5)
    assert source.labels.tolist() == [0, 1, 0, 1, 0, 1]
    short = timm_names.TimmSource("wds/x", "test", FakeStream(3, 6), GREY8)
    with pytest.raises(DataError, match="ended before sample 5"):
        short.read(np.array([5]))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", "no data: unknown DATA"),
        ("mnist", "mnist: unknown DATA; expected digits, folder:DIR"),
        ("folder:", "nothing after the colon"),
        ("torch/nope", "torch/nope: cannot be opened"),
        ("torch/image_folder", "folder:DIR"),
        ("torch/cifar10:/does/not/exist", "no such directory"),
        ("wds/x", "cannot be opened|not installed"),
    ],
)
def test_unknown_data(spec, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("ECMT_DEPLOY_DATA", str(tmp_path))
    with pytest.raises(DataError, match=expected) as error:
        data.open(spec, preprocessing=RGB16)
    one_line(error)


def test_bare_paths_are_answered_with_their_form(tmp_path):
    with pytest.raises(DataError, match=f"folder:{tmp_path}"):
        data.open(str(tmp_path), preprocessing=RGB16)
    with pytest.raises(DataError, match=r"npz:a.npz"):
        data.open("a.npz", preprocessing=RGB16)
    with pytest.raises(DataError, match="unknown split"):
        data.open("digits", preprocessing=GREY8, split="validation")


@pytest.mark.parametrize(
    "fields",
    [
        {"input_size": (1, 0, 8)},
        {"mean": (0.0, 0.0)},
        {"std": (0.0,)},
        {"mean": (float("nan"),)},
        {"crop_pct": 0.0},
        {"interpolation": "cubic"},
        {"crop_mode": "middle"},
    ],
)
def test_senseless_preprocessing_is_refused(fields):
    with pytest.raises(DataError, match="preprocessing: "):
        Preprocessing(**{"input_size": (1, 8, 8), "mean": (0.0,), "std": (1.0,), **fields})


def test_array_datasets_need_neither_torch_nor_timm():
    code = (
        "import sys; from ecmt_deploy import data; from ecmt_deploy.program.preprocessing import Preprocessing; "
        "data.open('digits', preprocessing=Preprocessing((1, 8, 8), (0.,), (1.,))).arrays(); "
        "assert not {'torch', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
