"""What travels between nodes in one step: values, and which of their rows an event has reached; those alone are computed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: at most this share of the rows is picked out of them and computed alone
FEW_ROWS = 0.75


class Stream(NamedTuple):
    """One step of one stream of one sample.

    Attributes
    ----------
    value : array of the stream's shape
    changed : bool array of the same shape: elements that an event reached in this step. Decided from events, never from
        values, so that every engine decides alike; whole rows (the last axis), except for spikes and what wiring made of them.
    """

    value: np.ndarray
    changed: np.ndarray


def rows(changed: np.ndarray, axes: tuple[int, ...] = (-1,)) -> np.ndarray:
    """Spread a mask over ``axes`` (the row by default): an element counts as changed where any element there did."""
    if changed.ndim == 0:
        return changed
    return np.broadcast_to(changed.any(axis=axes, keepdims=True), changed.shape)


def row_by_row(changed: np.ndarray) -> np.ndarray:
    """Which rows of a mask have an element: (*shape[:-1],)."""
    return changed.any(axis=-1) if changed.ndim else changed


class Part:
    """What of a stream is computed in a step: nothing, a few rows that are picked out, or all of it.

    Where nothing is computed a stream brings exact zeros, and what is kept stays as it is.

    Parameters
    ----------
    rows : (*shape[:-1],) bool, the rows that an event reached; of no axes where all rows go together

    Attributes
    ----------
    empty : whether there is nothing to compute
    rows : the few rows that are picked out; ``None`` where all are computed
    """

    def __init__(self, rows: np.ndarray) -> None:
        reached = int(np.count_nonzero(rows))
        self.empty = reached == 0
        self.rows = rows if rows.ndim and reached <= FEW_ROWS * rows.size else None

    def of(self, array: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """What belongs to these rows, (k, n), of an array that broadcasts to ``shape``, by default its own."""
        if self.rows is None or (shape is not None and array.ndim < 2):  # the same for every row
            return array
        return (array if shape is None else np.broadcast_to(array, shape))[self.rows]

    def spread(self, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The whole stream of ``shape`` that has ``value`` in these rows, and zeros elsewhere."""
        if self.rows is None:
            return value
        whole = np.zeros(shape, value.dtype)
        whole[self.rows] = value
        return whole

    def renewed(self, kept: np.ndarray, value: np.ndarray) -> np.ndarray:
        """What is kept, with ``value`` in these rows; a copy, for others may hold what was."""
        if self.rows is None:
            return value
        kept = kept.copy()
        kept[self.rows] = value
        return kept


#: all of a stream
WHOLE = Part(np.ones((), bool))
