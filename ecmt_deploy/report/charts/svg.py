"""A chart as inline SVG, and as files: text as text, ids of its own, the same bytes for the same data."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec
from urllib.parse import unquote
from xml.etree import ElementTree

from markupsafe import Markup

from ecmt_deploy.report.charts.axes import TIP
from ecmt_deploy.report.charts.palette import THEMED
from ecmt_deploy.report.charts.style import PAGE
from ecmt_deploy.report.csv import Table
from ecmt_deploy.untrusted.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_P = ParamSpec("_P")

#: characters of a name beside a chart
LABEL = 24
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_LONG = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"#([\w-]+)")
_COLOUR = re.compile("|".join(THEMED), re.IGNORECASE)
#: what would differ from one file to the next
_UNDATED: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None}, "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """A chart and the numbers it shows; it is drawn when it is asked for.

    Attributes
    ----------
    name : of its files, and what its ids start with
    alt : text for readers who do not see it
    draw : draws the figure in the style that is set
    """

    name: str
    alt: str
    draw: Callable[[], tuple[Figure, Table]]

    @cached_property
    def _on_page(self) -> tuple[Markup, Table]:
        with _styled(PAGE, self.name):
            made, table = self.draw()
            return svg(made, self.alt), table

    @property
    def svg(self) -> Markup:
        """As a page holds it."""
        return self._on_page[0]

    @property
    def table(self) -> Table:
        """The numbers."""
        return self._on_page[1]

    def files(self, style: Mapping[Any, Any]) -> tuple[dict[str, bytes], Table]:
        """As the contents of files, by suffix, in another style; and the numbers."""
        with _styled(style, self.name):
            made, table = self.draw()
            contents = {}
            for kind, metadata in _UNDATED.items():
                buffer = BytesIO()
                made.savefig(buffer, format=kind, metadata=metadata)
                contents[kind] = buffer.getvalue()
        return contents, table


@contextmanager
def _styled(style: Mapping[Any, Any], name: str) -> Iterator[None]:
    """A style in place of the user's own: names are never mathematics, ids follow from ``name``."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**style, "svg.hashsalt": f"ecmt-deploy {name}"})
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's own fonts draw the text
        yield


def chart(draw: Callable[_P, tuple[Figure, Table]]) -> Callable[Concatenate[str, str, _P], Chart]:
    """Make a function that draws one that returns a chart, whose name and alternative text come first."""

    @functools.wraps(draw)
    def made(name: str, alt: str, *args: _P.args, **kwargs: _P.kwargs) -> Chart:
        return Chart(name, alt, lambda: draw(*args, **kwargs))

    return made


def svg(made: Figure, label: str) -> Markup:
    """Inline SVG with the text ``label`` for readers who do not see it; its ids are of the hash that the style sets.

    Inks and greys are variables of the page, so that they follow its theme.
    """
    buffer = StringIO()
    made.savefig(buffer, format="svg", metadata=_UNDATED["svg"], transparent=True)
    text = buffer.getvalue()
    root = ElementTree.fromstring(text[text.index("<svg") :])
    for parent in root.iter(f"{{{_SVG}}}defs"):
        for style in parent.findall(f"{{{_SVG}}}style"):  # in a page it would speak for everything
            parent.remove(style)
    used = set(_REFERENCE.findall(" ".join(value for element in root.iter() for value in element.attrib.values())))
    for element in list(root.iter()):
        if element.tag != f"{{{_SVG}}}text":
            element.text = None
        element.tail = None
        own = element.get("id", "")
        if own not in used:
            element.attrib.pop("id", None)
        if own.startswith(TIP):
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = "\n".join(map(printable, unquote(own.removeprefix(TIP)).split("\n")))
            element.insert(0, title)
            element.set("pointer-events", "all")
        for name in {"d", "points"}.intersection(element.attrib):
            element.set(name, _LONG.sub(lambda number: f"{float(number[0]):.2f}", element.attrib[name]))
        for name in {"fill", "stroke"}.intersection(element.attrib):  # of hatches; attributes know no variables
            element.set("style", f"{name}: {element.attrib.pop(name)}; {element.get('style', '')}".rstrip("; "))
        if "style" in element.attrib:
            element.set("style", _COLOUR.sub(_variable, element.attrib["style"]))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", printable(label))
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _variable(colour: re.Match[str]) -> str:
    return f"var({THEMED[colour[0].lower()]}, {colour[0]})"


def elided(name: str, length: int = LABEL) -> str:
    """A name short enough for a chart, its end rather than its start: ``blocks.3.attn.qkv`` differs there."""
    name = printable(name)
    head = length // 3
    return name if len(name) <= length else f"{name[:head]}…{name[-(length - head - 1) :]}"
