"""What integer kernels share: saturation to the declared width, counted; rounding, whose remainder may be kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site
from ecmt_deploy.kernels.integers import carried, limit, minus_infinity, shifted
from ecmt_deploy.kernels.streams import WHOLE, Part, Stream, rows


class Integer(Kernel):
    """Mixed into a kernel: its state and arithmetic are int64 arrays that hold no more than the node declares.

    Attributes
    ----------
    clipped : whether anything did not fit, since whoever asks set it to false
    """

    clipped = False

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, np.dtype(np.int64))
        self.largest = limit(node.format.state_bits)
        self.masked = minus_infinity(node.format.state_bits)

    def saturated(self, x: np.ndarray, largest: int | None = None, operand: int | None = None) -> np.ndarray:
        """``x`` within +-``largest`` (by default what the node's state holds); every element that was not is counted, of what
        is kept of an operand (its number) where :attr:`Site.counted` says so."""
        bound = self.largest if largest is None else largest
        if x.size and (x.max() > bound or x.min() < -bound):
            beyond = (x > bound) | (x < -bound)
            counted = self.site.counted[operand] if operand is not None and self.site.counted else None
            self.tally["saturations"] += int(np.count_nonzero(beyond if counted is None else beyond & counted))
            self.clipped = True
            return np.clip(x, -bound, bound)
        return x

    def accumulated(self, operand: int, total: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``total + x`` of an operand, saturated; minus infinity stays what it is."""
        masked = (total == self.masked) | (x == self.masked)
        if not masked.any():
            return self.saturated(total + x, operand=operand)
        return np.where(masked, self.masked, self.saturated(np.where(masked, 0, total + x), operand=operand))


class Following(Integer):
    """Mixed into a kernel that sends the change of a term, as far as a stream holds it: the rest follows by itself.

    What was not clipped in a step is not clipped in the next where nothing comes. So where something was, all is computed
    again; what follows is an event like any other.

    Attributes
    ----------
    restless : whether something was clipped in the step before
    """

    def reset(self) -> None:
        super().reset()
        self.restless = False

    def advance(self, t: int, *operands: Stream) -> Stream:
        follows, self.clipped = self.restless, False
        value, changed = super().advance(t, *operands)  # type: ignore[safe-super]
        self.restless = self.clipped
        return Stream(value, changed | rows(value != 0) if follows else changed)

    def update(self, term: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is sent of the change from ``before`` (what was sent so far) to ``term``, and what was sent then."""
        change = self.saturated(term - before)
        return change, before + change


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

    def shifted(self, x: np.ndarray, right: np.ndarray | int, part: Part = WHOLE) -> np.ndarray:
        """``x / 2**right``, rounded, of a part of the stream; where nothing came, that is nothing, whatever is kept."""
        if not self.memory:
            return shifted(x, right)
        result, remainder = carried(x, right, part.of(self.remainder))
        self.remainder = part.renewed(self.remainder, remainder)
        return result
