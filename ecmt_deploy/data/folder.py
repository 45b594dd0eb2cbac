"""``folder:DIR``: images in one directory per class (the ImageFolder layout)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecmt_deploy.data.core import Source, Split
from ecmt_deploy.data.images import EXTENSIONS, color_mode, read_image
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

_TRAIN_NAMES = ("train", "training")
_TEST_NAMES = ("val", "valid", "validation", "test", "eval")
_SYNSET = re.compile(r"n\d{8}")
_NOT_DATA = frozenset({"__MACOSX", "@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Directories that systems leave behind: copies of metadata, thumbnails, what was deleted. So are hidden ones."""


class FolderSource(Source):
    """Image files with their labels, read when asked for."""

    decodes = True

    def __init__(
        self,
        name: str,
        split: str,
        files: list[tuple[Path, int]],
        class_names: tuple[str, ...],
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__(name, split, class_names, preprocessing.input_size)
        self._paths = [path for path, _ in files]
        self._labels = np.array([label for _, label in files], dtype=np.int64)
        self._preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def labels(self) -> np.ndarray:
        return self._labels

    def read(self, indices: np.ndarray) -> np.ndarray:
        images = [read_image(str(self._paths[i]), self._paths[i], self._preprocessing) for i in indices.tolist()]
        return np.stack(images) if images else np.empty((0, *self._preprocessing.input_size), np.float32)

    def raw(self, index: int) -> bytes:
        try:
            return self._paths[index].read_bytes()
        except OSError as error:
            raise DataError(f"{self._paths[index]}: cannot be read ({error.strerror})") from error


def open_folder(name: str, directory: Path, split: Split, preprocessing: Preprocessing, n_classes: int | None) -> FolderSource:
    """One split of a directory of images.

    ``DIR/train`` and ``DIR/val`` (or ``test``) are two splits; anything else is a single one. Labels number the class
    directories, those with images, in timm's order (natural: ``2`` before ``10``), or, where all are ImageNet synsets and no
    more than the model's outputs, follow the model's label set.

    Raises
    ------
    DataError
        If the directory is missing, cannot be read, or has no images in class directories, or the test split has classes that
        the train split lacks.
    """
    if not directory.is_dir():
        raise DataError(f"{name}: no such directory; expected train/ and val/, or one directory per class")
    color_mode(preprocessing)
    train = next((directory / d for d in _TRAIN_NAMES if (directory / d).is_dir()), None)
    test = next((directory / d for d in _TEST_NAMES if (directory / d).is_dir()), None)
    if train is not None and test is not None:
        root = train if split == "train" else test
        classes = _numbered(name, train)
        unknown = sorted(set(_class_directories(name, test)[0]) - set(classes))
        if unknown:
            raise DataError(
                f"{name}: {test.name}/ has {len(unknown)} class(es) that {train.name}/ lacks: {', '.join(unknown[:3])}"
            )
    else:
        root = train or test or directory
        if not _class_directories(name, root)[0]:
            root = directory
        classes = _numbered(name, root)
    files = {c: sorted(_images(name, root / c)) for c in classes if (root / c).is_dir()}
    if not any(files.values()):
        what = "images" if any(path.is_dir() for path in root.iterdir()) else "class directories"
        raise DataError(f"{name}: no {what} in {root}; expected {root}/CLASS/IMAGE ({', '.join(sorted(EXTENSIONS))})")
    if deeper := [c for c, paths in files.items() if any(path.parent != root / c for path in paths)]:
        _logger.warning(
            "%s: images in directories below a class are of that class, here %s; timm makes each innermost directory a class",
            root,
            ", ".join(deeper[:3]),
        )
    class_names = _label_set(classes, n_classes) or classes
    labels = {c: label for label, c in enumerate(class_names)}
    split_name = split if train is not None and test is not None else "all"
    labelled = [(path, labels[c]) for c, paths in files.items() for path in paths]
    return FolderSource(name, split_name, labelled, tuple(class_names), preprocessing)


def _class_directories(name: str, root: Path) -> tuple[list[str], list[str]]:
    """Names of the directories that hold images, and of those that do not, sorted."""
    found: tuple[list[str], list[str]] = [], []
    try:
        for entry in os.scandir(root):
            if entry.is_dir() and _may_be_data(entry.name):
                found[not _holds_images(name, root / entry.name)].append(entry.name)
    except OSError as error:
        raise _unreadable(name, error) from error
    return sorted(found[0]), sorted(found[1])


def _numbered(name: str, root: Path) -> list[str]:
    """Names of the class directories, in timm's order."""
    names, empty = _class_directories(name, root)
    if empty:
        _logger.warning("%s: without images, so no class: %s", root, ", ".join(empty[:3]) + (", .." if empty[3:] else ""))
    ordered = sorted(names, key=_natural)
    if ordered != names:
        _logger.warning(
            "%s: classes are numbered in natural order (%s, ...), as timm does; plain sorting would differ",
            root,
            ", ".join(ordered[:3]),
        )
    return ordered


def _may_be_data(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_DATA


def _natural(name: str) -> list[str | int]:
    """Sorts numbers in names by their value, as timm does."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name.lower()))]


def _label_set(names: list[str], n_classes: int | None) -> list[str] | None:
    """All synsets of the model's label set, where these directories are some of them."""
    if n_classes is None or len(names) > n_classes or not all(_SYNSET.fullmatch(name) for name in names):
        return None
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": n_classes})
    order: list[str] = ImageNetInfo(subset).label_names() if subset else []
    return order if set(names) <= set(order) else None


def _holds_images(name: str, directory: Path) -> bool:
    """Whether there is one; a directory of many is not read to its end."""
    with os.scandir(directory) as entries:
        if any(_is_image(entry.name) for entry in entries):
            return True
    return any(_images(name, directory))


def _is_image(file: str) -> bool:
    return _may_be_data(file) and Path(file).suffix.lower() in EXTENSIONS


def _images(name: str, directory: Path) -> Iterator[Path]:
    """Image files below a class directory; links to directories inside it are not followed."""

    def refuse(error: OSError) -> None:
        raise _unreadable(name, error) from error

    for root, inside, files in os.walk(directory, onerror=refuse):
        inside[:] = filter(_may_be_data, inside)
        yield from (Path(root, file) for file in files if _is_image(file))


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"{name}: {error.filename} cannot be read ({error.strerror}), so its classes cannot be numbered")
