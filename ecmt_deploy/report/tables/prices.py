"""What the terminal shows about energy and time: by layer, by component, the other two views, and the chips' times."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ecmt_deploy.errors import plural
from ecmt_deploy.estimation import Energy, MemoryRow, MemoryView, together
from ecmt_deploy.program.layers import grouped
from ecmt_deploy.report import data, units
from ecmt_deploy.report.tables import layers
from ecmt_deploy.report.tables.layers import Block, block, grid
from ecmt_deploy.report.verdict import Brief, by_fit, in_brief, measured, on_chip, pays

#: steps of a full pipeline that the terminal shows; JSON has all
MOST_PHASES = 8
#: chips that have a sentence each; of more there is a line each
MOST_SENTENCES = 4
#: layers that details show at most
DETAILED_LAYERS = 100


def energy(results: Sequence[Energy], width: int, each: str = "inference", details: bool = False) -> Group:
    """A sentence a chip, then one table; no table is wider than ``width``, as far as it can be divided by columns.

    Parameters
    ----------
    each : what an energy is of: an inference, or a frame of a stream
    details : all there is: what it rests on, more layers, components, placement and time, the way from the papers' figure, and
        the other two views
    """
    results = by_fit(results)
    first = results[0]
    over = f"T = {first.timesteps}, mean of {first.n_samples} {'samples' if each == 'inference' else f'{each}s'}"
    title = f"Energy per {each} by layer, {over}"
    if not details:
        table = layers.table(title, results, width)
        said = [lines(results)] if len(results) > MOST_SENTENCES else [in_brief(result, each) for result in results]
        shown = (Text(wrapped(part, width)) if isinstance(part, str) else part for part in (*said, hint(results)))
        return Group(*shown, Text(), *table)
    memories = data.alike([result.memory for result in results], [result.hardware for result in results])
    blocks = list(grid(title, *layers.columns(results, DETAILED_LAYERS), width))
    blocks += grid(f"Energy per {each} by component, placement and time, {over}", *_totals(results, each), width)
    for result in results:
        if result.timing and result.timing.busiest:
            blocks += _phases(result, each, width)
    blocks += [falls(result) for result in results if result.waterfall.causes]
    blocks += [_view_a(first), *(_view_c(view, chips, first.timesteps) for view, chips in memories)]
    sentences = Text("".join(f"{on_chip(result, each)}\n" for result in results))
    return Group(sentences, *(part for block in blocks for part in (*block, Text())))


def lines(results: Sequence[Energy]) -> Table:
    """A line a chip: whether it fits, what spiking costs over the network, its energy, and below which rate it pays."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for result in by_fit(results):
        brief = Brief.of(result)
        times = f"{brief.ratio} times" if brief.ratio else ""
        table.add_row(*map(Text, (result.hardware, brief.fits, times, brief.energy, brief.pays)))
    return table


def wrapped(sentence: str, width: int) -> str:
    """A sentence over several lines, which rich breaks within an amount, too: between it and its unit or bound."""
    kept = re.sub("([≤≥~]) ", f"\\1{units.SPACE}", sentence)
    return textwrap.fill(kept, width, break_long_words=False, break_on_hyphens=False)


def hint(results: Sequence[Energy]) -> str:
    """What sentences and lines do not say again and again, and where the rest is."""
    network, rate = Brief.of(results[0]).network, measured(results)
    said = [f"times the {network} network's"] if network and len(results) > MOST_SENTENCES else []
    said += ["memory is included, view (c)", *([f"{rate} events per MAC"] if rate else []), "+ more has no price"]
    return f"({'; '.join(said)}; --details has the rest)"


def _totals(results: Sequence[Energy], each: str) -> tuple[list[str], list[list[str]]]:
    """Components with their bands, what it takes, and how long it takes."""
    scale, unit = units.column_unit([result.total_pj.value for result in results])
    used = data.components(results)
    apart = any(result.assumed_functions_pj and not result.functions_assumed for result in results)
    labels = [
        f"component, {unit}",
        *used,
        "total",
        *["functions, assumed: not in it"] * apart,
        "",
        "fits",
        "cores",
        "chips",
        "",
    ]
    labels += ["pipeline, steps", "step, µs", "latency, µs", f"{each}s per s", f"energy x delay, {unit} ms"]
    columns = []
    for result in results:
        parts = [units.column_band(result.components_pj.get(name), scale) for name in used]
        total = units.column_band(result.total_pj, scale) if result.components_pj else "?"
        total = f"{units.bound_mark(result.bounds)}{total}{'+' if result.unpriced else ''}"
        timed = ["?"] * 5
        if time := result.timing:
            least, most = units.time_marks(time)
            delay = units.column_band(result.energy_delay_nj_ms, scale / 1e3)
            timed = [f"{time.depth}", *(f"{least}{units.column_band(band)}" for band in (time.step_us, time.latency_us)),
                     f"{most}{units.column_band(time.throughput_per_s)}", f"{least}{delay}"]  # fmt: skip
        assumed = None if result.functions_assumed else result.assumed_functions_pj
        beside = [units.column_band(assumed, scale)] * apart
        placed = [result.fits, units.whole(result.cores, result.cores_range), units.whole(result.chips, result.chips_range)]
        columns.append([result.hardware, *parts, total, *beside, "", *placed, "", *timed])
    return labels, columns


