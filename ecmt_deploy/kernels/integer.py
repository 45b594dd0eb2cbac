"""What integer kernels share: saturation to the declared width, counted; rounding, whose remainder may be kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site
from ecmt_deploy.kernels.integers import carried, limit, minus_infinity, shifted


class Integer(Kernel):
    """Mixed into a kernel: its state and arithmetic are int64 arrays that hold no more than the node declares."""

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, np.dtype(np.int64))
        self.largest = limit(node.format.state_bits)
        self.masked = minus_infinity(node.format.state_bits)

    def saturated(self, x: np.ndarray, largest: int | None = None) -> np.ndarray:
        """``x`` within +-``largest`` (by default what the node's state holds); every element that was not is counted."""
        bound = self.largest if largest is None else largest
        if x.size and (x.max() > bound or x.min() < -bound):
            self.tally["saturations"] += int(np.count_nonzero((x > bound) | (x < -bound)))
            return np.clip(x, -bound, bound)
        return x

    def accumulated(self, total: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``total + x``, saturated; minus infinity stays what it is."""
        masked = (total == self.masked) | (x == self.masked)
        if not masked.any():
            return self.saturated(total + x)
        return np.where(masked, self.masked, self.saturated(np.where(masked, 0, total + x)))

    def sent(self, term: np.ndarray, before: np.ndarray) -> np.ndarray:
        """The change from ``before`` (what was sent so far) to ``term``, as far as a stream holds it; the rest follows."""
        return self.saturated(term - before)


class Rounding(Integer):
    """Mixed into a kernel that ends with a right shift.

    Where the node's format carries, what each rounding leaves joins what is rounded at the next step, so that the sum of what
    was sent is at every step the exact sum, rounded once.
    """

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        self.memory = ("remainder",) if node.format.remainder_bits else ()
        super().__init__(node, site, dtype)

    def reset(self) -> None:
        super().reset()
        if self.memory:
            self.remainder = self.zeros(self.site.shape)

    def shifted(self, x: np.ndarray, right: np.ndarray | int) -> np.ndarray:
        """``x / 2**right``, rounded; where nothing came, that is nothing, whatever is kept."""
        if not self.memory:
            return shifted(x, right)
        result, self.remainder = carried(x, right, self.remainder)
        return result
