"""``folder:DIR``: images in one directory per class (the ImageFolder layout)."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import numpy as np

from ecmt_deploy.data.core import Source, Split, check_labels
from ecmt_deploy.data.images import EXTENSIONS, color_mode, read_image
from ecmt_deploy.errors import DataError
from ecmt_deploy.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

_TRAIN_NAMES = ("train", "training")
_TEST_NAMES = ("val", "valid", "validation", "test", "eval")
_SYNSET = re.compile(r"n\d{8}")


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
    directories in timm's order (natural: ``2`` before ``10``), or, where all are ImageNet synsets and fewer than the
    model's outputs, follow the model's label set.

    Raises
    ------
    DataError
        If the directory is missing or empty, has no class directories, the two splits have different classes, or there
        are more classes than ``n_classes``.
    """
    if not directory.is_dir():
        raise DataError(f"{name}: no such directory; expected train/ and val/, or one directory per class")
    color_mode(preprocessing)
    train = next((directory / d for d in _TRAIN_NAMES if (directory / d).is_dir()), None)
    test = next((directory / d for d in _TEST_NAMES if (directory / d).is_dir()), None)
    if train is not None and test is not None:
        root = train if split == "train" else test
        names = _class_directories(train)
        unknown = sorted(set(_class_directories(test)) - set(names))
        if unknown:
            raise DataError(
                f"{name}: {test.name}/ has {len(unknown)} class(es) that {train.name}/ lacks: {', '.join(unknown[:3])}"
            )
    else:
        only = train or test
        names = _class_directories(only) if only is not None else []
        root = only if only is not None and names else directory
        names = names or _class_directories(directory)
    if not names:
        raise DataError(f"{name}: no class directories in {root}; expected {root}/CLASS/IMAGE")
    labels = _labels(names, n_classes)
    files = [(path, labels[c]) for c in names if (root / c).is_dir() for path in _images(root / c)]
    if not files:
        raise DataError(f"{name}: no images in {root}; expected {root}/CLASS/IMAGE ({', '.join(sorted(EXTENSIONS))})")
    class_names = [""] * (max(labels.values()) + 1)
    for directory_name, label in labels.items():
        class_names[label] = directory_name
    check_labels(name, np.array(list(labels.values())), n_classes)
    split_name = split if train is not None and test is not None else "all"
    return FolderSource(name, split_name, files, tuple(class_names), preprocessing)


def _class_directories(root: Path) -> list[str]:
    """Names of the class directories, in timm's order."""
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    ordered = sorted(names, key=lambda n: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", n.lower())])
    if ordered != names:
        _logger.warning(
            "%s: classes are numbered in natural order (%s, ...), as timm does; plain sorting would differ",
            root,
            ", ".join(ordered[:3]),
        )
    return ordered


def _labels(names: list[str], n_classes: int | None) -> dict[str, int]:
    """Label of each class directory."""
    if n_classes is not None and len(names) < n_classes and all(_SYNSET.fullmatch(name) for name in names):
        from timm.data import ImageNetInfo, infer_imagenet_subset

        subset = infer_imagenet_subset({"num_classes": n_classes})
        if subset is not None:
            order = {synset: label for label, synset in enumerate(ImageNetInfo(subset).label_names())}
            if all(name in order for name in names):
                _logger.info("%d synset directories numbered as in %s", len(names), subset)
                return {name: order[name] for name in names}
    return {name: label for label, name in enumerate(names)}


def _images(directory: Path) -> list[Path]:
    """Image files below a class directory, in path order; links to directories inside it are not followed."""
    found = []
    for root, _, files in os.walk(directory):
        found += [Path(root, file) for file in files if Path(file).suffix.lower() in EXTENSIONS]
    return sorted(found)
