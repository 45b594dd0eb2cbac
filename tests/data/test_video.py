"""Clips from video files: what is read, and that whatever is wrong with a file is one line."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
from PIL import Image

from ecmt_deploy import data
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing
from tests.support.datasets import RGB16
from tests.support.videos import pictures, turn, write_lossless, write_sound, write_video

AS_STORED = Preprocessing(input_size=(3, 24, 24), mean=(0.0,) * 3, std=(1.0,) * 3)


def failure(spec: object, preprocessing: Preprocessing = RGB16, limit: int | None = None) -> tuple[list[data.Frame], str]:
    """The frames before the error, and its message."""
    frames: list[data.Frame] = []
    with pytest.raises(DataError) as error:
        frames.extend(data.open_clip(str(spec), preprocessing, limit))
    message = str(error.value)
    assert "\n" not in message
    return frames, message


@pytest.mark.parametrize(
    "preprocessing",
    [
        RGB16,
        Preprocessing(
            input_size=(3, 10, 14), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), crop_pct=0.8, interpolation="bilinear"
        ),
        Preprocessing(input_size=(1, 12, 12), mean=(0.4,), std=(0.2,), crop_mode="squash"),
    ],
)
def test_a_frame_is_preprocessed_as_the_same_still_image(tmp_path, preprocessing):
    shown = pictures(5)
    write_lossless(tmp_path / "clip.mkv", shown)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, picture in zip(paths, shown, strict=True):
        Image.fromarray(picture).save(path)
    clip = data.open_clip(f"video:{tmp_path / 'clip.mkv'}", preprocessing)
    expected = data.load_images(paths, preprocessing)
    assert np.array_equal(clip.array(), expected)
    assert np.array_equal(np.stack([frame.pixels for frame in clip]), expected)  # again from the first frame
    assert expected.dtype == next(iter(clip)).pixels.dtype == np.float32
    assert np.array_equal(clip.array(2), expected[:2])
    assert np.array_equal(data.open_clip(str(tmp_path / "clip.mkv"), preprocessing, limit=3).array(), expected[:3])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov", "ts", "webm"])
def test_containers(tmp_path, suffix):
    path = write_video(tmp_path / f"clip.{suffix}", pictures(9), "libvpx-vp9" if suffix == "webm" else "libx264")
    clip = data.open_clip(str(path), RGB16)
    frames = list(clip)
    assert [frame.number for frame in frames] == list(range(9))
    assert clip.frames in (9, None)
    assert clip.fps == pytest.approx(25)
    # the times of frames in an AVI are those of another order
    seconds = [frame.seconds for frame in frames]
    assert seconds == sorted(seconds)
    assert seconds == pytest.approx((np.arange(9) / 25).tolist(), abs=0.05 if suffix == "avi" else 2e-3)
    assert clip.name == str(path)
    assert clip.shape == frames[0].pixels.shape == (3, 16, 16)


def test_thumbnail_is_what_the_model_sees(tmp_path):
    shown = pictures(1)
    path = write_lossless(tmp_path / "clip.mkv", shown)
    (frame,) = data.open_clip(str(path), AS_STORED)
    assert frame.thumbnail.dtype == np.uint8
    assert np.array_equal(frame.thumbnail, shown[0][:, 4:28])
    large = Preprocessing(input_size=(3, 240, 120), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert next(iter(data.open_clip(str(path), large))).thumbnail.shape == (96, 48, 3)
    grey = Preprocessing(input_size=(1, 24, 24), mean=(0.5,), std=(0.5,))
    thumbnail = next(iter(data.open_clip(str(path), grey))).thumbnail
    assert np.array_equal(thumbnail, np.asarray(Image.fromarray(shown[0][:, 4:28]).convert("L").convert("RGB")))


@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_video_is_upright(tmp_path, quarters):
    shown = np.zeros((2, 32, 32, 3), np.uint8)
    shown[:, :16, :16] = 255  # upper left
    path = turn(write_video(tmp_path / "clip.mp4", shown), quarters)
    stored = Preprocessing(input_size=(3, 32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
    pixels = data.open_clip(str(path), stored).array()[0]
    expected = np.rot90(shown[0], -quarters).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(pixels, expected, atol=0.1)


def test_pixels_become_square(tmp_path):
    path = write_video(tmp_path / "clip.mp4", pictures(2), aspect=2)
    (_, _, image), *_ = data.open_clip(str(path), RGB16).pictures()
    assert image.size == (64, 24)


def test_frames_of_a_variable_rate_are_taken_as_they_are_with_their_times(tmp_path):
    path = write_lossless(tmp_path / "clip.mkv", pictures(5), times=[3, 4, 10, 11, 40])
    frames = list(data.open_clip(str(path), RGB16))
    assert len(frames) == 5
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.04, 0.28, 0.32, 1.48], abs=2e-3)


# --- what is wrong with a file ----------------------------------------------------------------------------------------------


def test_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("hello\n" * 1000)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(np.random.RandomState(0).bytes(5000))
    write_sound(tmp_path / "sound.mp4")
    write_sound(tmp_path / "cover.mp4", cover=True)
    (tmp_path / "directory.mp4").mkdir()
    expected = {
        "text.mp4": "not a readable video",
        "empty.mp4": "not a readable video",
        "noise.mp4": "not a readable video",
        "sound.mp4": "no video in it",
        "cover.mp4": "no video in it",
        "directory.mp4": "no such file",
        "missing.mp4": "no such file",
    }
    for name, words in expected.items():
        for form in ("", "video:"):
            with pytest.raises(DataError, match=words) as error:
                data.open_clip(f"{form}{tmp_path / name}", RGB16)
            assert str(error.value).startswith(f"{form}{tmp_path / name}: ")
            assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("suffix", "words"), [("avi", "an empty clip"), ("mp4", "no video in it"), ("mkv", "not a readable video")]
)
def test_a_video_without_frames(tmp_path, suffix, words):
    path = write_video(tmp_path / f"clip.{suffix}", pictures(1)[:0], "mpeg4")
    frames, message = failure(path)
    assert frames == []
    assert message.startswith(f"{path}: ")
    assert words in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("clip.mp4", "ffconcat version 1.0\nfile other.ts\n"),
        ("clip.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"),
    ],
)
def test_a_playlist_opens_no_other_file_whatever_its_name(tmp_path, name, text):
    import av

    other = write_video(tmp_path / "other.ts", pictures(60, (320, 240)), "mpeg2video")
    path = tmp_path / name
    path.write_text(text.format(other))
    with av.open(str(path)) as container:  # FFmpeg by itself does
        assert len(list(container.decode(video=0))) == 60
    assert "not a readable video" in failure(f"video:{path}")[1]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_cut_short(tmp_path, share, codec):
    whole = write_video(tmp_path / "whole.mp4", pictures(30), codec, index_first=True)
    good = list(data.open_clip(str(whole), RGB16))
    content = whole.read_bytes()
    first = content.index(b"mdat")
    short = tmp_path / "short.mp4"
    short.write_bytes(content[: first + int(share * (len(content) - first))])
    frames, message = failure(short)
    n = len(frames)
    assert 0 < n < 30
    assert f"cannot be decoded from frame {n} on" in message
    assert f"its first {n} can be" in message
    for frame, same in zip(frames, good, strict=False):
        assert np.array_equal(frame.pixels, same.pixels)
    assert data.open_clip(str(short), RGB16, limit=n).array().shape == (n, 3, 16, 16)

    whole = write_video(tmp_path / "whole.mp4", pictures(30), codec)  # its index is at the end
    short.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    assert "not a readable video" in failure(short)[1]


def test_fewer_frames_than_declared_are_said(tmp_path, caplog):
    """Cut between two frames, the rest looks like the end."""
    path = write_video(tmp_path / "clip.mp4", pictures(12), "mpeg4", index_first=True)
    import av

    with av.open(str(path)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: ends[6]])
    with caplog.at_level(logging.WARNING):
        assert len(list(data.open_clip(str(path), RGB16))) == 7
    assert "7 frames, of 12 that the file declares" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert len(list(data.open_clip(str(path), RGB16, limit=5))) == 5
    assert not caplog.text


def test_data_damaged_from_the_start(tmp_path):
    path = write_video(tmp_path / "clip.mp4", pictures(8), index_first=True)
    content = bytearray(path.read_bytes())
    first = content.index(b"mdat") + 4
    content[first:] = bytes(len(content) - first)
    path.write_bytes(content)
    frames, message = failure(path)
    assert frames == []
    assert "cannot be decoded (" in message


def test_a_size_that_changes(tmp_path):
    parts = [write_video(tmp_path / f"{i}.ts", pictures(4, size)) for i, size in enumerate([(32, 24), (64, 48)])]
    path = tmp_path / "clip.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, message = failure(path)
    assert len(frames) == 4
    assert "frame 4 is 64 x 48 pixels, those before it are 32 x 24" in message
    assert len(data.open_clip(str(path), RGB16, limit=4).array()) == 4


def test_unreasonably_many_pixels(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", pictures(2, (64, 48)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48)
    assert len(data.open_clip(str(path), RGB16).array()) == 2
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 1)
    assert "64 x 48 pixels are unreasonably many" in failure(path)[1]
    wide = write_video(tmp_path / "wide.mp4", pictures(2), aspect=4)
    assert "128 x 24 pixels are unreasonably many" in failure(wide)[1]
    grows = tmp_path / "grows.ts"  # where the header is small, the decoder is asked
    parts = [write_video(tmp_path / f"{i}.ts", pictures(4, size)) for i, size in enumerate([(32, 24), (64, 48)])]
    grows.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, message = failure(grows)
    assert len(frames) <= 4
    assert "cannot be decoded from frame" in message
    assert "unreasonably many" not in message


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "mpeg4"), ("avi", "mjpeg"), ("ts", "mpeg2video")])
def test_whatever_is_damaged_is_read_or_one_line(tmp_path, suffix, codec):
    path = write_video(tmp_path / f"clip.{suffix}", pictures(6), codec, "yuvj420p" if codec == "mjpeg" else "yuv420p")
    content = path.read_bytes()
    random = np.random.RandomState(len(suffix))
    outcomes = set()
    for _ in range(40):
        damaged = bytearray(content)
        for place in random.randint(0, len(content), random.randint(1, 20)):
            damaged[place] = random.randint(256)
        path.write_bytes(damaged[: random.randint(1, 2 * len(content))])
        try:
            outcomes.add(len(data.open_clip(str(path), RGB16).array()))
        except DataError as error:
            assert "\n" not in str(error)
            outcomes.add(str(error))
    assert len(outcomes) > 2


def test_without_pyav_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", pictures(1))
    monkeypatch.setitem(sys.modules, "av", None)
    message = failure(path)[1]
    assert "pip install 'ecmt-deploy[video]'" in message


def test_models_of_other_channels_are_refused_before_anything_is_read(tmp_path):
    path = write_video(tmp_path / "clip.mp4", pictures(1))
    two = Preprocessing(input_size=(2, 8, 8), mean=(0.5,) * 2, std=(0.5,) * 2)
    with pytest.raises(DataError, match="takes 2"):
        data.open_clip(str(path), two)
