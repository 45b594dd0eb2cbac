"""What amounts of actions cost: amounts times figures, band by band; what has no figure is listed, never left at zero."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple, TypeVar

from ecmt_deploy.chips import Figure, Price
from ecmt_deploy.chips.actions import belongs, entry_of
from ecmt_deploy.chips.schema import component_of
from ecmt_deploy.estimation.result import NOTHING, Band

Amount = TypeVar("Amount", float, Band)


def band(figure: Figure) -> Band:
    """A figure with the range its source gives."""
    low, high = figure.span
    return Band(low, figure.value, high)


def sums(parts: Iterable[Mapping[str, Amount]]) -> dict[str, Amount]:
    """Amounts added by name."""
    total: dict[str, Amount] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total[name] + amount if name in total else amount
    return total


class Tariff(NamedTuple):
    """Prices, or times, that are in force by name, and those that are part of others: neither charged nor missing."""

    table: Mapping[str, Price]
    contained: Collection[str]


class Bill:
    """Charges of one node at a chip's prices, or of one unit at its times: ``usual`` says which names of actions these are."""

    def __init__(self, tariff: Tariff, usual: Literal["price", "time"] = "price") -> None:
        self.table, self.contained = tariff
        self.usual = usual
        self.own = {name: price for name, price in self.table.items() if price.per and name not in self.contained}
        self.components: dict[str, Band] = {}
        self.unpriced: dict[str, float] = {}
        self.bounds: set[str] = set()
        self.sources: set[str] = set()

    def charge(self, action: str, amount: float, listed: str = "") -> None:
        """Charge an amount at the usual price of its action and at those of the chip's own components that are per it.

        It is unpriced (under the name ``listed``, by default the action's) without the usual price, whatever else there is;
        where none is usual, without any.
        """
        if not amount:
            return
        own = [name for name, price in self.own.items() if belongs(action, price.per)]
        entry = entry_of(action)
        usual = getattr(entry, self.usual)
        if usual not in self.contained:
            if usual in self.table:
                self.add(entry.component, self.table[usual], amount)
            elif usual or not own:
                self.unpriced[listed or action] = self.unpriced.get(listed or action, 0.0) + amount
        for name in own:
            self.add(component_of(name), self.own[name], amount)

    def add(self, component: str, price: Price, amount: float | Band) -> None:
        """Charge an amount at a price."""
        self.components[component] = self.components.get(component, NOTHING) + band(price) * amount
        self.bounds.add(price.bound)
        self.sources.update(price.source)
