"""Datasets by the names of ``timm.data.create_dataset``: torchvision, Hugging Face, TensorFlow and WebDataset ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from ecmt_deploy.data.core import Source, Split
from ecmt_deploy.data.images import color_mode, read_image, transform
from ecmt_deploy.errors import DataError, reading
from ecmt_deploy.program.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

PREFIXES = ("torch", "hfds", "hfids", "tfds", "wds")
_SPLIT_NAMES: dict[str, tuple[str, ...]] = {"train": ("train",), "test": ("validation", "test", "val")}
_PACKAGES = {"hfds": "datasets", "hfids": "datasets", "tfds": "tensorflow-datasets", "wds": "webdataset"}


class TimmSource(Source):
    """A timm dataset: indexable, or a stream, in which a sample is reached by reading all before it."""

    def __init__(self, name: str, split: str, dataset: Any, preprocessing: Preprocessing) -> None:
        super().__init__(name, split, _class_names(dataset), preprocessing.input_size)
        self._dataset = dataset
        self._preprocessing = preprocessing
        self.decodes = hasattr(dataset, "__getitem__") and not hasattr(dataset, "set_epoch")  # a stream has one reader
        self._cached_labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def labels(self) -> np.ndarray:
        if self._cached_labels is None:
            targets = getattr(self._dataset, "targets", None)
            reader = getattr(self._dataset, "reader", None)
            if targets is None and reader is not None and hasattr(reader, "iter_targets"):
                targets = list(reader.iter_targets())
            if targets is None:
                targets = [label for _, label in self._items(np.arange(len(self)))]
            self._cached_labels = np.asarray(targets, dtype=np.int64).reshape(-1)
        return self._cached_labels

    def read(self, indices: np.ndarray) -> np.ndarray:
        rows = list(self._rows(indices))
        return np.stack(rows) if rows else np.empty((0, *self.shape), np.float32)

    def parts(self, chunks: Sequence[np.ndarray]) -> Generator[np.ndarray, None, None]:
        if self.decodes or not chunks:
            yield from super().parts(chunks)
            return
        rows = self._rows(np.concatenate(chunks))  # a stream is read once, not once for every batch
        for chunk in chunks:
            yield np.stack(list(islice(rows, len(chunk))))

    def _rows(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Preprocessed samples (C, H, W) at these indices, in their order."""
        for i, (image, _) in zip(indices.tolist(), self._items(indices), strict=True):
            where = f"{self.name}[{i}]"
            if hasattr(image, "convert"):
                yield transform(where, image, self._preprocessing)
            else:
                yield read_image(where, cast(BinaryIO, image), self._preprocessing)

    def raw(self, index: int) -> bytes:
        image, _ = next(self._items(np.array([index])))
        return image.tobytes() if hasattr(image, "convert") else image.read()

    def _items(self, indices: np.ndarray) -> Iterator[tuple[Any, int]]:
        """(image or open file, label) at these indices, in their order."""
        with reading(DataError, f"{self.name}: a sample cannot be read", "fetch the data again"):
            if not self.decodes:
                yield from self._stream(indices)
                return
            # The reader under an ImageDataset is asked directly: the dataset itself would answer a damaged image
            # with the next sample.
            items = getattr(self._dataset, "reader", self._dataset)
            for i in indices.tolist():
                image, label = items[i]
                yield image, int(label)

    def _stream(self, indices: np.ndarray) -> Iterator[tuple[Any, int]]:
        wanted = set(indices.tolist())
        found: dict[int, tuple[Any, int]] = {}
        ordered = iter(indices.tolist())
        head = next(ordered, None)
        for i, (image, label) in enumerate(self._dataset):
            if i in wanted:
                found[i] = (image, int(label))
            while head in found:
                yield found.pop(head)
                head = next(ordered, None)
            if head is None:
                return
        raise DataError(f"{self.name}: the stream ended before sample {head} of the {len(self)} it declares")


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
    errors: list[Exception] = []
    for candidate, split_name in _candidates(split, prefix):
        options: dict[str, Any] = {} if prefix == "torch" else {"input_img_mode": mode}
        if prefix in ("torch", "hfids", "tfds") and not own_root:
            options["download"] = True
        try:
            dataset = create_dataset(dataset_name, root=root, split=candidate, is_training=False, **options)
            return TimmSource(name, split_name, dataset, preprocessing)
        except DataError:
            raise
        except ImportError as error:
            package = _PACKAGES.get(prefix, error.name or prefix)
            raise DataError(f"{name}: needs a library that is not installed; pip install {package}") from error
        except Exception as error:  # five libraries, each with its own errors for "not there"
            _logger.debug("%s: no split %s (%s)", name, candidate, error)
            errors.append(error)
    place = f"check {root}" if own_root else f"no network? give the data's place as {dataset_name}:DIR"
    raise DataError(f"{name}: cannot be opened ({_first_line(errors[0])}); {place}") from errors[0]


def _candidates(split: Split, prefix: str) -> list[tuple[str, str]]:
    """(timm's split name, ours) in the order to try; torchvision's names are all understood, so one is enough."""
    if prefix == "torch":
        return [("train" if split == "train" else "validation", split)]
    own: list[tuple[str, str]] = [(n, split) for n in _SPLIT_NAMES[split]]
    other: Split = "test" if split == "train" else "train"
    return own + [(n, "all") for n in _SPLIT_NAMES[other]]


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


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
