"""How templates show things: numbers and bounds as text, tables as links, names from files as nothing but text."""

from __future__ import annotations

from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec.structs import replace

from ecmt_deploy.chips import Source, citation
from ecmt_deploy.estimation import bound_mark, remarks
from ecmt_deploy.estimation.result import Energy
from ecmt_deploy.evaluation.intervals import measured, percent
from ecmt_deploy.placement.result import Unit
from ecmt_deploy.report import data, text
from ecmt_deploy.report.svg import elided
from ecmt_deploy.untrusted.text import printable, to_csv

#: rows of a table that is shown beside its chart; longer ones are only in the CSV
SHOWN = 80
_NAME = 40
_SPACE = "\u00a0"  # where a line must not break


def environment() -> Environment:
    """The templates; everything that is put into them is escaped, and freed of what no page may hold."""
    made = Environment(
        loader=PackageLoader("ecmt_deploy.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _lines(value) if type(value) is str else value,
    )
    made.filters.update(
        cell=_cell,
        citation=citation,
        count=text.count,
        csv=_csv,
        duration_band=text.duration_band,
        energy=text.energy,
        energy_band=text.energy_band,
        energy_delay_band=text.energy_delay_band,
        measured=lambda share, samples: measured(share, samples).replace(" %", f"{_SPACE}%"),
        number=text.figures,
        number_band=text.number_band,
        percent=percent,
        short=lambda name: elided(name, _NAME),
        sum_pj=lambda parts: sum(parts.values()),
        weblink=_weblink,
    )
    made.globals.update(SHOWN=SHOWN, components=data.components, held=_held, remarks=_remarks, total=_total)
    return made


def _lines(value: str) -> str:
    return "\n".join(printable(line) for line in value.split("\n"))


def _csv(table: data.Table) -> str:
    """A table as a link that needs no network."""
    return "data:text/csv;charset=utf-8," + quote(to_csv(*table), safe=",:")


def _cell(value: data.Cell) -> str:
    if value is None:
        return ""
    return text.figures(value, 4) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def _total(e: Energy, short: bool = False) -> str:
    """A total as it must be read: the sign of its bounds, its range (not if ``short``), and a plus where more has no price."""
    if not e.components_pj:
        return "not priced"
    mark = bound_mark(e.bounds).replace(" ", _SPACE)
    total = text.energy(e.total_pj.value) if short else text.energy_band(e.total_pj)
    return f"{mark}{total}{f'{_SPACE}+' if e.unpriced else ''}"


def _remarks(e: Energy) -> list[str]:
    """What is to be known about its totals; what does not fit, and time, are told elsewhere."""
    lines = [line.removeprefix(f"{e.hardware}: ") for line in remarks(replace(e, obstacles=(), timing=None))]
    return [line[:1].upper() + line[1:] for line in lines]


def _held(unit: Unit) -> list[str]:
    """What a unit's fullest core holds, a phrase a resource."""
    phrases = []
    for name, use in unit.use.items():
        limit = "" if use.limit is None else f" of {use.limit:,} ({text.percent(use.share)})"
        phrases.append(f"{name.replace('_', ' ')} {use.used:,}{limit}")
    return phrases


def _weblink(source: Source) -> str:
    """Where a source is on the web; never anything but a web address."""
    if source.doi:
        return f"https://doi.org/{quote(source.doi)}"
    if source.eprint:
        return f"https://arxiv.org/abs/{quote(source.eprint)}"
    return source.url if source.url.startswith(("https://", "http://")) else ""
