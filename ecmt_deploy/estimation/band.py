"""An amount and the range that its sources give."""

from __future__ import annotations

import msgspec


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount with the range its sources give: ``low <= value <= high``. Bands add."""

    low: float
    value: float
    high: float

    def __add__(self, other: Band) -> Band:
        return Band(self.low + other.low, self.value + other.value, self.high + other.high)

    def __mul__(self, factor: float | Band) -> Band:
        """Times a factor that is not negative, or has a range of its own."""
        by = factor if isinstance(factor, Band) else Band(factor, factor, factor)
        return Band(self.low * by.low, self.value * by.value, self.high * by.high)

    @property
    def exact(self) -> bool:
        """Whether the sources give no range."""
        return self.low == self.high


NOTHING = Band(0.0, 0.0, 0.0)
