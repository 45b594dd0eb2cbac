"""Samples of a source, chosen by index and numbered as a program's outputs: :class:`Dataset`, the same for every DATA form."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ecmt_deploy.data.reading import read_ahead, usual_workers
from ecmt_deploy.data.source import Source
from ecmt_deploy.errors import DataError

_ORDER_SEED = 20240
"""Seed of the fixed order in which ``Dataset.sample`` takes samples; smaller samples are subsets of larger ones."""


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
    skipped
        How many samples were left out because they are damaged.
    """

    source: Source
    indices: np.ndarray
    relabelling: tuple[int, ...] | None = None
    skipped: int = 0

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
        self, batch_size: int, workers: int | None = 0, pin_memory: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ``(x, y)``: float32 (b, C, H, W) preprocessed, and int64 (b,); only the last b may be smaller.

        Batches are read while the caller computes, a few ahead. They are the same for any number of workers. Of some samples
        only: ``dataset.sample(limit).batches(..)``, or ``dataset.take(range(rank, len(dataset), world_size)).batches(..)``.

        Parameters
        ----------
        batch_size
            Samples per batch.
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
        starts = range(0, len(self), batch_size)
        chunks = [self.indices[start : start + batch_size] for start in starts]
        if workers is None:
            workers = usual_workers(self.source, len(chunks), 4 * batch_size * math.prod(self.source.shape))
        with closing(read_ahead(self.source, chunks, workers, pin_memory)) as parts:
            for start, x in zip(starts, parts, strict=True):
                yield x, self.labels[start : start + batch_size]

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
