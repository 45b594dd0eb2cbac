"""What the terminal shows of a placement: units on cores, and the lines that go with them."""

from __future__ import annotations

from math import prod

from ecmt_deploy.errors import plural
from ecmt_deploy.placement import Placement, Unit
from ecmt_deploy.program import Program
from ecmt_deploy.report import units
from ecmt_deploy.report.tables.plain import PlainTable

#: sentences about what does not fit, or what nobody has shown, where details are not asked for
MOST_SENTENCES = 3
#: heading of each resource
_HEADINGS = {
    "neurons": "neurons",
    "synaptic_memory_bytes": "weights",
    "state_memory_bytes": "states",
    "memory_bytes": "memory",
    "input_axons": "axons in",
    "output_axons": "axons out",
    "fan_in": "fan-in",
}


def cores(placement: Placement, width: int) -> PlainTable:
    """Every unit: its cores, and what the fullest of them uses of each resource; a column for each if ``width`` allows, else
    those whose limit is known, over several lines."""
    limits = {name: unit.use[name].limit for unit in placement.units for name in _HEADINGS if name in unit.use}
    shown = [name for name in _HEADINGS if name in limits]
    cells = [[_use(unit, name) for name in shown] for unit in placement.units]
    headings = [f"{_HEADINGS[name]}\nof {_amount(name, limits[name])}" for name in shown]
    wide: tuple[int, ...] = (0,)
    if _NAMES + sum(_widest(column) for column in zip(headings, *cells, strict=True)) > width:
        known = [name for name in shown if limits[name] is not None] or shown
        headings, wide = ["used / limit"], (0, 3)
        cells = [[", ".join(_of_limit(unit, name) for name in known if name in unit.use)] for unit in placement.units]
    title = f"Cores of {placement.hardware}, and what the fullest core of each unit uses"
    table = PlainTable(title, "unit", "cores", "tile", *headings, caption=_LEGEND, wide=wide, show_edge=False, pad_edge=True,
                       min_width=78)  # fmt: skip
    table.columns[0].min_width = 16
    for unit, row in zip(placement.units, cells, strict=True):
        more = f" +{len(unit.nodes) - 1}" if len(unit.nodes) > 1 else ""
        table.add_row(unit.name + more, cores_of(unit), f"{unit.rows_per_core}x{unit.columns_per_core}", *row)
    return table


def cores_of(unit: Unit) -> str:
    """First and last core of a unit."""
    if not unit.cores:
        return "none"
    last = unit.first_core + unit.cores - 1
    return str(last) if unit.cores == 1 else f"{unit.first_core}-{last}"


#: columns of the terminal for a unit's name, its cores and its tile
_NAMES = 26 + 10 + 9
_LEGEND = (
    "+n: nodes that joined it   tile: rows x columns of its outputs on a core\n"
    "weights, states, memory in KiB   * decides how many cores   ! more than a core has"
)


def _widest(column: tuple[str, ...]) -> int:
    return 1 + max(len(line) for cell in column for line in cell.split("\n"))


def _amount(name: str, amount: int | None) -> str:
    if amount is None:
        return "?"
    return units.kib(amount) if name.endswith("bytes") else units.whole(amount)


def _use(unit: Unit, name: str) -> str:
    use = unit.use.get(name)
    return "" if use is None else _amount(name, use.used) + (_mark(unit, name) or " ")


def _of_limit(unit: Unit, name: str) -> str:
    use = unit.use[name]
    return f"{_HEADINGS[name]} {_amount(name, use.used)}/{_amount(name, use.limit)}{_mark(unit, name)}"


def _mark(unit: Unit, name: str) -> str:
    limit = unit.use[name].limit
    return "!" if limit is not None and unit.use[name].used > limit else "*" if unit.binding == name else ""


def placement_lines(placement: Placement, program: Program, details: bool = True) -> list[str]:
    """The sum, what does not fit, and the assumptions, a line each; without ``details`` the first, and how many more there
    are."""
    line = placement.verdict
    sent = {route.source: prod(program.shapes[route.source]) for route in placement.routes}
    packets = sum(route.packets * sent[route.source] for route in placement.routes)
    if packets and placement.mesh is not None:
        hops = sum((route.hops_ew + route.hops_ns) * sent[route.source] for route in placement.routes)
        crossings = sum(route.chip_crossings * sent[route.source] for route in placement.routes)
        line += (
            f"; a packet takes {units.figures(hops / packets)} hops and crosses {units.figures(crossings / packets)} borders"
            " of chips (mean, if every element sent one message)"
        )
    first = [*(f"! {obstacle.sentence}" for obstacle in placement.obstacles), *placement.unshown]
    if details:
        return [line, *first, *placement.assumptions]
    more = len(first) - MOST_SENTENCES
    rest = [f"{more:,} more of these"] if more > 0 else []
    rest += [plural(len(placement.assumptions), "assumption")] if placement.assumptions else []
    return [line, *first[:MOST_SENTENCES], *([f"(and {units.listed(rest)}: --details)"] if rest else [])]
