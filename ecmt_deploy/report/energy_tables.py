"""What the terminal shows about energy and time: by layer, by component, the other two views, and the chips' times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ecmt_deploy.estimation import NOTHING, Band, Energy, MemoryRow, Row, bound_mark, together
from ecmt_deploy.program.layers import grouped
from ecmt_deploy.report import data
from ecmt_deploy.report.tables import PlainTable

_UNITS = ((1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"))
_MARKS = "+ more has no price, ? nothing has   ≤ at most   ≥ at least   ~ both   (low-high)"


def energy(results: Sequence[Energy], width: int) -> Group:
    """All tables about a run on some chips, none wider than ``width`` as far as they can be divided by chips."""
    first = results[0]
    over = f"T = {first.timesteps}, mean of {first.n_samples} samples"
    blocks = [
        *_grid(f"Energy per inference by layer, {over}", *_layers(results), width),
        *_grid(f"Energy per inference by component, placement and time, {over}", *_totals(results), width),
        _view_a(first),
        # chips with memories of their own have a view (c) of their own
        *(_view_c(result) for result in {result.memory.model: result for result in reversed(results)}.values()),
    ]
    return Group(*(part for block in blocks for part in block))


#: a title, a table, and what its marks mean
Block = tuple[Text, Table, Text]


def _block(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Block:
    """The first column is of labels; a row without one ends a section."""
    table = PlainTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for i, heading in enumerate(columns):
        table.add_column(
            Text(heading, justify="right" if i else "left"), justify="right" if i else "left", no_wrap=i > 0, overflow="fold"
        )
    for row in rows:
        if row[0]:
            table.add_row(*row)
        else:
            table.add_section()
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
    scale, unit = _unit([result.total_pj.value - result.components_pj.get("static", NOTHING).value for result in results])
    layers = grouped(dict.fromkeys(row.node for result in results for row in result.rows))
    columns = []
    for result in results:
        by_node = {row.node: row for row in result.rows}
        cells = [_cell([by_node[name] for name in names if name in by_node], scale) for names in layers.values()]
        columns.append([result.hardware, *cells, "", _cell(result.rows, scale)])
    return [f"layer, {unit}", *layers, "", "sum of layers"], columns


def _cell(rows: Sequence[Row], scale: float) -> str:
    more = "+" if any(row.unpriced for row in rows) else " "
    if not any(row.components_pj for row in rows):
        return "?+" if more == "+" else ""
    value = sum(row.priced_pj.value for row in rows) / scale
    return f"{bound_mark(bound for row in rows for bound in row.bounds)}{_number(value)}{more}"


def _totals(results: Sequence[Energy]) -> tuple[list[str], list[list[str]]]:
    """Components with their bands, what it takes, and how long it takes."""
    scale, unit = _unit([result.total_pj.value for result in results])
    used = data.components(results)
    labels = [f"component, {unit}", *used, "total", "", "fits", "cores", "chips", ""]
    labels += ["pipeline, steps", "step, µs", "latency, µs", "inferences per s", f"energy x delay, {unit} ms"]
    columns = []
    for result in results:
        parts = [_band(result.components_pj.get(name), scale) for name in used]
        total = "?" if not result.components_pj else f"{bound_mark(result.bounds)}{_band(result.total_pj, scale)}"
        placed = [result.fits, *("unknown" if n is None else f"{n:,}" for n in (result.cores, result.chips))]
        timed = ["?"] * 5
        if time := result.timing:
            least, most = ("≥ ", "≤ ") if time.unknown else ("", "")
            timed = [f"{time.depth}", f"{least}{_band(time.step_us)}", f"{least}{_band(time.latency_us)}"]
            timed += [f"{most}{_band(time.throughput_per_s)}", f"{least}{_band(result.energy_delay_nj_ms, scale / 1e3)}"]
        columns.append([result.hardware, *parts, total + ("+" if result.unpriced else ""), "", *placed, "", *timed])
    return labels, columns


def _view_a(result: Energy) -> Block:
    """The papers' estimate and what it leaves out."""
    view = result.paper
    scale, unit = _unit([view.snn_pj])
    costs = [("spiking: 0.9 pJ an event, 4.6 an analog MAC", view.snn_pj)]
    costs += [(f"left out: {name}", cost) for name, cost in view.left_out_pj.items()]
    costs += [("spiking with all that", view.total_pj), ("ANN: 4.6 pJ a MAC", view.ann_pj)]
    rows = [(label, _number(cost / scale), f"{cost / view.ann_pj:.3f}" if view.ann_pj else "") for label, cost in costs]
    rows += [(f"left out, no price: {name}", f"{count:,.0f} x ?", "") for name, count in sorted(view.unpriced.items())]
    without = ", ".join(result.encoding) or "none"
    return _block(
        "(a) The papers' estimate, 45 nm", (f"{unit}", "", "of the ANN"), rows, f"left out of both sides, encoding: {without}"
    )


def _view_c(result: Energy) -> Block:
    """Memory included, by layer, with the rate at which spiking would break even."""
    view, steps = result.memory, result.timesteps
    scale, unit = _unit([sum(view.snn_pj.values())])
    columns = (f"layer, {unit}", "spiking", "ANN", "R", "break-even\nR", "R/T", "break-even\nR/T")
    layers = grouped(view.rows)
    rows = [(layer, *_compared([view.rows[name] for name in names], scale, steps)) for layer, names in layers.items()]
    rows += [("",), ("total", *_compared(list(view.rows.values()), scale, steps))]
    return _block(
        f"(c) Memory included ({view.model}), against the ANN with activations of {view.ann_bits} bits",
        columns,
        rows,
        "R: synaptic events per MAC of the ANN   R/T: spikes per neuron and step\n"
        "below break-even spiking costs less than the ANN   never: more without any event",
    )


def _compared(rows: list[MemoryRow], scale: float, steps: int) -> list[str]:
    costs = [sum(sum(parts.values()) for parts in side) for side in ([r.snn_pj for r in rows], [r.ann_pj for r in rows])]
    events, even = together(rows)
    rates = ["", "", "", ""]
    if events is not None:
        rates = [_number(events), _number(even), _number(events / steps), _number(even / steps if even is not None else None)]
    return [*(_number(cost / scale) for cost in costs), *rates]


def _unit(amounts: Sequence[float]) -> tuple[float, str]:
    """The unit in which the smallest amount that is there is at least 1."""
    least = min((amount for amount in amounts if amount > 0), default=0.0)
    return next(((scale, unit) for scale, unit in _UNITS if least >= scale), _UNITS[-1])


def _number(value: float | None) -> str:
    """Three digits, and all before the point."""
    if value is None:
        return "never"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}" if not 0 < abs(value) < 0.001 else f"{value:.1e}"


def _band(band: Band | None, scale: float = 1.0) -> str:
    if band is None:
        return ""
    value = _number(band.value / scale)
    return value if band.exact else f"{value} ({_number(band.low / scale)}-{_number(band.high / scale)})"
