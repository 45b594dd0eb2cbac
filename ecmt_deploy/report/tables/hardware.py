"""What the terminal shows about chips: the list, and one chip with all that is known and unknown of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ecmt_deploy.chips import Ability, Figure, Hardware, Price, Sourced, citation, covered, statements
from ecmt_deploy.chips.actions import KINDS, PRICES, TIMES, belongs
from ecmt_deploy.chips.overview import priced, size
from ecmt_deploy.chips.recipes import function_prices
from ecmt_deploy.chips.schema import Abilities, Limits, Memory
from ecmt_deploy.report import units
from ecmt_deploy.report.tables.plain import PlainTable

_LEGEND = "≤ at most, ≥ at least; A read in code, a log or an abstract, B transcribed, C derived, D conflicting"


def chips(described: Sequence[Hardware]) -> PlainTable:
    """The chips at hand: name, title, cores, and what can be priced on them."""
    legend = "cores: per chip x chips of the largest system   (part): some of its prices are unknown"
    table = PlainTable("Chips", "name", "title", "cores", "priced", caption=legend, wide=(0, 1, 3), expand=True)
    table.columns[0].no_wrap, table.columns[1].ratio, table.columns[3].ratio = True, 1, 1
    for chip_ in described:
        table.add_row(chip_.name, chip_.title, size(chip_), ", ".join(priced(chip_)))
    return table


def chip(described: Hardware) -> Group:
    """One chip by groups: value, range, method and grade, source of every statement; then what is unknown, by name."""
    numbers = {key: i for i, key in enumerate(described.sources, start=1)}
    parts: list[RenderableType] = [Text(described.title, style="bold"), Text(described.description), Text()]
    for title, rows, lines in _groups(described):
        parts.append(_group(title, rows, numbers) if rows else Text(title, style="italic"))
        parts += [Text(line, style="dim") for line in lines]
        parts.append(Text())
    parts.append(Text("Sources", style="italic"))
    parts += [Text(f"[{numbers[key]}] {key}: {citation(source)}") for key, source in described.sources.items()]
    return Group(*parts, Text(), Text(_LEGEND))


def _groups(described: Hardware) -> Iterator[tuple[str, dict[str, Sourced], list[str]]]:
    """Title, statements, and lines about what is contained elsewhere and what is unknown, per group."""
    given = dict(statements(described))
    groups = {
        "Process": ["node_nm", "supply_v"],
        "Limits": Limits.__struct_fields__,
        "Abilities": Abilities.__struct_fields__,
        "Prices": [name for name in (*PRICES, *described.prices) if not belongs(name, "ecm_op_pj")],
        "Times": [TIMES[0], "barrier", *TIMES[1:], *described.times],
        "Memory": Memory.__struct_fields__,
    }
    for title, fields in groups.items():
        rows = {name: row for name, row in given.items() if name.partition(".")[0] in fields}
        known = {name.partition(".")[0] for name in rows}
        lines = []
        if title in ("Prices", "Times"):
            within = covered(described.prices if title == "Prices" else described.times)
            owners = dict.fromkeys(within.values())
            lines = [f"contained in {owner}: {', '.join(p for p in within if within[p] == owner)}" for owner in owners]
            known |= set(within)
        yield title, rows, lines + _unknown(name for name in fields if name not in known)
        if title == "Prices":
            functions = {name: row for name, row in given.items() if belongs(name, "ecm_op_pj")} | function_prices(described)
            yield "Functions, per element", functions, _unknown(kind for kind in KINDS if f"ecm_op_pj.{kind}" not in functions)
    operations = {name: row for name, row in given.items() if name.startswith("operations.")}
    if operations:
        yield "Arithmetic", operations, []


def _unknown(names: Iterable[str]) -> list[str]:
    listed = ", ".join(names)
    return [f"unknown: {listed}"] if listed else []


def _group(title: str, rows: dict[str, Sourced], numbers: dict[str, int]) -> Group:
    """Two lines a statement: what and how sure, in columns; where it is from and what to know, over the whole width."""
    cells = [[_shown(name), *_cells(row), "".join(f"[{numbers[key]}]" for key in row.source)] for name, row in rows.items()]
    widths = [max(len(line[i]) for line in cells) for i in range(4)]
    parts: list[RenderableType] = [Text(title, style="italic")]
    for row, (name, value, span, method, source) in zip(rows.values(), cells, strict=True):
        columns = [name.ljust(widths[0]), value.rjust(widths[1]), span.ljust(widths[2]), method.ljust(widths[3]), source]
        parts.append(Text("  ".join(column for column in columns if column)))
        derivation = f"= {row.derivation}" if isinstance(row, Figure) and " " in row.derivation else ""
        action = f"per {row.per}" if isinstance(row, Price) and row.per else ""
        if about := "; ".join(text for text in (action, derivation, row.where, row.note) if text):
            parts.append(Padding(Text(about, style="dim"), (0, 0, 0, 4)))
    return Group(*parts)


def _cells(row: Sourced) -> tuple[str, str, str]:
    """Value, range, and method with grade."""
    method = f"{row.method} {row.grade}"
    if isinstance(row, Ability):
        return "yes" if row.value else "no", "", method
    assert isinstance(row, Figure)
    return units.figure(row), units.figure_range(row), method


def _shown(name: str) -> str:
    """The name of a statement without its group."""
    group, _, kind = name.partition(".")
    if group == "barrier":
        return f"barrier ({kind} tile{'' if kind == '1' else 's'})"
    if group == "sram":
        return f"sram ({int(kind):,} byte)"
    return kind or group
