"""Exact percentiles of a stream that comes in parts: only the tails in which they lie are kept."""

from __future__ import annotations

from math import floor

import numpy as np
from torch import Tensor


class Tails:
    """The percentiles ``100 - percentile`` and ``percentile`` of ``count`` values, which come in any order and grouping.

    Both lie in the tails: where ``percentile`` is 99, the 1 % of the values on either side is all that is remembered. Nothing
    is estimated; between two neighbours in order they are interpolated as :func:`numpy.percentile` does.
    """

    def __init__(self, count: int, percentile: float) -> None:
        self.count, self.seen = count, 0
        self._lower, self._upper = (q / 100 * (count - 1) for q in (100 - percentile, percentile))  # positions in order
        self._kept = min(max(floor(self._lower) + 2, count - floor(self._upper)), count)
        self._tails: tuple[np.ndarray, np.ndarray] | None = None

    def see(self, x: Tensor) -> None:
        """Take more of the values, of any shape."""
        values = x.detach().cpu().numpy().flatten()  # a copy, which is put in order
        self.seen += values.size
        low, high = self._ends(values)
        if self._tails is not None:
            low = self._ends(np.concatenate([self._tails[0], low]))[0]
            high = self._ends(np.concatenate([self._tails[1], high]))[1]
        self._tails = low, high

    def _ends(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest that are kept of some values, which are reordered."""
        if values.size <= self._kept:
            return values, values
        values.partition([self._kept - 1, values.size - self._kept])
        return values[: self._kept].copy(), values[values.size - self._kept :].copy()

    def percentiles(self) -> tuple[float, float]:
        """The lower and the upper one, once all ``count`` values have been seen."""
        if self._tails is None or self.seen != self.count:
            raise ValueError(f"{self.seen} values were seen, expected {self.count}")
        low, high = (np.sort(tail).astype(np.float64) for tail in self._tails)
        return _between(low, self._lower), _between(high, self._upper - (self.count - high.size))


def _between(ordered: np.ndarray, position: float) -> float:
    below = floor(position)
    a, b = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    share = position - below
    return a + (b - a) * share if share < 0.5 else b - (b - a) * (1 - share)
