"""What the terminal shows about energy and time: by layer, by component, the other two views, and the chips' times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from rich.console import Group
from rich.text import Text

from ecmt_deploy.estimation import Band, Energy, MemoryRow, MemoryView, Row, together
from ecmt_deploy.program.layers import grouped
from ecmt_deploy.report import data, units
from ecmt_deploy.report.tables.plain import PlainTable
from ecmt_deploy.report.verdict import by_fit, on_chip, pays

#: steps of a full pipeline that the terminal shows; JSON has all
MOST_PHASES = 8
_MARKS = "+ more has no price, ? nothing has   ≤ at most   ≥ at least   ~ both   (low-high)"


def energy(results: Sequence[Energy], width: int, each: str = "inference", details: bool = False) -> Group:
    """A sentence a chip, then one table; no table is wider than ``width``, as far as it can be divided by columns.

    Parameters
    ----------
    each : what an energy is of: an inference, or a frame of a stream
    details : what more there is: components, placement and time, the way from the papers' figure, and the other two views
    """
    results = by_fit(results)
    first = results[0]
    over = f"T = {first.timesteps}, mean of {first.n_samples} {'samples' if each == 'inference' else f'{each}s'}"
    said = Text("".join(f"{on_chip(result, each)}\n" for result in results))
    table = _components(first) if len(results) == 1 else _layers(results)
    blocks = list(_grid(f"Energy per {each} by layer, {over}", *table, width))
    if details:
        memories = data.alike([result.memory for result in results], [result.hardware for result in results])
        blocks += _grid(f"Energy per {each} by component, placement and time, {over}", *_totals(results, each), width)
        blocks += [_phases(result, each) for result in results if result.timing and result.timing.busiest]
        blocks += [falls(result) for result in results if result.waterfall.causes]
        blocks += [_view_a(first), *(_view_c(view, chips, first.timesteps) for view, chips in memories)]
    return Group(said, *(part for block in blocks for part in block))


#: a title, a table, and what its marks mean
Block = tuple[Text, PlainTable, Text]


def _block(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Block:
    """A row without a label ends a section."""
    table = PlainTable("", *columns, show_edge=False, pad_edge=True)
    for row in rows:
        table.add_row(*(row if row[0] else ()))
    return Text(title), table, Text(caption + "\n")


def _grid(title: str, labels: list[str], columns: list[list[str]], width: int) -> Iterator[Block]:
    """A table of labels (the heading first, empty ones between sections) and columns, divided where it would be too wide."""
    first = max(map(len, labels)) + 2
    some: list[list[str]] = []
    for column, following in zip_longest(columns, columns[1:]):
        some.append(column)
        if following is None or first + sum(max(map(len, c)) + 2 for c in (*some, following)) > width:
            head, *rows = zip(labels, *some, strict=True)
            yield _block(title, head, rows, _MARKS if following is None else "")
            some = []


def _layers(results: Sequence[Energy]) -> tuple[list[str], list[list[str]]]:
    """Energy of every layer on every chip."""
    nodes = dict.fromkeys(row.node for result in results for row in result.rows)
    sums = [data.summed("sum of layers", result.rows) for result in results]
    scale, unit = units.column_unit([row.priced_pj.value for row in sums])
    columns = []
    for result, whole in zip(results, sums, strict=True):
        cells = [_cell(row, scale) for row in data.by_layer(result, nodes)]
        static = result.components_pj.get("static")
        more = ["" if static is None else units.in_column(static.value / scale) + " ", _total(result, scale)]
        columns.append([result.hardware, *cells, "", _cell(whole, scale), *more])
    return [f"layer, {unit}", *grouped(nodes), "", "sum of layers", "static", "total"], columns


def _components(result: Energy) -> tuple[list[str], list[list[str]]]:
    """Energy of every layer on one chip by component."""
    rows = data.by_layer(result)
    names = data.components([result])
    scale, unit = units.column_unit([row.priced_pj.value for row in rows])
    columns = []
    for name in names:
        cells = [row.components_pj.get(name) for row in rows]
        whole = result.components_pj.get(name)
        columns.append([name.replace("_", " "), *(_value(band, scale) for band in cells), "", _value(whole, scale)])
    labels = [f"layer, {unit}", *(row.node for row in rows), "", result.hardware]
    return labels, [*columns, ["total", *(_cell(row, scale) for row in rows), "", _total(result, scale)]]


def _value(band: Band | None, scale: float) -> str:
    return "" if band is None else units.in_column(band.value / scale)


def _total(result: Energy, scale: float) -> str:
    if not result.components_pj:
        return "?+"
    more = "+" if result.unpriced else " "
    return f"{units.bound_mark(result.bounds)}{units.in_column(result.total_pj.value / scale)}{more}"


def _cell(row: Row, scale: float) -> str:
    more = "+" if row.unpriced else " "
    if not row.components_pj:
        return "?+" if row.unpriced else ""
    return f"{units.bound_mark(row.bounds)}{units.in_column(row.priced_pj.value / scale)}{more}"


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
    return _block(
        f"From the papers' figure to {result.hardware}'s",
        (f"cause, {unit}", "adds", "so far", "of the\npapers' ANN", "of an ANN with\nthe same causes"),
        rows,
        "unknown: without a price, and not in what follows   in others: other prices contain it, or there is none",
    )


def _phases(result: Energy, each: str) -> Block:
    """What the time is made of, by step of a full pipeline; of many steps the longest."""
    assert result.timing is not None
    longest = sorted(result.timing.phases, key=lambda phase: -phase.us.value)[:MOST_PHASES]
    rows = [
        (f"{phase.step}", *map(units.column_band, (phase.us, phase.core_us, phase.link_us, phase.barrier_us)), phase.binds,
         phase.busiest or "")
        for phase in result.timing.phases if phase in longest
    ]  # fmt: skip
    columns = ("step", "µs", "fullest core", "busiest link", "barrier", "decided by", "its unit")
    left = len(result.timing.phases) - len(rows)
    more = f"{left} shorter steps more" if left else ""
    return _block(f"Time of one {each} on {result.hardware}: the steps of a full pipeline", columns, rows, more)


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
    return _block(
        "(a) The papers' estimate, 45 nm", (unit, "", "of the ANN"), rows, f"left out of both sides, encoding: {without}"
    )


#: how wide the activations of view (c)'s ANN are, by what they follow
_WIDTHS = {"steps": "", "asked": "", "payloads": "the payloads' bits, up to "}


def _view_c(view: MemoryView, chips: str, steps: int) -> Block:
    """Memory included, by layer, with the rate at which spiking would break even."""
    scale, unit = units.column_unit([sum(view.snn_pj.values())])
    columns = (f"layer, {unit}", "spiking", "ANN", "R", "break-even\nR", "R/T", "break-even\nR/T")
    layers = grouped(view.rows)
    rows = [(layer, *_compared([view.rows[name] for name in names], scale, steps)) for layer, names in layers.items()]
    rows += [("",), ("total", *_compared(list(view.rows.values()), scale, steps))]
    widths = f"{_WIDTHS[view.ann_bits_of]}{view.ann_bits} bits"
    where = f"{view.model}, {units.tiles(view)}{f':{chips}' if chips else ''}"
    return _block(
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
