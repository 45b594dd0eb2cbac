"""One split of a dataset as it is stored, :class:`Source`, and the checks that every reader asks for."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Literal

import numpy as np

from ecmt_deploy.errors import DataError, plural
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.untrusted.text import printable

Split = Literal["train", "test"]
"""What a caller asks for."""


class Source:
    """One split of a dataset, in its stored order. Subclasses read it from arrays, image files or timm's datasets.

    Attributes
    ----------
    name
        The DATA form as the user wrote it, e.g. ``folder:pets``.
    split
        ``"train"`` or ``"test"``; ``"all"`` where the dataset has a single split.
    class_names
        Names by label, where the dataset knows them.
    shape
        (C, H, W) of a preprocessed sample.
    labels
        Labels of all samples, int64 (N,).
    decodes
        Whether samples are decoded one by one as they are read, which takes long and can be done in parallel.
    labelled
        Whether anybody says what the samples are; where nobody does, ``labels`` means nothing.
    ordered
        Whether the classes stand in the order that models trained on such data number them in.
    """

    labels: np.ndarray
    decodes = False
    labelled = True
    ordered = True

    def __init__(self, name: str, split: str, class_names: tuple[str, ...] | None, shape: tuple[int, ...]) -> None:
        self.name = name
        self.split = split
        self.class_names = class_names and tuple(map(printable, class_names))
        self.shape = shape

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Preprocessed samples, float32 (len(indices), C, H, W)."""
        raise NotImplementedError

    def parts(self, chunks: Sequence[np.ndarray]) -> Generator[np.ndarray, None, None]:
        """Yield :meth:`read` of each of these arrays of indices."""
        for chunk in chunks:
            yield self.read(chunk)

    def damaged(self, indices: np.ndarray, thorough: bool) -> dict[int, str]:
        """Why samples among these cannot be read, by index. Unless ``thorough``, only what is cheap to tell is told, and where
        samples are not decoded one by one, opening them has told it already."""
        return {}

    def raw(self, index: int) -> bytes:
        """Stored content of one sample before any preprocessing; what fingerprints are made of."""
        raise NotImplementedError


class ArraySource(Source):
    """Samples held in memory as one array, with pixels scaled and normalised as they are read.

    Parameters
    ----------
    x
        (N, C, H, W), any real dtype.
    labels
        int64 (N,).
    preprocessing
        What ``x`` must go through; None where it is normalised already.
    full_scale
        Pixel value of white: inputs are ``(x / full_scale - mean) / std``.

    Raises
    ------
    DataError
        If there is not one label for each sample, or ``preprocessing`` is of another shape.
    """

    def __init__(
        self,
        name: str,
        split: str,
        x: np.ndarray,
        labels: np.ndarray,
        class_names: tuple[str, ...] | None = None,
        preprocessing: Preprocessing | None = None,
        full_scale: float = 1.0,
    ) -> None:
        super().__init__(name, split, class_names, tuple(x.shape[1:]))
        if len(x) != len(labels):
            raise DataError(f"{name}: {plural(len(x), 'sample')} and {plural(len(labels), 'label')}; expected one label each")
        if preprocessing is not None:
            check_shape(name, self.shape, preprocessing.input_size)
        self.labels = labels
        self._x = x
        self._preprocessing = preprocessing
        self._full_scale = np.float32(full_scale)

    def read(self, indices: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(self._x[indices], dtype=np.float32)
        if self._preprocessing is None:
            return x
        return self._preprocessing.normalised(x / self._full_scale)

    def raw(self, index: int) -> bytes:
        return np.ascontiguousarray(self._x[index]).tobytes()


def check_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Refuse samples of another shape than the model takes.

    Raises
    ------
    DataError
        Naming both shapes and how to mend it.
    """
    if found == expected:
        return
    arguments = []
    if len(found) == len(expected) == 3:
        channels, height, width = found
        if channels != expected[0]:
            arguments.append(f"--model-arg in_chans={channels}")
        if (height, width) != expected[1:]:
            size = str(height) if height == width else f"[{height},{width}]"
            arguments.append(f"--model-arg img_size={size}")
    mend = f"; build the model for it ({' '.join(arguments)}) or give data of the model's size" if arguments else ""
    raise DataError(f"{name}: samples are {_times(found)}, but the model takes {_times(expected)}{mend}")


def check_labels(name: str, labels: np.ndarray, n_classes: int | None = None) -> None:
    """Refuse negative labels, and labels beyond the model's outputs where those are known.

    Raises
    ------
    DataError
        Naming the label and the number of classes.
    """
    if labels.size == 0:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise DataError(f"{name}: label {low} found; labels must be 0 or more")
    if n_classes is not None and high >= n_classes:
        raise DataError(
            f"{name}: label {high} found, but the model has {plural(n_classes, 'output')} (labels 0..{n_classes - 1})"
        )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
