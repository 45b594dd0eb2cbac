"""What a node's counts cost: amounts times figures, band by band; what has no figure is listed, never left at zero."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from ecmt_deploy.chips import Figure
from ecmt_deploy.estimation.result import NOTHING, Band

Amount = TypeVar("Amount", float, Band)


def band(figure: Figure) -> Band:
    """A figure with the range its source gives."""
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    return Band(low, figure.value, high)


def sums(parts: Iterable[Mapping[str, Amount]]) -> dict[str, Amount]:
    """Amounts added by name."""
    total: dict[str, Amount] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total[name] + amount if name in total else amount
    return total


class Bill:
    """Charges of one node, per inference; prices in ``contained`` are part of others: neither charged nor missing."""

    def __init__(self, contained: Collection[str]) -> None:
        self.contained = contained
        self.components: dict[str, Band] = {}
        self.unpriced: dict[str, float] = {}
        self.bounds: set[str] = set()

    def charge(self, component: str, count: str, amount: float, price: str, figure: Figure | None) -> None:
        """Charge ``amount`` of ``count`` to ``component`` at ``figure``, the chip's ``price``."""
        if not amount or price in self.contained:
            return
        if figure is None:
            self.unpriced[count] = self.unpriced.get(count, 0.0) + amount
            return
        self.components[component] = self.components.get(component, NOTHING) + band(figure) * amount
        self.bounds.add(figure.bound)
