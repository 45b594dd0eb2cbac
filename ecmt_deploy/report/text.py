"""Numbers as a person reads them."""

from __future__ import annotations

from ecmt_deploy.estimation.result import Band

_UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
_SPACE = "\u00a0"  # where a line must not break
_SECONDS = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"), (1e-3, "ns"))
_ENERGY_DELAYS = ((1e9, "J·ms"), (1e6, "mJ·ms"), (1e3, "µJ·ms"), (1.0, "nJ·ms"))


def figures(value: float, digits: int = 3) -> str:
    """A number with its first digits and without an exponent: 0.0123, 1.23, 12.3, 1,230, 1,230,000."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    size = abs(rounded)
    decimals = 0
    while size * 10**decimals < 10 ** (digits - 1) and decimals < 12:
        decimals += 1
    return f"{rounded:,.{decimals}f}"


def scale_of(largest: float, units: tuple[tuple[float, str], ...] = _UNITS) -> tuple[float, str]:
    """By what to divide amounts of which this is the largest, and the unit they then have."""
    return next(((scale, unit) for scale, unit in units if abs(largest) >= scale * 0.9995), units[-1])


def energy(pj: float) -> str:
    """An energy given in pJ: ``12.3 µJ``."""
    scale, unit = scale_of(pj)
    return f"{figures(pj / scale)}{_SPACE}{unit}"


def energy_tick(pj: float) -> str:
    """An energy at a tick of an axis: ``1 µJ``."""
    scale, unit = scale_of(pj)
    return f"{pj / scale:.3g} {unit}"


def energy_band(band: Band) -> str:
    """The value, and its range where there is one: ``12.3 µJ (10.1 to 20.0)``."""
    return _band(band, _UNITS)


def duration_band(band: Band) -> str:
    """A duration given in µs."""
    return _band(band, _SECONDS)


def energy_delay_band(band: Band) -> str:
    """An energy-delay product given in nJ ms."""
    return _band(band, _ENERGY_DELAYS)


def _band(band: Band, units: tuple[tuple[float, str], ...]) -> str:
    scale, unit = scale_of(band.value or band.high, units)
    value = f"{figures(band.value / scale)}{_SPACE}{unit}"
    return value if band.exact else f"{value} ({number_range(Band(band.low / scale, band.value / scale, band.high / scale))})"


def number_band(band: Band) -> str:
    """A number without a unit, and its range where there is one."""
    return figures(band.value) if band.exact else f"{figures(band.value)} ({number_range(band)})"


def number_range(band: Band) -> str:
    """From the lowest to the highest."""
    return f"{figures(band.low)}{_SPACE}to{_SPACE}{figures(band.high)}"


def count(amount: float) -> str:
    """A count, per inference or step: a mean, so not always whole."""
    return f"{amount:,.0f}" if amount >= 100 or amount == int(amount) else figures(amount)


def percent(share: float | None) -> str:
    """A share as per cent; nothing where it is unknown."""
    return "" if share is None else f"{figures(100 * share)}{_SPACE}%"
