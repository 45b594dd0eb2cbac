"""``folder:DIR``: images in one directory per class (the ImageFolder layout)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ecmt_deploy.data.classes import SYNSET, imagenet
from ecmt_deploy.data.images import EXTENSIONS, ImageSource, color_mode
from ecmt_deploy.data.source import Split
from ecmt_deploy.errors import DataError, listed, plural
from ecmt_deploy.program.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

_TRAIN_NAMES = ("train", "training")
_TEST_NAMES = ("val", "valid", "validation", "test", "eval")
_NOT_DATA = frozenset({"__MACOSX", "@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Directories that systems leave behind: copies of metadata, thumbnails, what was deleted. So are hidden ones."""


class FolderSource(ImageSource):
    """Image files with their labels."""

    files = True

    def __init__(
        self, name: str, split: str, files: list[tuple[Path, int]], class_names: tuple[str, ...], preprocessing: Preprocessing
    ) -> None:
        super().__init__(name, split, class_names, preprocessing)
        self._files = files
        self.labels = np.array([label for _, label in files], dtype=np.int64)

    def images(self, indices: Iterable[int]) -> Iterator[tuple[str, Path]]:
        return ((str(self._files[i][0]), self._files[i][0]) for i in indices)


def open_folder(name: str, directory: Path, split: Split, preprocessing: Preprocessing, n_classes: int | None) -> FolderSource:
    """One split of a directory of images.

    ``DIR/train`` and ``DIR/val`` (or ``test``) are two splits; anything else is a single one. Labels number the class
    directories, those with images, in timm's order (natural: ``2`` before ``10``), or, where all are ImageNet synsets and no
    more than the model's outputs, follow the model's label set.

    Raises
    ------
    OSError
        If a directory cannot be read, so that its classes cannot be numbered.
    DataError
        If the directory is missing, or has no images in class directories, or the test split has classes that
        the train split lacks.
    """
    if not directory.is_dir():
        raise DataError(f"{name}: no such directory; expected train/ and val/, or one directory per class")
    color_mode(preprocessing)
    train, test = (
        next((directory / d for d in names if (directory / d).is_dir()), None) for names in (_TRAIN_NAMES, _TEST_NAMES)
    )
    if train is not None and test is not None:
        root, split_name = train if split == "train" else test, str(split)
        classes = _numbered(train)
        if unknown := sorted(set(_class_directories(test)[0]) - set(classes)):
            raise DataError(
                f"{name}: {test.name}/ has {plural(len(unknown), 'class')} that {train.name}/ lacks: {listed(unknown)}"
            )
    else:
        root, split_name = train or test or directory, "all"
        if not _class_directories(root)[0]:
            root = directory
        classes = _numbered(root)
    files = {c: sorted(_images(root / c)) for c in classes if (root / c).is_dir()}
    if not any(files.values()):
        what = "images" if any(path.is_dir() for path in root.iterdir()) else "class directories"
        raise DataError(f"{name}: no {what} in {root}; expected {root}/CLASS/IMAGE ({', '.join(sorted(EXTENSIONS))})")
    if deeper := [c for c, paths in files.items() if any(path.parent != root / c for path in paths)]:
        what = "images in directories below a class are of that class (timm makes each innermost directory a class)"
        _logger.warning("%s: %s: %s", root, what, listed(deeper))
    class_names = _label_set(classes, n_classes) or classes
    labels = {c: label for label, c in enumerate(class_names)}
    labelled = [(path, labels[c]) for c, paths in files.items() for path in paths]
    return FolderSource(name, split_name, labelled, tuple(class_names), preprocessing)


def _class_directories(root: Path) -> tuple[list[str], list[str]]:
    """Names of the directories that hold images, and of those that do not, sorted."""
    found: tuple[list[str], list[str]] = [], []
    for entry in os.scandir(root):
        if entry.is_dir() and _may_be_data(entry.name):
            first = next(_images(root / entry.name), None)  # a directory of many is not read to its end
            found[first is None].append(entry.name)
    return sorted(found[0]), sorted(found[1])


def _numbered(root: Path) -> list[str]:
    """Names of the class directories, in timm's order."""
    names, empty = _class_directories(root)
    if empty:
        _logger.warning("%s: without images, so no class: %s", root, listed(empty))
    ordered = sorted(names, key=natural)
    if ordered != names:
        what = "classes are numbered in natural order, as timm does; plain sorting would differ"
        _logger.warning("%s: %s: %s", root, what, listed(ordered))
    return ordered


def _may_be_data(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_DATA


def natural(name: str) -> list[str | int]:
    """Sorts numbers in names by their value, as timm does."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name.lower()))]


def _label_set(names: list[str], n_classes: int | None) -> list[str] | None:
    """All synsets of the model's label set, where these directories are some of them."""
    if n_classes is None or len(names) > n_classes or not all(SYNSET.fullmatch(name) for name in names):
        return None
    info = imagenet(n_classes)
    order: list[str] = info.label_names() if info else []
    return order if set(names) <= set(order) else None


def _images(directory: Path) -> Iterator[Path]:
    """Image files below a class directory; links to directories inside it are not followed."""
    pending = [directory]
    while pending:
        parent = pending.pop()
        with os.scandir(parent) as entries:
            for entry in entries:
                if not _may_be_data(entry.name):
                    continue
                if entry.is_dir():
                    pending += [] if entry.is_symlink() else [parent / entry.name]
                elif Path(entry.name).suffix.lower() in EXTENSIONS:
                    yield parent / entry.name
