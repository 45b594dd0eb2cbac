"""How templates show things: numbers by :mod:`~ecmt_deploy.report.units`, tables as links, names as nothing but text."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec.structs import replace

from ecmt_deploy.chips import Source, citation
from ecmt_deploy.estimation.result import Energy
from ecmt_deploy.placement.result import Unit
from ecmt_deploy.report import data, units
from ecmt_deploy.report.charts.svg import elided
from ecmt_deploy.report.csv import Cell, Table, to_csv
from ecmt_deploy.report.remarks import remarks
from ecmt_deploy.untrusted.text import printable

#: rows of a table that is shown beside its chart; longer ones are only in the CSV
SHOWN = 80
_NAME = 40


def environment() -> Environment:
    """The templates; everything that is put into them is escaped, and freed of what no page may hold."""
    made = Environment(
        loader=PackageLoader("ecmt_deploy.report.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: _lines(value) if type(value) is str else value,
    )
    made.filters.update(
        cell=_cell,
        citation=citation,
        csv=_csv,
        short=lambda name: elided(name, _NAME),
        sum_pj=lambda parts: sum(parts.values()),
        weblink=_weblink,
    )
    script = files("ecmt_deploy.report.html").joinpath("templates/page.js").read_text("utf-8")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    made.globals.update(script=Markup(script), script_hash=f"sha256-{digest}")  # a page runs this script and nothing else
    made.globals.update(SHOWN=SHOWN, components=data.components, held=_held, remarks=_remarks, u=units)
    return made


def _lines(value: str) -> str:
    return "\n".join(printable(line) for line in value.split("\n"))


def _csv(table: Table) -> str:
    """A table as a link that needs no network."""
    return "data:text/csv;charset=utf-8," + quote(to_csv(table), safe=",:")


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    return units.figures(value, 4) if isinstance(value, float) else units.whole(value) if isinstance(value, int) else value


def _remarks(e: Energy, each: str) -> list[str]:
    """What is to be known about its totals; what does not fit, and time, are told elsewhere."""
    return [line[:1].upper() + line[1:] for line in remarks(replace(e, obstacles=(), timing=None), each)]


def _held(unit: Unit) -> list[str]:
    """What a unit's fullest core holds, a phrase a resource."""
    phrases = []
    for name, use in unit.use.items():
        limit = "" if use.limit is None else f" of {units.whole(use.limit)} ({units.percent(use.share)})"
        phrases.append(f"{name.replace('_', ' ')} {units.whole(use.used)}{limit}")
    return phrases


def _weblink(source: Source) -> str:
    """Where a source is on the web; never anything but a web address."""
    if source.doi:
        return f"https://doi.org/{quote(source.doi)}"
    if source.eprint:
        return f"https://arxiv.org/abs/{quote(source.eprint)}"
    return source.url if source.url.startswith(("https://", "http://")) else ""
