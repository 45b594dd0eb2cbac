"""Exact percentiles of a stream that comes in parts: only the tails in which they lie are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Tails:
    """The k-th smallest of ``count`` values, which come in any order and grouping, for two k.

    The published method takes values that occur and interpolates nothing: k = int(share n) of n values for the upper one, and
    k = int((1 - share) n) for the lower one, or the smallest where that is 0. Both lie in the tails: where ``share`` is 0.99,
    the 1 % of the values on either side is all that is remembered.

    Parameters
    ----------
    count : n
    share : above one half
    """

    def __init__(self, count: int, share: float) -> None:
        self.count, self.seen = count, 0
        self._smallest = max(int((1 - share) * count), 1)
        self._largest = count - max(int(share * count), 1) + 1
        self._tails: tuple[np.ndarray, np.ndarray] | None = None

    def see(self, x: Tensor) -> None:
        """Take more of the values, of any shape."""
        values = x.detach().cpu().numpy().flatten()  # a copy, which is put in order
        self.seen += values.size
        low, high = _lowest(values, self._smallest), _highest(values, self._largest)
        if self._tails is not None:
            low = _lowest(np.concatenate([self._tails[0], low]), self._smallest)
            high = _highest(np.concatenate([self._tails[1], high]), self._largest)
        self._tails = low, high

    def percentiles(self) -> tuple[float, float]:
        """The lower and the upper one, once all ``count`` values have been seen."""
        if self._tails is None or self.seen != self.count:
            raise ValueError(f"{self.seen} values were seen, expected {self.count}")
        low, high = self._tails
        return float(low.max()), float(high.min())


def _lowest(values: np.ndarray, kept: int) -> np.ndarray:
    """The ``kept`` smallest of some values, which are reordered."""
    if values.size <= kept:
        return values.copy()
    values.partition(kept - 1)
    return values[:kept].copy()


def _highest(values: np.ndarray, kept: int) -> np.ndarray:
    """The ``kept`` largest of some values, which are reordered."""
    if values.size <= kept:
        return values.copy()
    values.partition(values.size - kept)
    return values[values.size - kept :].copy()
