"""How quantities are written: every number a person reads gets its digits, unit, range and bounds here, and nowhere else.

Amounts come in the units of the structs that hold them: pJ, µs, nJ ms, shares of 1, bytes. A quantity on its own has the unit
that suits its size; the rows of a column share one (:func:`column_unit`), so that they compare, and it stands in the heading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ecmt_deploy.chips import Figure
from ecmt_deploy.errors import plural
from ecmt_deploy.estimation.result import Band, Energy, MemoryView, Timing
from ecmt_deploy.evaluation.intervals import in_per_cent, interval
from ecmt_deploy.placement.result import ranged

SPACE = "\u00a0"  # where a line must not break
#: causes of a waterfall in words
CAUSES = {
    "papers": "the papers' figure", "events": "events at the chip's prices", "encoding": "encoding layer",
    "functions": "functions", "neurons": "neurons", "memory": "memory", "routing": "routing", "static": "static power",
    "others": "components of its own",
}  # fmt: skip
Units = tuple[tuple[float, str], ...]
_ENERGIES: Units = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
_DURATIONS: Units = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"), (1e-3, "ns"))
_ENERGY_DELAYS: Units = ((1e9, "J·ms"), (1e6, "mJ·ms"), (1e3, "µJ·ms"), (1.0, "nJ·ms"))


def figures(value: float, digits: int = 3) -> str:
    """A number with its first digits and without an exponent: 0.0123, 1.23, 12.3, 1,230, 1,230,000."""
    if value == 0:
        return "0"
    rounded = f"{value:.{digits - 1}e}"
    decimals = min(max(digits - 1 - int(rounded.partition("e")[2]), 0), 12)
    return f"{float(rounded):,.{decimals}f}"


def in_column(value: float | None) -> str:
    """A number of a column: three digits, and all before the point; ``never`` where there is none."""
    if value is None:
        return "never"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}" if not 0 < abs(value) < 0.001 else f"{value:.1e}"


def whole(number: int | None, ends: tuple[int, int] | None = None) -> str:
    """A number of things with its range where it has one, ``57 (34 to 60)``, or that it is unknown."""
    return "unknown" if number is None else ranged(number, ends)


def counted_range(ends: tuple[int, int] | None) -> str:
    """The fewest and the most, in parentheses; nothing where they are one."""
    return "" if ends is None or ends[0] == ends[1] else f" ({ends[0]:,} to {ends[1]:,})"


def listed(words: Sequence[str]) -> str:
    """Words in a sentence: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def count(amount: float) -> str:
    """A count per inference or step: a mean, so not always whole."""
    return f"{amount:,.0f}" if amount >= 100 or amount == int(amount) else figures(amount)


def large(number: float) -> str:
    """A number of things that may be many: 963, 5.72 M, 1.25 G."""
    scale, unit = scale_of(number, ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1.0, "")))
    return f"{figures(number / scale)} {unit}".strip()


def kib(size_bytes: float) -> str:
    """A size of memory in KiB."""
    return f"{size_bytes / 1024:,.1f}"


def size(size_bytes: float) -> str:
    """A size of memory in KiB at a tick or in a sentence."""
    return figures(size_bytes / 1024) if size_bytes % 1024 else f"{size_bytes / 1024:,.0f}"


def seconds(duration_s: float) -> str:
    """How long something took."""
    return f"{duration_s:.1f} s"


def difference(value: float) -> str:
    """A difference of two readouts: its size is what matters."""
    return f"{value:.1e}"


def readouts(apart: float) -> str:
    """How far two runs' readouts are apart at most, in words."""
    return f"the readouts differ by at most {difference(apart)}" if apart else "the readouts are equal"


def ratio(part: float, whole: float) -> str:
    """A cost over another; nothing where there is no other."""
    return figures(part / whole) if whole else ""


def per_mac(events: float | None) -> str:
    """Synaptic events per MAC of the ANN; nothing where it has no MACs."""
    return "" if events is None else figures(events)


def ann(view: MemoryView) -> str:
    """The ANN of view (c), by the width of its activations."""
    return f"{'up to ' if view.ann_bits_of == 'payloads' else ''}int{view.ann_bits}"


def tiles(view: MemoryView) -> str:
    """Where both sides of view (c) lie."""
    return "on its cores" if view.tile_bytes is None else f"in tiles of {size(view.tile_bytes)}{SPACE}KiB"


def bits(mean: float | None) -> str:
    """Bits of a spike on average; nothing where there was none."""
    return "" if mean is None else f"{mean:.1f}"


def per_neuron(spikes: float) -> str:
    """Spikes of a neuron over all steps."""
    return f"{spikes:.3f}"


def tick(value: float) -> str:
    """A number without a unit at a tick of an axis."""
    return f"{value:g}"


def cosine(value: float | None) -> str:
    """A cosine to three decimals, or that it is unknown."""
    return "unknown" if value is None else f"{round(value, 3) + 0.0:.3f}"  # never -0.000


def percent(share: float | None) -> str:
    """A share of 1 as ``12.3 %``; nothing where it is unknown."""
    return "" if share is None else f"{figures(100 * share)}{SPACE}%"


