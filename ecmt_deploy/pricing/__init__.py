"""Energy = counts x price, per node and component. Pure arithmetic: no input, no output, no defaults for what is unknown."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import nir

from ecmt_deploy.activity import Activity, Counts
from ecmt_deploy.chips import Figure, Hardware
from ecmt_deploy.errors import RunError
from ecmt_deploy.graph import Program

#: The paper's estimate: an accumulation and a multiply-accumulate in fp32 at 45 nm (Horowitz, ISSCC 2014), in pJ
PAPER_AC_PJ = 0.9
PAPER_MAC_PJ = 4.6

#: component of the energy each count belongs to
COMPONENTS = {
    "synops": "synapse",
    "macs": "mac",
    "neuron_updates_active": "neuron",
    "neuron_updates_idle": "neuron",
    "spikes": "neuron",
    "messages": "routing",
    "analog_messages": "routing",
}
#: price of each count
_PRICE_OF = {
    "synops": "synop_pj",
    "macs": "mac_pj",
    "neuron_updates_active": "neuron_update_active_pj",
    "neuron_updates_idle": "neuron_update_idle_pj",
    "spikes": "spike_pj",
    "messages": "message_pj",
    "analog_messages": "analog_message_pj",
}


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node's energy, per inference.

    Attributes
    ----------
    node, kind : name and type of the node
    components_pj : energy by component (synapse, mac, neuron, ecm, routing), those that could be priced
    unpriced : counts per inference without a price, by name of the count
    bounds : bounds of the prices used (``exact``, ``upper``, ``lower``)
    paper_snn_pj, paper_ann_pj : view (a): AC 0.9 pJ a synop, MAC 4.6 pJ an analog one; against the ANN's dense MACs
    """

    node: str
    kind: str
    components_pj: dict[str, float]
    unpriced: dict[str, float]
    bounds: tuple[str, ...]
    paper_snn_pj: float
    paper_ann_pj: float

    @property
    def priced_pj(self) -> float:
        """Sum over the components that could be priced."""
        return sum(self.components_pj.values())


