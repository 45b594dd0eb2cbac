"""The answer first: a sentence a chip, and whether spiking pays with memory included, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ecmt_deploy.errors import plural
from ecmt_deploy.estimation import Energy, MemoryView, together
from ecmt_deploy.program.layers import grouped
from ecmt_deploy.report import data, units

#: chips that fit come first, then those of which it is unknown
_ORDER = ("yes", "unknown", "no")


def by_fit(energies: Iterable[Energy]) -> list[Energy]:
    """Chips that the program fits before those that state no limits, and those before the others; otherwise as they came."""
    return sorted(energies, key=lambda e: _ORDER.index(e.fits))


def on_chip(e: Energy, each: str = "inference") -> str:
    """The sentence about a run on a chip: whether it fits, whether spiking pays, what it costs and how long it takes; and what
    nobody has shown on this chip, as no total is to be read without it.

    Parameters
    ----------
    each : what an energy is of, an inference or a frame
    """
    found = f"{e.hardware}: {_fits(e)}; {_compared(e.memory)}; {_costs(e, each)}; latency {units.latency(e.timing)}."
    return " ".join([found, *e.assumes])


class Brief(NamedTuple):
    """A chip in a few words: whether the program fits, what spiking costs over the network of so many bits, with memory, its
    energy, and below how many events per MAC it pays; empty where nothing is to be compared."""

    fits: str
    ratio: str
    network: str
    energy: str
    pays: str

    @classmethod
    def of(cls, e: Energy) -> Brief:
        """The words about a run on a chip."""
        fits = "does not fit" if e.obstacles else "fit unknown" if e.cores is None else f"fits, {plural(e.cores, 'core')}"
        spent, (snn, ann) = units.total(e, ranged=False), data.both(e.memory)
        events, even = together(e.memory.rows.values())
        if events is None or not ann:
            return cls(fits, "", "", spent, "")
        below = "never pays" if even is None else f"pays below {units.per_mac(even)}"
        return cls(fits, units.ratio(snn, ann), _bits(e.memory), spent, below)


def in_brief(e: Energy, each: str = "inference") -> str:
    """The same in a short sentence: without ranges, and with how many assumptions it rests on in place of what they are."""
    return f"{e.hardware}: {unnamed(e, each)}."


def unnamed(e: Energy, each: str = "inference") -> str:
    """What that sentence says of the chip."""
    brief = Brief.of(e)
    rate = f"{brief.pays} events per MAC" if brief.pays.startswith("pays") else brief.pays
    widths = f"{_up_to(e.memory)}{plural(e.memory.ann_bits, 'bit')}"
    compared = f"spiking costs {brief.ratio} times the network at {widths}, {rate}"
    said = [
        f"does not fit ({_obstacle(e)})" if e.obstacles else brief.fits,
        compared if brief.ratio else "nothing spikes into weights",
        f"{brief.energy} per {each}" if e.components_pj else "its energy is unknown",
    ]
    time = f", {units.latency(e.timing, ranged=False)}" if e.timing else ""
    assumed = f"; {plural(len(e.assumes), 'assumption')}" if e.assumes else ""
    return f"{'; '.join(said)}{time}{assumed}"


def _obstacle(e: Energy) -> str:
    first, more = e.obstacles[0].partition(";")[0], len(e.obstacles) - 1
    return f"{first}{f', and {more} more' if more else ''}"


def measured(results: Iterable[Energy]) -> str:
    """How many events per MAC a run has, the same on every chip, as a clause; nothing where nothing spikes."""
    found = (together(e.memory.rows.values())[0] for e in results)
    events = next((rate for rate in found if rate is not None), None)
    return "" if events is None else f"this run has {units.per_mac(events)}"


def _bits(view: MemoryView) -> str:
    return f"{_up_to(view)}{view.ann_bits}-bit"


def _up_to(view: MemoryView) -> str:
    return "up to " if view.ann_bits_of == "payloads" else ""


def _fits(e: Energy) -> str:
    if e.obstacles:
        return f"does not fit ({_obstacle(e)})"
    if e.cores is None:
        return "states no limits, so whether the program fits is unknown"
    cores = f"{plural(e.cores, 'core')}{units.counted_range(e.cores_range)}"
    if e.chips is None:
        return f"fits: {cores}"
    size = "" if e.cores_per_chip is None else f" of {plural(e.cores_per_chip, 'core')}"
    return f"fits on {plural(e.chips, 'chip')}{size}{units.counted_range(e.chips_range)}, {cores}"


def _compared(view: MemoryView) -> str:
    """Whether spiking pays, with memory."""
    snn, ann = data.both(view)
    events, even = together(view.rows.values())
    if events is None or not ann:
        return "nothing spikes into weights, so there is nothing to compare"
    whole = "never pays" if even is None else f"pays below {units.per_mac(even)} events per MAC"
    costs = f"with memory spiking costs {units.ratio(snn, ann)} times the {_bits(view)} network"
    return f"{costs} and {whole} (it has {units.per_mac(events)})"


def _costs(e: Energy, each: str) -> str:
    """What it costs, and the causes that have no price."""
    if not e.components_pj:
        return "no energy is known, as nothing it does has a price"
    missing = [units.CAUSES[cause.name] for cause in e.waterfall.causes if cause.state in ("partly", "unknown")]
    without = f", without a price for {units.listed(missing)}" if missing else ""
    spent = f"{units.bound_mark(e.bounds).replace(' ', units.SPACE)}{units.energy_band(e.total_pj)} per {each}"
    if e.memory.model == e.hardware and e.waterfall.total_pj is not None:
        spent = f"{spent}, {units.energy(e.waterfall.total_pj)} with memory"
    return f"{spent}{without}"


def pays(view: MemoryView) -> str:
    """The sentence about view (c): the ratio of both sides, the layers that cost less, and below what rate the whole does."""
    spiking = {
        layer: rows for layer, names in grouped(view.rows).items()
        if together(rows := [view.rows[name] for name in names])[0] is not None
    }  # fmt: skip
    snn, ann = data.both(view)
    if not spiking or not ann:
        return "Nothing spikes into weights or products, so that there is nothing to compare."
    cheaper = [layer for layer, rows in spiking.items() if sum(data.both(row)[0] - data.both(row)[1] for row in rows) < 0]
    if len(cheaper) in (0, len(spiking)):
        where = f"in {'every' if cheaper else 'no'} layer"
    else:
        where = f"in {len(cheaper)} of {plural(len(spiking), 'layer')} ({', '.join(cheaper)})"
    even = together(list(view.rows.values()))[1]
    whole = "never as a whole" if even is None else f"as a whole below {units.per_mac(even)} events per MAC"
    return f"Spiking costs {units.ratio(snn, ann)} times the quantised ANN: it pays {where}, and {whole}."


def answer(energies: Sequence[Energy]) -> str:
    """Whether the program fits, and whether spiking pays there, with memory, in a sentence about several chips."""
    fitting = [e for e in energies if e.fits == "yes"]
    fits = f"Fits {units.listed([e.hardware for e in fitting])}" if fitting else "Fits no chip that states its limits"
    compared = {e.hardware: snn / ann for e in fitting or energies for snn, ann in [data.both(e.memory)] if Brief.of(e).ratio}
    if not compared:
        return f"{fits}; nothing spikes into weights, so there is nothing to compare."
    paying = [name for name, ratio in compared.items() if ratio < 1]
    low, high = units.figures(min(compared.values())), units.figures(max(compared.values()))
    times = low if low == high else f"{low} to {high}"
    where = f"pays on {units.listed(paying)}" if paying else "does not pay"
    return f"{fits}; spiking {where}: with memory it costs {times} times the quantised network."
