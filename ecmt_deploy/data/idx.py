"""``idx:DIR``: MNIST-format files (MNIST, Fashion-MNIST, KMNIST, EMNIST), gzipped or not."""

from __future__ import annotations

import gzip
import math
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from ecmt_deploy.data.source import ArraySource, Split
from ecmt_deploy.errors import DataError, listed, plural, reading
from ecmt_deploy.program.preprocessing import Preprocessing

_NAME = re.compile("(train|t10k|test)-(images-idx3|labels-idx1)")
_IMAGES_MAGIC = 0x00000803
_LABELS_MAGIC = 0x00000801
_DEFLATE_RATIO = 1032
"""Deflate cannot expand by more, so a larger header is false."""


def open_idx(name: str, directory: Path, split: Split, preprocessing: Preprocessing) -> ArraySource:
    """Read one split; where only ``train-*`` or only ``t10k-*`` is there, that one as split ``"all"``.

    Raises
    ------
    DataError
        If the directory or a file is missing, ambiguous, truncated, too long, not gzip, or has another magic number,
        if images and labels differ in number, or if the model takes another size.
    """
    if not directory.is_dir():
        raise DataError(f"{name}: no such directory; expected one with train-images-idx3-ubyte[.gz] and the like")
    available = _files(name, directory)
    if not available:
        raise DataError(f"{name}: no idx files; expected train-images-idx3-ubyte[.gz] or t10k-images-idx3-ubyte[.gz]")
    images_path, labels_path = available[split] if split in available else next(iter(available.values()))
    images = _read(name, images_path, _IMAGES_MAGIC, dimensions=3)
    labels = _read(name, labels_path, _LABELS_MAGIC, dimensions=1).astype(np.int64)
    split_name = split if len(available) == 2 else "all"
    return ArraySource(name, split_name, images[:, None], labels, None, preprocessing, full_scale=255.0)


def _files(name: str, directory: Path) -> dict[str, tuple[Path, Path]]:
    """Paths of images and labels by split."""
    found: dict[str, dict[str, list[Path]]] = {split: defaultdict(list) for split in ("train", "test")}
    for path in sorted(directory.iterdir()):  # a name comes before the same name with .gz, which is then not read
        if (match := _NAME.search(path.name.replace(".idx", "-idx"))) and path.is_file():
            found["train" if match[1] == "train" else "test"][match[2]].append(path)
    for split, kinds in found.items():
        for kind, paths in kinds.items():
            if len({path.name.removesuffix(".gz") for path in paths}) > 1:
                names = listed([path.name for path in paths])
                raise DataError(f"{name}: several files for {split} {kind} ({names}); keep one dataset per directory")
        if kinds["images-idx3"] and not kinds["labels-idx1"]:
            images = kinds["images-idx3"][0].name
            labels = images.replace("images-idx3", "labels-idx1")
            raise DataError(f"{name}: {images} has no labels; expected {labels} beside it")
    return {s: (kinds["images-idx3"][0], kinds["labels-idx1"][0]) for s, kinds in found.items() if kinds["images-idx3"]}


def _read(name: str, path: Path, magic: int, dimensions: int) -> np.ndarray:
    """uint8 array of one idx file; its header is checked against the file's size before reading on."""
    header_bytes = 4 + 4 * dimensions
    where = f"{name}: {path.name}"
    compressed = path.suffix == ".gz"
    unreadable = reading(DataError, f"{where} cannot be read", "fetch it again")
    with unreadable, gzip.open(path, "rb") if compressed else path.open("rb") as stream:
        header = stream.read(header_bytes)
        if len(header) < header_bytes:
            raise DataError(f"{where} is truncated: {plural(len(header), 'byte')}, expected a header of {header_bytes}")
        fields = np.frombuffer(header, dtype=">u4").tolist()
        if fields[0] != magic:
            raise DataError(f"{where} has magic number 0x{fields[0]:08x}; expected 0x{magic:08x} (idx, bytes)")
        shape = tuple(fields[1:])
        expected = math.prod(shape)
        on_disk = path.stat().st_size
        if expected > on_disk * (_DEFLATE_RATIO if compressed else 1):
            raise DataError(f"{where} is truncated: shape {shape} needs {expected} bytes, the file has {on_disk}")
        data = stream.read(expected + 1)
    if len(data) != expected:
        kind, found = ("truncated", len(data)) if len(data) < expected else ("too long", f"more than {expected}")
        raise DataError(f"{where} is {kind}: shape {shape} needs {expected} bytes, found {found}")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
