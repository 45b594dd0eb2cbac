"""Datasets by the names of ``timm.data.create_dataset``: torchvision, Hugging Face, TensorFlow and WebDataset ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecmt_deploy.data.images import ImageSource, color_mode
from ecmt_deploy.data.source import Split
from ecmt_deploy.errors import DataError, first_line, reading
from ecmt_deploy.program.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

PREFIXES = ("torch", "hfds", "hfids", "tfds", "wds")
_SPLIT_NAMES: dict[str, tuple[str, ...]] = {"train": ("train",), "test": ("validation", "test", "val")}
_PACKAGES = {"hfds": "datasets", "hfids": "datasets", "tfds": "tensorflow-datasets", "wds": "webdataset"}


class TimmSource(ImageSource):
    """A timm dataset: indexable, or a stream, in which a sample is reached by reading all before it."""

    def __init__(self, name: str, split: str, dataset: Any, preprocessing: Preprocessing) -> None:
        super().__init__(name, split, _class_names(dataset), preprocessing)
        self._dataset = dataset
        self._reader = getattr(dataset, "reader", None)
        self.decodes = hasattr(dataset, "__getitem__") and not hasattr(dataset, "set_epoch")  # a stream has one reader

    def __len__(self) -> int:
        return len(self._dataset)

    @cached_property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        targets = getattr(self._dataset, "targets", None)
        if targets is None and (own := getattr(self._reader, "iter_targets", None)):
            targets = list(own())
        if targets is None:
            targets = [label for _, label in self._items(range(len(self)))]
        return np.asarray(targets, dtype=np.int64).reshape(-1)

    def images(self, indices: Iterable[int]) -> Iterator[tuple[str, Any]]:
        order = list(indices)
        for i, (image, _) in zip(order, self._items(order), strict=False):
            yield f"{self.name}[{i}]", image

    def _items(self, indices: Sequence[int]) -> Iterator[tuple[Any, int]]:
        """(image or open file, label) at these indices, in their order."""
        with reading(DataError, f"{self.name}: a sample cannot be read", "fetch the data again"):
            if not self.decodes:
                yield from self._streamed(indices)
                return
            # The reader under an ImageDataset is asked directly: the dataset itself would answer a damaged image
            # with the next sample.
            items = self._dataset if self._reader is None else self._reader
            for i in indices:
                image, label = items[i]
                yield image, int(label)

    def _streamed(self, indices: Sequence[int]) -> Iterator[tuple[Any, int]]:
        """The same of a stream: what comes before its turn waits, and nothing is read beyond the last."""
        wanted, waiting = set(indices), {}
        stream = enumerate(self._dataset)
        for index in indices:
            while index not in waiting:
                position, item = next(stream, (None, None))
                if item is None:
                    raise DataError(f"{self.name}: the stream ended before sample {index} of the {len(self)} it declares")
                if position in wanted:
                    waiting[position] = item
            image, label = waiting.pop(index)
            yield image, int(label)


def open_timm(name: str, split: Split, preprocessing: Preprocessing) -> TimmSource:
    """Open a dataset by timm's name, ``PREFIX/NAME`` or ``PREFIX/NAME:ROOT``.

    Without ROOT, data is kept below ``$ECMT_DEPLOY_DATA`` (or ``~/.cache/ecmt-deploy/data``) and downloaded if the
    library behind it can. A dataset without a validation or test split is opened as split ``"all"``.

    Raises
    ------
    DataError
        If the name is unknown, a library is missing, or the data can neither be found nor fetched.
    """
    from timm.data import create_dataset

    dataset_name, root, own_root = _split_root(name)
    prefix = dataset_name.partition("/")[0].lower()
    if dataset_name.lower() in ("torch/folder", "torch/image_folder"):
        raise DataError(f"{name}: say folder:DIR, which keeps calibration and evaluation apart")
    mode = color_mode(preprocessing)
    options: dict[str, Any] = {} if prefix == "torch" else {"input_img_mode": mode}
    if prefix in ("torch", "hfids", "tfds") and not own_root:
        options["download"] = True
    errors: list[Exception] = []
    for candidate, split_name in _candidates(split, prefix):
        try:
            dataset = create_dataset(dataset_name, root=root, split=candidate, is_training=False, **options)
            return TimmSource(name, split_name, dataset, preprocessing)
        except ImportError as error:
            package = _PACKAGES.get(prefix, error.name or prefix)
            raise DataError(f"{name}: needs a library that is not installed; pip install {package}") from error
        except Exception as error:  # five libraries, each with its own errors for "not there"
            _logger.debug("%s: no split %s (%s)", name, candidate, error)
            errors.append(error)
    place = f"check {root}" if own_root else f"no network? give the data's place as {dataset_name}:DIR"
    raise DataError(f"{name}: cannot be opened ({first_line(errors[0])}); {place}") from errors[0]


def _candidates(split: Split, prefix: str) -> list[tuple[str, str]]:
    """(timm's split name, ours) in the order to try; torchvision's names are all understood, so one is enough."""
    if prefix == "torch":
        return [(_SPLIT_NAMES[split][0], split)]
    other: Split = "test" if split == "train" else "train"
    return [(n, split) for n in _SPLIT_NAMES[split]] + [(n, "all") for n in _SPLIT_NAMES[other]]


def _split_root(name: str) -> tuple[str, str, bool]:
    """(timm's name, root directory, whether the user gave it); tfds names may hold a colon of their own."""
    head, colon, tail = name.rpartition(":")
    if colon and (head.lower().startswith("torch/") or Path(tail).expanduser().is_dir()):
        root = Path(tail).expanduser()
        if not root.is_dir():
            raise DataError(f"{name}: no such directory: {root}")
        return head, str(root), True
    base = Path(os.environ.get("ECMT_DEPLOY_DATA") or Path.home() / ".cache" / "ecmt-deploy" / "data")
    return name, str(base), False


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    """Names by label; a label with several names has them all, one without has none."""
    classes = getattr(dataset, "classes", None)
    if classes is not None:
        return tuple(", ".join(map(str, c)) if isinstance(c, tuple | list) else str(c) for c in classes)
    mapping = getattr(getattr(dataset, "reader", None), "class_to_idx", None)
    if not mapping:
        return None
    names: list[list[str]] = [[] for _ in range(max(mapping.values()) + 1)]
    for name, label in mapping.items():
        names[label].append(str(name))
    return tuple(", ".join(own) for own in names)
