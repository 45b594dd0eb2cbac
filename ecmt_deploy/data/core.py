"""What every dataset offers, whatever it is stored in: :class:`Source` (one split) and :class:`Dataset` (a view)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from ecmt_deploy.data.reading import read_ahead, usual_workers
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.untrusted.text import printable

Split = Literal["train", "test"]
"""What a caller asks for."""

_ORDER_SEED = 20240
"""Seed of the fixed order in which ``Dataset.sample`` takes samples; smaller samples are subsets of larger ones."""


class Source:
    """One split of a dataset, in its stored order. Subclasses read it from arrays, files or timm.

    Parameters
    ----------
    name
        The DATA form as the user wrote it, e.g. ``folder:pets``.
    split
        ``"train"`` or ``"test"``; ``"all"`` where the dataset has a single split.
    class_names
        Names by label, where the dataset knows them.
    shape
        (C, H, W) of a preprocessed sample.
    """

    decodes = False
    """Whether samples are decoded one by one as they are read, which takes long and can be done in parallel."""

    def __init__(self, name: str, split: str, class_names: tuple[str, ...] | None, shape: tuple[int, ...]) -> None:
        self.name = name
        self.split = split
        self.class_names = class_names and tuple(map(printable, class_names))
        self.shape = shape

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def labels(self) -> np.ndarray:
        """Labels of all samples, int64 (N,)."""
        raise NotImplementedError

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Preprocessed samples, float32 (len(indices), C, H, W)."""
        raise NotImplementedError

    def parts(self, chunks: Sequence[np.ndarray]) -> Generator[np.ndarray, None, None]:
        """Yield :meth:`read` of each of these arrays of indices."""
        for chunk in chunks:
            yield self.read(chunk)

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
        shape = tuple(x.shape[1:])
        super().__init__(name, split, class_names, shape)
        if preprocessing is not None:
            check_shape(name, shape, preprocessing.input_size)
        self._x = x
        self._labels = labels
        self._preprocessing = preprocessing
        self._full_scale = np.float32(full_scale)

    def __len__(self) -> int:
        return len(self._x)

    @property
    def labels(self) -> np.ndarray:
        return self._labels

    def read(self, indices: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(self._x[indices], dtype=np.float32)
        if self._preprocessing is None:
            return x
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (self._preprocessing.mean, self._preprocessing.std))
        return (x / self._full_scale - mean) / std

    def raw(self, index: int) -> bytes:
        return np.ascontiguousarray(self._x[index]).tobytes()


@dataclass(frozen=True)
class Dataset:
    """Samples of one split, chosen by index, ready for a model.

    Attributes
    ----------
    source
        The split they are from.
    indices
        Their positions in that split, int64 (n,), ascending.
    relabelling
        What stands for each label of the source here; None where labels are the source's.
    """

    source: Source
    indices: np.ndarray
    relabelling: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The DATA form as the user wrote it."""
        return self.source.name

    @property
    def split(self) -> str:
        """``"train"``, ``"test"``, or ``"all"`` where the dataset has a single split."""
        return self.source.split

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names by label of the source, where the dataset knows them."""
        return self.source.class_names

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def labels(self) -> np.ndarray:
        """Labels, int64 (n,)."""
        labels = self.source.labels[self.indices]
        return labels if self.relabelling is None else np.asarray(self.relabelling, np.int64)[labels]

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the samples' stored content and labels of the source, in order; reads every sample."""
        digest = hashlib.sha256()
        for index, label in zip(self.indices.tolist(), self.source.labels[self.indices].tolist(), strict=True):
            content = self.source.raw(index)
            digest.update(f"{label} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def take(self, positions: Sequence[int] | np.ndarray) -> Dataset:
        """The samples at these positions of this dataset (not of its split), in the order given.

        Raises
        ------
        DataError
            If a position is outside 0..n-1.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise DataError(f"{self.name}: sample {int(chosen.max())} asked for, but it has samples 0..{len(self) - 1}")
        return replace(self, indices=self.indices[chosen])

    def relabelled(self, labels: Sequence[int]) -> Dataset:
        """The same samples, with ``labels[i]`` for label i of the source."""
        return replace(self, relabelling=tuple(labels))

    def sample(self, limit: int | None) -> Dataset:
        """At most ``limit`` samples, drawn in a fixed random order and kept in stored order.

        Datasets are often stored class by class, so their first samples would represent nothing. A smaller sample
        is a subset of a larger one.

        Raises
        ------
        DataError
            If ``limit`` is below one.
        """
        if limit is None:
            return self
        if limit < 1:
            raise DataError(f"{self.name}: limit must be at least 1, found {limit}")
        if limit >= len(self):
            return self
        return self.take(np.sort(shuffled(len(self), _ORDER_SEED)[:limit]))

    def batches(
        self,
        batch_size: int,
        limit: int | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        workers: int | None = 0,
        pin_memory: bool = False,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ``(x, y)``: float32 (b, C, H, W) preprocessed, and int64 (b,); only the last b may be smaller.

        Batches are read while the caller computes, a few ahead. They are the same for any number of workers.

        Parameters
        ----------
        batch_size
            Samples per batch.
        limit
            At most this many samples, see :meth:`sample`.
        indices
            Positions in this dataset to read instead of all (e.g. ``range(rank, len(d), world_size)``).
        workers
            Processes that read; 0: a thread of this one. None: a number that suits data and machine, see
            :func:`ecmt_deploy.data.reading.usual_workers`. Data in memory is read in the thread in any case.
        pin_memory
            Whether ``x`` lies in page-locked memory, for ``torch.from_numpy(x).to("cuda", non_blocking=True)``.

        Raises
        ------
        DataError
            If ``batch_size`` is below one or ``workers`` negative, a sample cannot be read, or a worker dies.
        """
        if batch_size < 1:
            raise DataError(f"{self.name}: batch size must be at least 1, found {batch_size}")
        if workers is not None and workers < 0:
            raise DataError(f"{self.name}: workers must be 0 or more, found {workers}")
        chosen = self if indices is None else self.take(indices)
        chosen = chosen.sample(limit)
        starts = range(0, len(chosen), batch_size)
        chunks = [chosen.indices[start : start + batch_size] for start in starts]
        if workers is None:
            workers = usual_workers(self.source, len(chunks), 4 * batch_size * math.prod(self.source.shape))
        with closing(read_ahead(self.source, chunks, workers, pin_memory)) as parts:
            for start, x in zip(starts, parts, strict=True):
                yield x, chosen.labels[start : start + batch_size]

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Everything at once: float32 (n, C, H, W) and int64 (n,)."""
        return self.source.read(self.indices), self.labels


def whole(source: Source) -> Dataset:
    """All samples of a split.

    Raises
    ------
    DataError
        If there are none.
    """
    if len(source) == 0:
        raise DataError(f"{source.name}: the {source.split} split is empty; expected at least one sample")
    return Dataset(source, np.arange(len(source), dtype=np.int64))


def shuffled(n: int, seed: int) -> np.ndarray:
    """A permutation of 0..n-1, the same for this seed in every NumPy release (the legacy stream is frozen)."""
    return np.random.RandomState(seed).permutation(n)


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
        raise DataError(f"{name}: label {high} found, but the model has {n_classes} outputs (labels 0..{n_classes - 1})")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
