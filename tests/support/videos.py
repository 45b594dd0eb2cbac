"""Video files of pictures that are known, and what is done to them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np


def pictures(n: int, size: tuple[int, int] = (32, 24), seed: int = 0) -> np.ndarray:
    """uint8 (n, height, width, 3), of ``size`` (width, height): smooth enough for any codec, each another."""
    random = np.random.RandomState(seed)
    blocks = random.randint(0, 256, (n, 3, 4, 3)).astype(np.uint8)
    return blocks.repeat(size[1] // 3, axis=1).repeat(size[0] // 4, axis=2)


def write_video(
    path: Path,
    frames: np.ndarray,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: Sequence[int] | None = None,
    aspect: int = 1,
    index_first: bool = False,
) -> Path:
    """Frames (n, H, W, 3) at 25 a second, or at ``times`` in units of that."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.sample_aspect_ratio = aspect
        container.start_encoding()
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts = number if times is None else times[number]
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        if len(frames):
            container.mux(stream.encode())
    return path


def write_lossless(path: Path, frames: np.ndarray, **more: object) -> Path:
    """A Matroska file from which the very same pixels come back."""
    return write_video(path, frames, "ffv1", "bgr0", **more)


def write_sound(path: Path, cover: bool = False) -> Path:
    """A second of silence, with or without a picture on its cover."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        if cover:
            picture = container.add_stream("png", rate=1)
            picture.width, picture.height, picture.pix_fmt = 32, 24, "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic.value
            container.mux(picture.encode(av.VideoFrame.from_ndarray(pictures(1)[0])))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path, quarters: int) -> Path:
    """Have an MP4 file say that it is to be shown turned clockwise by so many quarters: in the matrix of its track header."""
    content = bytearray(path.read_bytes())
    a, b = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters % 4]
    matrix = [a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30]
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, *matrix)
    path.write_bytes(content)
    return path
