"""What the terminal shows of energy by layer: one chip by component, several side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from ecmt_deploy.estimation import Band, Energy, Row
from ecmt_deploy.program.layers import MAX_LAYERS, grouped
from ecmt_deploy.report import data, units
from ecmt_deploy.report.tables.plain import PlainTable

MARKS = "+ more has no price, ? nothing has   ≤ at most   ≥ at least   ~ both"


def table(title: str, results: Sequence[Energy], width: int) -> Iterator[RenderableType]:
    """One table that is no wider than ``width``: of one chip layers by components, of several by chips. A line says which chips
    it leaves out, those that price nothing and those for which there is no room."""
    priced = [result for result in results if result.components_pj]
    bare = [result.hardware for result in results if not result.components_pj]
    crowded: list[str] = []
    if priced:
        labels, found = columns(priced)
        if len(priced) > 1:
            shown = fitting(labels, found, width)
            crowded, found = [result.hardware for result in priced[shown:]], found[:shown]
        head, *rows = zip(labels, *found, strict=True)
        yield from block(title, head, rows, MARKS)
    if bare:
        yield Text(f"nothing has a price on {', '.join(bare)}")
    if crowded:
        yield Text(f"no room for (--details has all): {', '.join(crowded)}")


def columns(results: Sequence[Energy], most: int = MAX_LAYERS) -> tuple[list[str], list[list[str]]]:
    """Labels and columns of the table, headings first: of one chip its components, of several a column a chip."""
    return _components(results[0], most) if len(results) == 1 else _layers(results, most)


def fitting(labels: list[str], found: list[list[str]], width: int) -> int:
    """How many columns there is room for, at least one."""
    used = max(map(len, labels)) + 2
    for number, column in enumerate(found):
        used += max(map(len, column)) + 2
        if used > width:
            return max(number, 1)
    return len(found)


#: a title, a table, and what its marks mean
Block = tuple[Text, PlainTable, Text]


def block(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Block:
    """A row without a label ends a section."""
    table = PlainTable("", *columns, show_edge=False, pad_edge=True)
    for row in rows:
        table.add_row(*(row if row[0] else ()))
    return Text(title), table, Text(caption)


def grid(title: str, labels: list[str], columns: list[list[str]], width: int, caption: str = MARKS) -> Iterator[Block]:
    """A table of labels (the heading first, empty ones between sections) and columns, divided where it would be too wide."""
    while columns:
        shown = fitting(labels, columns, width)
        head, *rows = zip(labels, *columns[:shown], strict=True)
        columns = columns[shown:]
        yield block(title, head, rows, "" if columns else caption)


def _layers(results: Sequence[Energy], most: int) -> tuple[list[str], list[list[str]]]:
    """Energy of every layer on every chip."""
    nodes = dict.fromkeys(row.node for result in results for row in result.rows)
    sums = [data.summed("sum of layers", result.rows) for result in results]
    scale, unit = units.column_unit([row.priced_pj.value for row in sums])
    columns = []
    for result, whole in zip(results, sums, strict=True):
        cells = [_cell(row, scale) for row in data.by_layer(result, nodes, most)]
        static = result.components_pj.get("static")
        more = ["" if static is None else units.in_column(static.value / scale) + " ", _total(result, scale)]
        columns.append([result.hardware, *cells, "", _cell(whole, scale), *more])
    return [f"layer, {unit}", *grouped(nodes, most), "", "sum of layers", "static", "total"], columns


def _components(result: Energy, most: int) -> tuple[list[str], list[list[str]]]:
    """Energy of every layer on one chip by component."""
    rows = data.by_layer(result, most=most)
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
