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
        self._sizes = max(int((1 - share) * count), 1), count - max(int(share * count), 1) + 1
        self._low = self._high = np.empty(0, np.float32)  # the high ones with the other sign

    def see(self, x: Tensor) -> None:
        """Take more of the values, of any shape."""
        values = x.detach().cpu().numpy().flatten()  # a copy, which is put in order
        self.seen += values.size
        low, high = self._sizes
        self._low = _smallest(np.concatenate([self._low, _smallest(values, low)]), low)
        self._high = _smallest(np.concatenate([self._high, _smallest(np.negative(values, out=values), high)]), high)

    def percentiles(self) -> tuple[float, float]:
        """The lower and the upper one, once all ``count`` values have been seen."""
        if self.seen != self.count or not self.count:
            raise ValueError(f"{self.seen} values were seen, expected {self.count}")
        return float(self._low.max()), -float(self._high.max())


def _smallest(values: np.ndarray, kept: int) -> np.ndarray:
    """The ``kept`` smallest of some values, which are reordered."""
    if values.size > kept:
        values.partition(kept - 1)
    return values[:kept].copy()
