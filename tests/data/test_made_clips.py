"""Clips that the package makes itself: the same every time, lazy, and showing what they say they do."""

from __future__ import annotations

import re
import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from ecmt_deploy import data, models
from ecmt_deploy.errors import DataError
from ecmt_deploy.models import zoo
from ecmt_deploy.program.preprocessing import Preprocessing

NAMES = ("still", "object", "pan", "cut", "digits")


def unit(channels: int = 3, height: int = 40, width: int = 40) -> Preprocessing:
    return Preprocessing(input_size=(channels, height, width), mean=(0.0,) * channels, std=(1.0,) * channels)


def levels(spec: str, preprocessing: Preprocessing) -> np.ndarray:
    """Grey levels of all frames."""
    array = data.open_clip(spec, preprocessing).array() * 255
    assert np.allclose(array, np.rint(array), atol=1e-3)
    assert array.min() > -0.5
    assert array.max() < 255.5
    return np.rint(array)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 98, 98), (3, 31, 17), (2, 5, 60), (1, 1, 1)])
@pytest.mark.parametrize("name", NAMES)
def test_any_shape_and_whole_grey_levels(name, shape):
    frames = levels(f"made:{name},noise=3,frames=9", unit(*shape))
    assert frames.shape == (9, *shape)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_every_time_from_any_start_and_another_with_another_seed(name):
    spec, shape = f"made:{name},noise=2,frames=40", unit(1, 16, 16)
    clip = data.open_clip(spec, shape)
    assert clip.frames == 40
    assert clip.fps is None
    whole = clip.array()
    assert np.array_equal(whole, data.open_clip(spec, shape).array())
    assert np.array_equal(whole[:7], data.open_clip(spec, shape, limit=7).array())
    assert np.array_equal(whole, data.open_clip(f"{spec},seed=0", shape).array())
    assert not np.array_equal(whole, data.open_clip(f"{spec},seed=1", shape).array())
    assert len(data.open_clip(f"made:{name}", shape).array()) == 64


