"""Clips: which form is which reader, directories of images, arrays, and what every clip has in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ecmt_deploy import data
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing
from tests.support.datasets import GREY8, RGB16, write_npz


def write_frames(directory, names, size=(20, 18)):
    """An image of its own for every name, in the order given."""
    directory.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.RandomState(number).randint(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(directory / name)
    return directory


def refused(spec, preprocessing=RGB16, **more):
    with pytest.raises(DataError) as error:
        data.open_clip(str(spec), preprocessing, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "preprocessing",
    [RGB16, Preprocessing(input_size=(1, 9, 12), mean=(0.4,), std=(0.2,), crop_pct=0.7, interpolation="bilinear")],
)
def test_a_directory_is_a_clip_of_its_images(tmp_path, preprocessing):
    names = [f"frame{n}.png" for n in range(12)]
    write_frames(tmp_path, names)
    clip = data.open_clip(f"frames:{tmp_path}", preprocessing)
    expected = data.load_images([tmp_path / name for name in names], preprocessing)
    assert np.array_equal(clip.array(), expected)
    assert (clip.frames, clip.fps, clip.name) == (12, None, f"frames:{tmp_path}")
    assert [(frame.number, frame.seconds, frame.label) for frame in clip] == [(n, None, None) for n in range(12)]
    assert np.array_equal(clip.array(5), expected[:5])
    limited = data.open_clip(f"frames:{tmp_path}", preprocessing, limit=3)
    assert limited.frames == 3
    assert np.array_equal(limited.array(100), expected[:3])


@given(numbers=st.lists(st.integers(0, 30_000), min_size=1, max_size=6, unique=True), data_=st.data())
def test_numbers_in_names_count_by_their_value(tmp_path_factory, numbers, data_):
    directory = tmp_path_factory.mktemp("frames")
    order = data_.draw(st.permutations(sorted(numbers)))
    names = [f"Shot {number} b.{data_.draw(st.sampled_from(['png', 'PNG', 'jpg']))}" for number in order]
    for number, name in zip(order, names, strict=True):
        Image.new("RGB", (4, 4), (number % 256, number // 256, 0)).save(directory / name, "PNG")
    unit = Preprocessing(input_size=(3, 4, 4), mean=(0.0,) * 3, std=(1.0,) * 3)
    found = np.rint(data.open_clip(f"frames:{directory}", unit).array()[:, :, 0, 0] * 255) @ [1, 256, 0]
    assert found.tolist() == sorted(numbers)


def test_what_is_no_frame(tmp_path):
    write_frames(tmp_path, ["a2.png", "a10.png"])
    for name in ("._a2.png", ".hidden.png", "notes.txt", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"no image")
    write_frames(tmp_path / "a3.png", ["deeper.png"])  # a directory
    assert data.open_clip(f"frames:{tmp_path}", RGB16).frames == 2


def test_a_damaged_image_is_named_and_frames_before_it_are_good(tmp_path):
    names = [f"{n}.png" for n in range(8)]
    write_frames(tmp_path, names)
    content = (tmp_path / "5.png").read_bytes()
    (tmp_path / "5.png").write_bytes(content[: len(content) // 2])
    clip, frames = data.open_clip(f"frames:{tmp_path}", RGB16), []
    with pytest.raises(DataError, match=r"5\.png: not a readable image"):
        frames.extend(clip)
    assert len(frames) == 5
    assert len(data.open_clip(f"frames:{tmp_path}", RGB16, limit=5).array()) == 5
    with pytest.raises(DataError, match=r"5\.png: not a readable image"):
        clip.array()


def test_a_size_that_changes_is_named(tmp_path):
    write_frames(tmp_path, ["0.png", "1.png"])
    write_frames(tmp_path, ["2.png"], size=(18, 20))
    frames = []
    with pytest.raises(DataError, match=r"2\.png: frame 2 is 20 x 18 pixels, those before it are 18 x 20"):
        frames.extend(data.open_clip(f"frames:{tmp_path}", RGB16))
    assert len(frames) == 2


def test_no_directory_no_images(tmp_path):
    assert "no such directory" in refused(f"frames:{tmp_path / 'none'}")
    assert "no images in" in refused(f"frames:{tmp_path}")
    (tmp_path / "a.txt").write_text("no image")
    assert "no images in" in refused(f"frames:{tmp_path}")
    assert "no such directory" in refused(f"frames:{tmp_path / 'a.txt'}")


def test_an_array_is_a_clip_with_labels(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 1, 8, 8)).astype(np.float32)
    path = write_npz(tmp_path / "a.npz", x=x, y=np.arange(6))
    for preprocessing in (GREY8, None):
        clip = data.open_clip(f"npz:{path}", preprocessing, limit=4)
        assert np.array_equal(clip.array(), x[:4])
        assert [frame.label for frame in clip] == [0, 1, 2, 3]
        assert all((frame.thumbnail is None) == (preprocessing is None) for frame in clip)
    assert "but the model takes 2 x 8" in refused(f"npz:{path}", None, shape=(2, 8, 8))
    empty = write_npz(tmp_path / "b.npz", x=x[:0], y=np.arange(0))
    with pytest.raises(DataError, match="an empty clip"):
        data.open_clip(f"npz:{empty}", GREY8).array()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "no clip: unknown CLIP"),
        ("digits", "expected video:FILE, frames:DIR, npz:FILE, or made:still"),
        ("clip.txt", "unknown CLIP"),
        ("rtsp://camera/1", "unknown CLIP"),
        ("frames:", "nothing after the colon"),
        ("video:", "nothing after the colon"),
        ("made:", "nothing after the colon"),
        ("video:a\nb.mp4", "CLIP"),
        (".", "a directory of images is frames:."),
    ],
)
def test_unknown_forms(spec, words):
    assert words in refused(spec)


@pytest.mark.parametrize("spec", ["video:a.mp4", "frames:a", "made:still"])
def test_pictures_need_preprocessing_and_the_error_says_how(spec):
    assert "npz:FILE" in refused(spec, None)


def test_a_limit_below_one_is_refused(tmp_path):
    write_frames(tmp_path, ["0.png"])
    for spec in (f"frames:{tmp_path}", "made:still"):
        for limit in (0, -1):
            assert "limit must be at least 1 frame" in refused(spec, limit=limit)
            with pytest.raises(DataError, match="at least 1 frame"):
                data.open_clip(spec, RGB16).array(limit)