class Energy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Energy of a program on a chip, per inference.

    Attributes
    ----------
    hardware, title : the chip
    timesteps, n_samples : what the counts were over
    rows : one per node that did anything
    components_pj, total_pj : sums over rows of what could be priced
    unpriced : counts per inference without a price, summed over rows
    left_out : what no count covers, with the reason
    bounds : bounds of the prices used
    paper_snn_pj, paper_ann_pj : view (a), summed
    events_per_mac : (synops + macs) / dense MACs, the encoding layers left out of both; ``None`` if there is nothing else
    encoding : the encoding layers
    synop_pj : the chip's price of a synaptic event, ``None`` if unknown
    """

    hardware: str
    title: str
    timesteps: int
    n_samples: int
    rows: tuple[Row, ...]
    components_pj: dict[str, float]
    total_pj: float
    unpriced: dict[str, float]
    left_out: tuple[str, ...]
    bounds: tuple[str, ...]
    paper_snn_pj: float
    paper_ann_pj: float
    events_per_mac: float | None
    encoding: tuple[str, ...]
    synop_pj: float | None

    @property
    def complete(self) -> bool:
        """Whether every count had a price."""
        return not self.unpriced


def energy(activity: Activity, program: Program, hardware: Hardware) -> Energy:
    """Price the counts of a run.

    Parameters
    ----------
    activity : counts of a run of ``program``
    program : the program (or a model that carries it as ``program``)
    hardware : the chip

    Raises
    ------
    RunError
        if the activity is not one of this program, or is over no samples.
    """
    program = getattr(program, "program", program)
    if set(activity.keys()) != set(program.nodes):
        raise RunError("the counts are not of this program: their nodes differ; run it again with this program")
    if activity.n_samples < 1:
        raise RunError("the counts are over no samples; run the program on at least one")
    rows = [_row(name, type(program.nodes[name]), counts, activity.n_samples, hardware) for name, counts in activity.items()]
    rows = [row for row in rows if row.components_pj or row.unpriced or row.paper_ann_pj]
    components = _sums([row.components_pj for row in rows])
    return Energy(
        hardware=hardware.name,
        title=hardware.title,
        timesteps=activity.timesteps,
        n_samples=activity.n_samples,
        rows=tuple(rows),
        components_pj=components,
        total_pj=sum(components.values()),
        unpriced=_sums([row.unpriced for row in rows]),
        left_out=_left_out(hardware),
        bounds=tuple(sorted({bound for row in rows for bound in row.bounds})),
        paper_snn_pj=sum(row.paper_snn_pj for row in rows),
        paper_ann_pj=sum(row.paper_ann_pj for row in rows),
        events_per_mac=activity.events_per_mac(program.encoding),
        encoding=tuple(sorted(program.encoding)),
        synop_pj=hardware.prices.synop_pj.value if hardware.prices.synop_pj else None,
    )


def _row(name: str, kind: type[nir.NIRNode], counts: Counts, samples: int, hardware: Hardware) -> Row:
    components: dict[str, float] = {}
    unpriced: dict[str, float] = {}
    bounds: set[str] = set()
    covered = {price for _, figure in _given(hardware) for price in figure.covers}

    def charge(count: str, amount: int, component: str, figure: Figure | None, price: str) -> None:
        if not amount:
            return
        if figure is not None:
            components[component] = components.get(component, 0.0) + amount * figure.value / samples
            bounds.add(figure.bound)
        elif price not in covered:
            unpriced[count] = amount / samples

    for count, price in _PRICE_OF.items():
        charge(count, getattr(counts, count), COMPONENTS[count], getattr(hardware.prices, price), price)
    for function, amount in counts.ecm_ops.items():
        charge(f"ecm_ops.{function}", amount, "ecm", hardware.prices.ecm_op_pj.get(function), "ecm_op_pj")
    return Row(
        node=name,
        kind=kind.__name__,
        components_pj=components,
        unpriced=unpriced,
        bounds=tuple(sorted(bounds)),
        paper_snn_pj=(counts.synops * PAPER_AC_PJ + counts.macs * PAPER_MAC_PJ) / samples,
        paper_ann_pj=counts.dense_macs * PAPER_MAC_PJ / samples,
    )


def _given(hardware: Hardware) -> list[tuple[str, Figure]]:
    prices = hardware.prices
    named = [(name, getattr(prices, name)) for name in prices.__struct_fields__]
    return [(name, figure) for name, figure in named if isinstance(figure, Figure)]


def _left_out(hardware: Hardware) -> tuple[str, ...]:
    hops = "hops between cores: their number needs a placement" if hardware.prices.hop_pj else "hops between cores: no price"
    static = (
        f"static power ({hardware.prices.static_mw.value:g} mW per chip): the run time on the chip is unknown"
        if hardware.prices.static_mw
        else "static power: no figure"
    )
    return hops, static, "memory traffic of weights and state beyond what the prices contain: not counted"


def _sums(parts: list[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0.0) + value
    return total


def bound_mark(bounds: Iterable[str]) -> str:
    """Sign before a sum of prices with these bounds: at most, at least, or about."""
    found = tuple(sorted(set(bounds) - {"exact"}))
    return {(): "", ("upper",): "≤ ", ("lower",): "≥ "}.get(found, "~ ")


def remarks(result: Energy) -> list[str]:
    """What a reader of the totals must know, computed from them."""
    lines = []
    if result.unpriced:
        listed = ", ".join(f"{name} ({amount:,.0f})" for name, amount in sorted(result.unpriced.items()))
        lines.append(f"{result.hardware}: the total leaves out, per inference, for want of a price: {listed}.")
    lines += [f"{result.hardware}: not priced: {what}." for what in result.left_out]
    if set(result.bounds) - {"exact"}:
        lines.append(f"{result.hardware}: prices include {' and '.join(b for b in result.bounds if b != 'exact')} bounds.")
    if result.events_per_mac is not None and result.synop_pj is not None:
        cost = result.events_per_mac * result.synop_pj
        verdict = "more than" if cost > PAPER_MAC_PJ else "at most"
        lines.append(
            f"{result.hardware}: {result.events_per_mac:.2f} events per MAC at {result.synop_pj:g} pJ each cost {cost:.2f} pJ"
            f" for each MAC of the ANN: {verdict} the {PAPER_MAC_PJ:g} pJ of an fp32 MAC at 45 nm."
        )
    return lines


def to_csv(results: list[Energy]) -> str:
    """One line per node and chip; an empty field is a component without energy, unpriced counts are listed by name."""
    components = ("synapse", "mac", "neuron", "ecm", "routing")
    header = ["hardware", "node", "type", *(f"{c}_pj" for c in components), "priced_pj", "bounds", "unpriced"]
    lines = [",".join([*header, "paper_snn_pj", "paper_ann_pj"])]
    for result in results:
        for row in result.rows:
            cells = [result.hardware, row.node, row.kind]
            cells += [repr(row.components_pj[c]) if c in row.components_pj else "" for c in components]
            cells += [repr(row.priced_pj) if row.components_pj else "", "+".join(row.bounds), "+".join(sorted(row.unpriced))]
            lines.append(",".join([*cells, repr(row.paper_snn_pj), repr(row.paper_ann_pj)]))
    return "\n".join(lines) + "\n"
