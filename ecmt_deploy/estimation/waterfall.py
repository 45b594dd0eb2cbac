"""From the papers' figure to what a chip pays, one cause at a time; ``docs/energy.md`` says what each cause is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from ecmt_deploy.chips import Hardware, Price, covered
from ecmt_deploy.chips.actions import COMPONENTS
from ecmt_deploy.shown import Brief

if TYPE_CHECKING:
    from ecmt_deploy.estimation.result import Energy, Row
    from ecmt_deploy.program import Program

#: what the papers count, at their prices and then at the chip's
_EVENTS = ("synapse", "product", "mac")
#: components of the other causes; ``assumed_functions`` is there where such prices were asked for
_CAUSES = {
    "functions": ("ecm", "assumed_functions"), "neurons": ("neuron",), "routing": ("routing", "chip_crossing"),
    "static": ("static",),
}  # fmt: skip
#: elementwise work of a spiking program that its ANN does not do
_NOT_OF_THE_ANN = ("product_readout", "readout", "hold")


class Cause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a waterfall.

    Attributes
    ----------
    name : ``papers``, ``events``, ``encoding``, ``functions``, ``neurons``, ``memory``, ``routing``, ``static``, ``others``
    state : ``priced``; ``partly``, where some counts of it have no price; ``unknown``, where nothing of it has; ``within``,
        where other prices contain it, or there is nothing of it
    pj : what it adds, which may be negative where prices replace others; ``None`` where it is unknown or within others
    total_pj : all causes so far; ``None`` from the first cause on without which no total means anything: the events
    ann_pj : what the ANN pays for the same causes so far; ``None`` from the first on that nobody has priced for the ANN
    unpriced : its counts without a price, per inference
    """

    name: str
    state: Literal["priced", "partly", "unknown", "within"]
    pj: float | None
    total_pj: float | None
    ann_pj: float | None
    unpriced: dict[str, float]

    @property
    def ratio(self) -> float | None:
        """All causes so far over what they cost the ANN."""
        return self.total_pj / self.ann_pj if self.total_pj is not None and self.ann_pj else None


class Waterfall(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Causes in their order: bars that add up to what the chip pays; ``causes`` is empty where nothing was priced."""

    causes: tuple[Cause, ...] = ()

    @property
    def total_pj(self) -> float | None:
        """What all causes with a price cost; ``None`` where the events have none."""
        return self.causes[-1].total_pj if self.causes else None


def waterfall(energy: Energy, program: Program, hardware: Hardware, prices: Mapping[str, Price]) -> Waterfall:
    """The waterfall of a priced run.

    The bars of the chip's own prices are its components; where the chip's file has a model of memories, the accesses of view
    (c) are a bar too (without deliveries to tiles, where messages have a price), and otherwise they are in the prices of
    events. So the last total is that of the energy, with memory
    where the chip has such a model.

    Parameters
    ----------
    prices : those in force on the chip, of functions by recipe too
    """
    outside = [row for row in energy.rows if row.node not in energy.encoding]
    inside = [row for row in energy.rows if row.node in energy.encoding]
    macs = {name: program.network_macs(name) for name in program.of_role("synapse", "product")}
    encoded = sum(count for name, count in macs.items() if name in program.encoding)
    each = prices["mac_pj"].value if "mac_pj" in prices else None
    made = _Causes(energy.paper.snn_pj, energy.paper.ann_pj)
    spent = _spent(outside, _EVENTS)
    replaced = None if each is None else each * (sum(macs.values()) - encoded) - energy.paper.ann_pj
    counts = _unpriced(outside, "events")
    made.add("events", None if spent is None else spent - energy.paper.snn_pj, counts, replaced, needed=spent is None)
    made.add("encoding", _spent(inside, _EVENTS), _unpriced(inside, "events"), None if each is None else each * encoded)
    for name in ("functions", "neurons"):
        ann = _functions_of_the_ann(program, prices) if name == "functions" else 0.0
        made.add(name, _spent(energy.rows, _CAUSES[name]), _unpriced(energy.rows, name), ann)
    sent = _spent(energy.rows, _CAUSES["routing"])
    snn, ann = energy.memory.accesses_pj(sent is not None)
    own = energy.memory.model == hardware.name
    made.add("memory", snn if own else None, {}, ann if own else 0.0, unknown=not own and spent is None)
    made.add("routing", sent, _unpriced(energy.rows, "routing"), None)
    static = energy.components_pj.get("static")
    drawn = None if static is None else static.value
    made.add("static", drawn, {}, None, unknown=static is None and "static_mw" not in covered(hardware.prices))
    usual = {*COMPONENTS, *(name for names in _CAUSES.values() for name in names)}
    others = [band.value for name, band in energy.components_pj.items() if name not in usual]
    if others:
        made.add("others", sum(others), {}, None)
    return Waterfall(tuple(made.causes))


class _Causes:
    """Causes while they are put together."""

    def __init__(self, snn_pj: float, ann_pj: float) -> None:
        self.total: float | None = snn_pj
        self.ann: float | None = ann_pj
        self.causes = [Cause("papers", "priced", snn_pj, snn_pj, ann_pj, {})]

    def add(
        self, name: str, pj: float | None, unpriced: dict[str, float], ann_pj: float | None, *, unknown: bool = False,
        needed: bool = False,
    ) -> None:  # fmt: skip
        """The next cause; ``ann_pj``: what the ANN pays for it, ``needed``: without it there is no total."""
        state: Literal["priced", "partly", "unknown", "within"] = "priced"
        if pj is None:
            state = "unknown" if unknown or unpriced else "within"
        elif unpriced:
            state = "partly"
        self.total = None if self.total is None or needed else self.total + (pj or 0.0)
        self.ann = None if self.ann is None or ann_pj is None or self.total is None else self.ann + ann_pj
        self.causes.append(Cause(name, state, pj, self.total, self.ann, unpriced))


def _spent(rows: Iterable[Row], components: tuple[str, ...]) -> float | None:
    """What these components cost in these rows; ``None`` where none is there."""
    found = [row.components_pj[name].value for row in rows for name in components if name in row.components_pj]
    return sum(found) if found else None


def _unpriced(rows: Iterable[Row], cause: str) -> dict[str, float]:
    """Counts of a cause without a price."""
    found: dict[str, float] = {}
    for row in rows:
        for name, amount in row.unpriced.items():
            if _cause(name) == cause:
                found[name] = found.get(name, 0.0) + amount
    return found


def _cause(count: str) -> str:
    """The cause that a count belongs to."""
    family = count.partition(".")[0]
    if family in ("synops", "macs"):
        return "events"
    if family in ("neuron_updates_active", "neuron_updates_idle", "spikes"):
        return "neurons"
    return "functions" if family == "ecm_ops" else "routing"


def _functions_of_the_ann(program: Program, prices: Mapping[str, Price]) -> float | None:
    """The functions of the network once; ``None`` where one has no price."""
    total = 0.0
    for name in program.nodes:
        work = program.work(name)
        if work.kind is None or work.kind in _NOT_OF_THE_ANN:
            continue
        if f"ecm_op_pj.{work.kind}" not in prices:
            return None
        total += work.elements * prices[f"ecm_op_pj.{work.kind}"].value
    return total
