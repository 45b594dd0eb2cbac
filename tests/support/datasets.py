"""Small datasets of every form, and stand-ins for what timm gives."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from ecmt_deploy.program.preprocessing import Preprocessing

GREY8 = Preprocessing(input_size=(1, 8, 8), mean=(0.5,), std=(0.25,), interpolation="bilinear")
RGB16 = Preprocessing(input_size=(3, 16, 16), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def write_npz(path: Path, n: int = 20, **more: np.ndarray) -> Path:
    """``n`` samples of :data:`GREY8` with labels, and other arrays."""
    rng = np.random.default_rng(n)
    arrays = {"x": rng.normal(size=(n, 1, 8, 8)).astype(np.float32), "y": np.arange(n) % 10}
    np.savez(path, **{**arrays, **more})
    return path


def write_idx(directory: Path, prefix: str, images: np.ndarray, labels: np.ndarray, gz: bool = False) -> None:
    """Images (N, H, W) and labels (N) as the two files of a split."""
    directory.mkdir(exist_ok=True)
    opener, suffix = (gzip.open, ".gz") if gz else (open, "")
    with opener(directory / f"{prefix}-images-idx3-ubyte{suffix}", "wb") as file:
        file.write(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())
    with opener(directory / f"{prefix}-labels-idx1-ubyte{suffix}", "wb") as file:
        file.write(struct.pack(">II", 0x801, len(labels)) + labels.astype(np.uint8).tobytes())


def write_images(root: Path, classes: dict[str, int], size: tuple[int, int] = (20, 18)) -> Path:
    """A folder with so many images of every class."""
    rng = np.random.default_rng(len(classes))
    for name, count in classes.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


class FakeReader:
    """Stands for a reader of timm's: (open file, label) by index, damage included."""

    class_to_idx = {"a": 0, "b": 1}

    def __init__(self, n: int, damaged: int | None = None) -> None:
        self.n, self.damaged = n, damaged

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[io.BytesIO, int]:
        stream = io.BytesIO(b"damage")
        if index != self.damaged:
            stream = io.BytesIO()
            Image.new("RGB", (16, 16), (index, 0, 0)).save(stream, "PNG")
            stream.seek(0)
        return stream, index % 2


class FakeDataset:
    """Stands for a dataset of timm's that has a reader."""

    def __init__(self, reader: FakeReader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> tuple[io.BytesIO, int]:
        raise AssertionError("timm's own getter would skip damaged images")


class FakeStream:
    """Stands for a streamed dataset: iteration only."""

    def __init__(self, n: int, declared: int) -> None:
        self.n, self.declared = n, declared

    def __len__(self) -> int:
        return self.declared

    def __iter__(self):
        return ((Image.new("L", (8, 8), i), i % 2) for i in range(self.n))

    def set_epoch(self, epoch: int) -> None: ...
