"""Pixels of 16 bits, and pictures that say how they are held."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ecmt_deploy import data
from ecmt_deploy.data.images import read_image
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing


def plain(channels: int, size: int = 6) -> Preprocessing:
    """A preprocessing that leaves levels of 0 to 1 as they are."""
    return Preprocessing((channels, size, size), (0.0,) * channels, (1.0,) * channels, "bilinear", 1.0, "center")


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["PNG", "TIFF", "PPM"]), st.sampled_from([1, 3]), st.integers(0, 9))
def test_sixteen_bits_are_read_with_their_full_range(form, channels, seed):
    pixels = np.random.default_rng(seed).integers(0, 65536, (6, 6), np.uint16)
    pixels[0, :2] = 0, 65535
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, form)
    held.seek(0)
    x = read_image("x", held, plain(channels))
    assert x.shape == (channels, 6, 6)
    for channel in x:
        np.testing.assert_allclose(channel, pixels / 65535, rtol=0, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resized_ones_stay_between_black_and_white_and_near_those_of_eight_bits(interpolation):
    pixels = np.zeros((24, 24), np.uint8)
    pixels[6:18, 6:18] = 255
    preprocessing = Preprocessing((3, 10, 10), (0.0,) * 3, (1.0,) * 3, interpolation, 1.0, "center")
    expected = read_image("x", Image.fromarray(pixels), preprocessing)
    found = read_image("x", Image.fromarray(pixels.astype(np.uint16) * 257), preprocessing)
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)  # of 8 bits are cut off after each pass


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_whose_white_is_unknown_are_refused(tmp_path, dtype):
    Image.fromarray(np.eye(6, dtype=dtype) * 1000).save(tmp_path / "a.tif")
    with pytest.raises(
        DataError, match=r"a\.tif: nobody knows which value is white \(mode [IF]\); save the image with 8 or 16"
    ):
        data.load_images([tmp_path / "a.tif"], plain(1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_named_images_are_turned_upright_and_those_of_folders_as_timm_reads_them(tmp_path, orientation):
    (tmp_path / "c").mkdir()
    path = tmp_path / "c" / "a.png"
    pixels = np.random.default_rng(orientation).integers(0, 255, (6, 6), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    upright = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.T, 6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].T, 8: np.rot90(pixels),
    }  # fmt: skip
    np.testing.assert_allclose(data.load_images([path], plain(1))[0, 0], upright[orientation] / 255, atol=1e-6)
    held = data.open(f"folder:{tmp_path}", preprocessing=plain(1)).arrays()[0]
    np.testing.assert_allclose(held[0, 0], pixels / 255, atol=1e-6)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_npz_takes_arrays_of_any_rank(tmp_path_factory, shape):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(3))
    found, labels = data.open(f"npz:{path}", preprocessing=None).arrays()
    np.testing.assert_array_equal(found, x)
    assert labels.tolist() == [0, 1, 2]