def hundredths(share: float) -> str:
    """A share of samples, or a relative error, in per cent to two decimals; the sign is left to the heading."""
    return f"{100 * share:.2f}"


def accuracy(share: float, samples: int) -> str:
    """A share of samples with its 95 % interval, in per cent: ``98.33 (96.4 to 99.2)``."""
    return f"{hundredths(share)} ({in_per_cent(*interval(share, samples))})"


def interval_of(share: float, low: float, high: float) -> str:
    """A share of samples with an interval that is known: ``98.33 (96.4 to 99.2) %``."""
    return f"{hundredths(share)} ({in_per_cent(low, high)}){SPACE}%"


def measured(share: float, samples: int) -> str:
    """How sure a share is, in words: ``360 samples, 95 % interval 96.4 to 99.2 %``."""
    return f"{plural(samples, 'sample')}, 95{SPACE}% interval {in_per_cent(*interval(share, samples))}{SPACE}%"


def scale_of(largest: float, units: Units = _ENERGIES) -> tuple[float, str]:
    """By what to divide amounts of which this is the largest, and the unit they then have."""
    return next(((scale, unit) for scale, unit in units if abs(largest) >= scale * 0.9995), units[-1])


def column_unit(amounts_pj: Sequence[float]) -> tuple[float, str]:
    """By what to divide a column of energies, and its unit: the smallest amount that is there is then at least 1."""
    least = min((amount for amount in amounts_pj if amount > 0), default=0.0)
    return next(((scale, unit) for scale, unit in _ENERGIES[1:4] if least >= scale), _ENERGIES[3])


def column_band(band: Band | None, scale: float = 1.0) -> str:
    """A value of a column and its range: ``659 (14.6-659)``."""
    if band is None:
        return ""
    low, value, high = (in_column(end / scale) for end in (band.low, band.value, band.high))
    return value if band.exact else f"{value} ({low}-{high})"


def energy(pj: float) -> str:
    """An energy: ``12.3 µJ``."""
    scale, unit = scale_of(pj)
    return f"{figures(pj / scale)}{SPACE}{unit}"


def energy_tick(pj: float) -> str:
    """An energy at a tick of an axis: ``1 µJ``."""
    from matplotlib.ticker import EngFormatter

    return EngFormatter("J")(pj * 1e-12)


def energy_band(band: Band) -> str:
    """An energy and its range where there is one: ``12.3 µJ (10.1 to 20.0)``."""
    return _band(band, _ENERGIES)


def energy_delay(band: Band | None) -> str:
    """An energy-delay product."""
    return "unknown" if band is None else _band(band, _ENERGY_DELAYS)


def _band(band: Band, units: Units) -> str:
    scale, unit = scale_of(band.value or band.high, units)
    return _ranged(Band(*(end / scale for end in (band.low, band.value, band.high))), f"{SPACE}{unit}")


def _ranged(band: Band, unit: str = "") -> str:
    value = f"{figures(band.value)}{unit}"
    return value if band.exact else f"{value} ({figures(band.low)}{SPACE}to{SPACE}{figures(band.high)})"


def bound_mark(bounds: Iterable[str]) -> str:
    """Sign before a figure, or a sum of prices, with these bounds: at most, at least, or about."""
    found = tuple(sorted(set(bounds) - {"exact"}))
    return {(): "", ("upper",): "≤ ", ("lower",): "≥ "}.get(found, "~ ")


def total(e: Energy, ranged: bool = True) -> str:
    """A total as it must be read: the sign of its bounds, its range if ``ranged``, and a plus where more has no price."""
    if not e.components_pj:
        return "not priced"
    value = energy_band(e.total_pj) if ranged else energy(e.total_pj.value)
    return f"{bound_mark(e.bounds).replace(' ', SPACE)}{value}{f'{SPACE}+' if e.unpriced else ''}"


def time_marks(time: Timing) -> tuple[str, str]:
    """Signs before a duration and before a rate: at least and at most, where some of the work has no published time."""
    return ("≥ ", "≤ ") if time.unknown else ("", "")


def latency(time: Timing | None, ranged: bool = True) -> str:
    """From the image to the readout of its last step; with its range if ``ranged``."""
    if time is None:
        return "unknown"
    band, value = time.latency_us, time.latency_us.value
    return f"{time_marks(time)[0]}{_band(band if ranged else Band(value, value, value), _DURATIONS)}"


def step(time: Timing) -> str:
    """Length of a time step on the chip."""
    return f"{time_marks(time)[0]}{_band(time.step_us, _DURATIONS)}"


def throughput(time: Timing | None) -> str:
    """Inferences per second."""
    return "unknown" if time is None else f"{time_marks(time)[1]}{_ranged(time.throughput_per_s)}"


def figure(stated: Figure) -> str:
    """A statement of a chip's file with its unit: ``≤ 6.8 pJ``."""
    return f"{bound_mark([stated.bound])}{stated.value:,.12g} {stated.unit}"


def figure_range(stated: Figure) -> str:
    """The range of a statement; nothing where it has none."""
    if stated.low is None and stated.high is None:
        return ""
    low, high = stated.span
    return f"{low:,.12g} to {high:,.12g}"