#: what stands in place of a number that a cause has not
_WITHOUT = {"unknown": "unknown", "within": "in others"}


def falls(result: Energy) -> Block:
    """From the papers' figure to the chip's, cause by cause."""
    causes = result.waterfall.causes
    scale, unit = units.column_unit([abs(cause.pj) for cause in causes if cause.pj is not None])
    rows = []
    for cause in causes:
        adds = _WITHOUT[cause.state] if cause.pj is None else units.in_column(cause.pj / scale)
        total = "?" if cause.total_pj is None else units.in_column(cause.total_pj / scale)
        over = [
            cause.total_pj / result.paper.ann_pj if cause.total_pj is not None and result.paper.ann_pj else None,
            cause.ratio,
        ]
        ratios = ["?" if ratio is None else units.in_column(ratio) for ratio in over]
        rows.append((units.CAUSES[cause.name], f"{adds}{'+' if cause.state == 'partly' else ''}", total, *ratios))
    return block(
        f"From the papers' figure to {result.hardware}'s",
        (f"cause, {unit}", "adds", "so far", "of the\npapers' ANN", "of an ANN with\nthe same causes"),
        rows,
        "unknown: without a price, and not in what follows   in others: other prices contain it, or there is none",
    )


def _phases(result: Energy, each: str, width: int) -> Iterator[Block]:
    """What the time is made of, by step of a full pipeline; of many steps the longest."""
    assert result.timing is not None
    longest = sorted(result.timing.phases, key=lambda phase: -phase.us.value)[:MOST_PHASES]
    shown = [phase for phase in result.timing.phases if phase in longest]
    columns = [
        ["µs", *(units.column_band(phase.us) for phase in shown)],
        ["fullest core", *(units.column_band(phase.core_us) for phase in shown)],
        ["busiest link", *(units.column_band(phase.link_us) for phase in shown)],
        ["barrier", *(units.column_band(phase.barrier_us) for phase in shown)],
        ["decided by", *(phase.binds for phase in shown)],
        ["its unit", *(phase.busiest or "" for phase in shown)],
    ]
    left = len(result.timing.phases) - len(shown)
    more = f"; {left} shorter ones are left out" if left else ""
    title = f"Time of one {each} on {result.hardware}: the steps of a full pipeline{more}"
    yield from grid(title, ["step", *(f"{phase.step}" for phase in shown)], columns, width, "")


def _view_a(result: Energy) -> Block:
    """The papers' estimate and what it leaves out."""
    view = result.paper
    scale, unit = units.column_unit([view.snn_pj])
    costs = [("spiking: 0.9 pJ an event, 4.6 a graded one or a MAC", view.snn_pj)]
    costs += [(f"left out: {name}", cost) for name, cost in view.left_out_pj.items()]
    costs += [("spiking with all that", view.total_pj), ("ANN: 4.6 pJ a MAC", view.ann_pj)]
    rows = [
        (label, units.in_column(cost / scale), units.in_column(cost / view.ann_pj) if view.ann_pj else "")
        for label, cost in costs
    ]
    rows += [(f"left out, no price: {name}", f"{units.count(n)} x ?", "") for name, n in sorted(view.unpriced.items())]
    without = ", ".join(result.encoding) or "none"
    return block(
        "(a) The papers' estimate, 45 nm", (unit, "", "of the ANN"), rows, f"left out of both sides, encoding: {without}"
    )


#: how wide the activations of view (c)'s ANN are, by what they follow
_WIDTHS = {"steps": "", "asked": "", "payloads": "the payloads' bits, up to "}


def _view_c(view: MemoryView, chips: str, steps: int) -> Block:
    """Memory included, by layer, with the rate at which spiking would break even."""
    scale, unit = units.column_unit([sum(view.snn_pj.values())])
    columns = (f"layer, {unit}", "spiking", "ANN", "R", "break-even\nR", "R/T", "break-even\nR/T")
    found = grouped(view.rows).items()
    rows = [(layer, *_compared([view.rows[name] for name in names], scale, steps)) for layer, names in found]
    rows += [("",), ("total", *_compared(list(view.rows.values()), scale, steps))]
    widths = f"{_WIDTHS[view.ann_bits_of]}{plural(view.ann_bits, 'bit')}"
    where = f"{view.model}, {units.tiles(view)}{f':{chips}' if chips else ''}"
    return block(
        f"(c) Memory included ({where}), against the ANN with activations of {widths}",
        columns,
        rows,
        f"{pays(view)}\nR: synaptic events per MAC of the ANN   R/T: spikes per neuron and step\n"
        "below break-even spiking costs less than the ANN   never: more without any event",
    )


def _compared(rows: list[MemoryRow], scale: float, steps: int) -> list[str]:
    costs = [sum(sum(parts.values()) for parts in side) for side in ([r.snn_pj for r in rows], [r.ann_pj for r in rows])]
    events, even = together(rows)
    rates = [] if events is None else [events, even, events / steps, even and even / steps]
    return [*(units.in_column(cost / scale) for cost in costs), *(map(units.in_column, rates) if rates else [""] * 4)]