def test_normalised_as_a_still_image_of_the_same_levels(tmp_path):
    preprocessing = Preprocessing(input_size=(3, 24, 24), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    frame = next(iter(data.open_clip("made:object,noise=3", preprocessing)))
    Image.fromarray(levels("made:object,noise=3,frames=1", unit(3, 24, 24))[0].astype(np.uint8).transpose(1, 2, 0)).save(
        tmp_path / "a.png"
    )
    assert np.array_equal(frame.pixels, data.load_images([tmp_path / "a.png"], preprocessing)[0])


def test_of_ten_thousand_frames_one_is_held():
    frames = []
    for frame in data.open_clip("made:digits,frames=10000", unit(1, 8, 8)):
        frames.append(weakref.ref(frame.pixels))
        assert len(frames) < 3 or frames[-3]() is None
    assert len(frames) == 10_000


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_takes_the_memory_of_a_few_frames(name):
    count, shape = 200, unit(1, 64, 64)
    list(data.open_clip(f"made:{name},frames=1", shape))  # what is imported is not the clip's
    tracemalloc.start()
    try:
        clip = data.open_clip(f"made:{name},frames={count}", shape)
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        read = sum(1 for _ in clip)
        peak = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    assert read == clip.frames == count
    assert peak < 4 * count * 64 * 64 / 4


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_asked_for_is_not_made(name):
    clip = data.open_clip(f"made:{name},frames=2000000000", unit(1, 8, 8))
    assert clip.array(3).shape == (3, 1, 8, 8)
    assert len(data.open_clip(clip.name, unit(1, 8, 8), limit=2).array()) == 2


@pytest.mark.parametrize("noise", [0, 1, 2, 3])
def test_still_is_a_picture_with_noise_of_that_deviation(noise):
    frames = levels(f"made:still,noise={noise},ground=texture,frames=50", unit(1, 40, 40))
    clean = levels("made:still,noise=0,ground=texture,frames=1", unit(1, 40, 40))[0]
    differences = (frames - clean)[:, (clean > 20) & (clean < 235)]  # beyond, noise is cut off at black and white
    assert differences.mean() == pytest.approx(0, abs=0.05)
    # rounding to whole levels adds a variance of a twelfth
    assert differences.std() == pytest.approx((noise**2 + 1 / 12) ** 0.5 if noise else 0, rel=0.05)
    assert noise == 0 or np.abs(np.corrcoef(differences[:10])[np.triu_indices(10, 1)]).max() < 0.2


@pytest.mark.parametrize("speed", [0.3, 1, 2.5])
def test_an_object_moves_and_the_ground_stays(speed):
    frames = levels(f"made:object,frames=300,speed={speed}", unit(3, 50, 80))
    ground = levels("made:still,noise=0,frames=1", unit(3, 50, 80))[0]
    covered = (frames != ground).any(axis=1)
    share = covered.mean(axis=(1, 2))
    assert 0.015 < share.min() <= share.max() < 0.06  # a disc of a quarter of 50 pixels
    places = np.array([np.argwhere(mask).mean(axis=0) for mask in covered])
    steps = np.hypot(*np.diff(places, axis=0).T)
    assert np.median(steps) == pytest.approx(speed * 80 / 100, rel=0.1)
    # it comes by every edge, unless it is slow
    if speed >= 1:
        extent = covered.any(axis=0)
        assert extent[0].any() and extent[-1].any() and extent[:, 0].any() and extent[:, -1].any()  # noqa: PT018
    assert len(np.unique(frames.reshape(300, -1), axis=0)) > 200


def test_what_the_object_shows_moves_with_it():
    frames = levels("made:object,frames=7", unit(1, 100, 100))[:, 0]
    inner = frames[0, 8:18, 8:18]  # of a disc of 25 pixels, which starts in the corner
    assert inner.std() > 10
    assert np.array_equal(frames[5, 11:21, 12:22], inner)  # five steps of 0.6 down and 0.8 along
    rows = 0.6 * frames[0, 7:17] + 0.4 * frames[0, 8:18]
    step = 0.8 * rows[:, 7:17] + 0.2 * rows[:, 8:18]
    assert np.abs(frames[1, 8:18, 8:18] - step).max() <= 1


def test_a_pan_shifts_the_whole_picture():
    frames = levels("made:pan,frames=150", unit(1, 30, 100))  # a pixel a frame
    moved = (frames[1:] != frames[:-1]).mean(axis=(1, 2, 3))
    assert moved.min() > 0.5
    assert np.array_equal(frames[1:101, ..., :-1], frames[:100, ..., 1:])
    assert np.array_equal(frames[101:, ..., 1:], frames[100:-1, ..., :-1])  # and back
    halves = levels("made:pan,frames=9,speed=0.5", unit(1, 30, 100))
    assert np.array_equal(halves[::2], frames[:5])
    assert np.abs(halves[1::2] - (frames[:4] + frames[1:5]) / 2).max() <= 0.5


@pytest.mark.parametrize("count", [2, 21, 64])
def test_a_cut_is_in_the_middle(count):
    frames = levels(f"made:cut,frames={count}", unit())
    changed = (frames[1:] != frames[:-1]).any(axis=1).mean(axis=(1, 2))
    assert int(np.argmax(changed)) == count // 2 - 1
    assert changed.max() > 0.8
    assert (np.delete(changed, count // 2 - 1) < 0.2).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_bundled_model_knows_the_digits_in_nearly_every_frame(seed):
    name = "zoo:vit_digits"
    clip = data.open_clip(f"made:digits,frames=640,seed={seed}", zoo.card(name).preprocessing)
    frames = list(clip)
    with torch.no_grad():
        answers = models.load(name).module.eval()(torch.from_numpy(clip.array())).argmax(1).numpy()
    labels = np.array([frame.label for frame in frames])
    assert clip.class_names == zoo.card(name).class_names
    assert (answers == labels).mean() > 0.9
    assert len(set(labels.tolist())) >= 8
    quiet = levels("made:digits,frames=64,noise=0", unit(1, 8, 8))
    assert ((quiet[1:] != quiet[:-1]).mean(axis=(1, 2, 3)) > 0.2).all()


@pytest.mark.parametrize("ground", ["china", "flower", "texture", "FILE"])
def test_grounds(tmp_path, ground):
    if ground == "FILE":
        ground = str(tmp_path / "a.png")
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (50, 60, 3)).astype(np.uint8)).save(ground)
    for name in ("object", "cut", "pan", "still"):
        frames = levels(f"made:{name},ground={ground},frames=4,noise=0", unit())
        assert name == "still" or not np.array_equal(frames[0], frames[-1])
        usual = levels(f"made:{name},frames=4,noise=0", unit())
        assert np.array_equal(frames, usual) == (ground == "china")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("made:film", "no such clip; there are made:still, made:object, made:pan, made:cut, made:digits"),
        ("made:still,sped=1", "unknown option 'sped'; made:still has frames, seed, noise, ground,"),
        ("made:still,speed=1", "unknown option 'speed'"),
        ("made:digits,ground=china", "made:digits has frames, seed, noise, speed,"),
        ("made:object,", "unknown option ''"),
        ("made:object,frames=3,frames=4", "frames is given twice"),
        ("made:object,frames", "frames is ''; expected a whole number from 1 to"),
        ("made:object,frames=0", "expected a whole number from 1"),
        ("made:object,frames=2.5", "expected a whole number"),
        ("made:object,seed=-1", "expected a whole number from 0 to 4294967295"),
        ("made:object,noise=nan", "noise is 'nan'; expected a number from 0 to 255"),
        ("made:object,noise=-1", "expected a number from 0"),
        ("made:object,speed=inf", "expected a number from 0 to 100"),
        ("made:object,ground=moon", "no ground 'moon'; there are china, flower, texture, or give an image file"),
    ],
)
def test_options_that_make_no_sense(spec, words):
    with pytest.raises(DataError, match=re.escape(words)) as error:
        data.open_clip(spec, unit())
    assert str(error.value).startswith(f"{spec}: ")
    assert "\n" not in str(error.value)


def test_a_ground_that_is_no_image(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match="not a readable image"):
        data.open_clip(f"made:still,ground={tmp_path / 'a.png'}", unit())
