"""What the terminal shows of a placement: units on cores, and the lines that go with them."""

from __future__ import annotations

from math import prod

from rich import box
from rich.text import Text

from ecmt_deploy.graph import Program
from ecmt_deploy.placement import Placement, Unit
from ecmt_deploy.tables import PlainTable, cores_of

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


def units(placement: Placement, width: int) -> PlainTable:
    """Every unit: its cores, and what the fullest of them uses of each resource; on less than 104 columns only of those whose
    limit is known."""
    uses = {name: unit.use[name] for unit in placement.units for name in _HEADINGS if name in unit.use}
    shown = [name for name in _HEADINGS if name in uses and (width >= 104 or uses[name].limit is not None)]
    title = f"Cores of {placement.hardware}, and what the fullest core of each unit uses"
    table = PlainTable(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("unit", overflow="fold", min_width=16)
    for heading in ("cores", "tile", *(f"{_HEADINGS[name]}\n{_limit(name, uses[name].limit)}" for name in shown)):
        table.add_column(Text(heading, justify="right"), justify="right", no_wrap=True)
    for unit in placement.units:
        more = f" +{len(unit.nodes) - 1}" if len(unit.nodes) > 1 else ""
        tile = f"{unit.rows_per_core}x{unit.columns_per_core}"
        table.add_row(unit.name + more, cores_of(unit), tile, *(_use(unit, name) for name in shown))
    table.caption = Text(
        "+n: nodes that joined it   tile: rows x columns of its outputs on a core   weights, states in KiB\n"
        "* decides how many cores it takes   ! more than a core has   ? unknown limit"
    )
    table.caption_justify = "left"
    return table


def _limit(name: str, limit: int | None) -> str:
    return "of ?" if limit is None else f"of {_amount(name, limit)}"


def _amount(name: str, amount: int) -> str:
    return f"{amount / 1024:,.1f}" if name.endswith("bytes") else f"{amount:,}"


def _use(unit: Unit, name: str) -> str:
    use = unit.use.get(name)
    if use is None:
        return ""
    over = use.limit is not None and use.used > use.limit
    return _amount(name, use.used) + ("!" if over else "*" if unit.binding == name else " ")


def remarks(placement: Placement, program: Program) -> list[str]:
    """The sum, what does not fit, and the assumptions, a line each."""
    line = _plural(placement.cores, "core")
    if placement.chips is not None:
        line += f" on {_plural(placement.chips, 'chip')}"
    sent = {route.source: prod(program.shapes[route.source]) for route in placement.routes}
    packets = sum(route.packets * sent[route.source] for route in placement.routes)
    if packets and placement.mesh is not None:
        hops = sum((route.hops_ew + route.hops_ns) * sent[route.source] for route in placement.routes)
        crossings = sum(route.chip_crossings * sent[route.source] for route in placement.routes)
        line += (
            f"; a packet takes {hops / packets:,.1f} hops and crosses {crossings / packets:,.2f} borders of chips "
            "(mean, if every element sent one message)"
        )
    first = f"fits: {line}" if placement.fits else f"does not fit; what could be placed takes {line}"
    return [first, *(f"! {obstacle.sentence}" for obstacle in placement.obstacles), *placement.assumptions]


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
