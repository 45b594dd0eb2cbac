"""A matplotlib figure as inline SVG: text as text, ids of its own, the same bytes for the same data."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec
from xml.etree import ElementTree

from markupsafe import Markup

from ecmt_deploy.report.charts.palette import LINE, SOFT
from ecmt_deploy.report.csv import Table
from ecmt_deploy.untrusted.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_P = ParamSpec("_P")

#: characters of a name beside a chart
LABEL = 22
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8,
    "text.parse_math": False, "axes.formatter.use_mathtext": False, "hatch.linewidth": 0.5, "axes.edgecolor": SOFT,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "grid.color": LINE, "grid.linewidth": 0.6,
    "legend.frameon": False, "figure.constrained_layout.h_pad": 0.06, "figure.constrained_layout.w_pad": 0.06,
}  # fmt: skip
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_LONG = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"#([\w-]+)")


class Chart(NamedTuple):
    """A chart and the numbers it shows; ``name`` is that of its CSV file and starts its ids."""

    name: str
    svg: Markup
    table: Table


def chart(draw: Callable[_P, tuple[Figure, Table]]) -> Callable[Concatenate[str, str, _P], Chart]:
    """Make a function that draws one that returns a chart: its first two arguments are the chart's name and alternative text.

    It draws with the style of these pages, whatever the user's own is: names are never mathematics.
    """

    @functools.wraps(draw)
    def drawn(name: str, alt: str, *args: _P.args, **kwargs: _P.kwargs) -> Chart:
        import matplotlib

        with matplotlib.rc_context(), warnings.catch_warnings():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": f"ecmt-deploy {name}"})
            warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's own fonts draw the text
            made, table = draw(*args, **kwargs)
            return Chart(name, svg(made, alt), table)

    return drawn


def svg(made: Figure, label: str) -> Markup:
    """Inline SVG with the text ``label`` for readers who do not see it; its ids are of the hash that the style sets."""
    buffer = StringIO()
    made.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    root = ElementTree.fromstring(text[text.index("<svg") :])
    for parent in root.iter(f"{{{_SVG}}}defs"):
        for style in parent.findall(f"{{{_SVG}}}style"):  # in a page it would speak for everything
            parent.remove(style)
    used = set(_REFERENCE.findall(" ".join(value for element in root.iter() for value in element.attrib.values())))
    for element in root.iter():
        if element.tag != f"{{{_SVG}}}text":
            element.text = None
        element.tail = None
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        for name in {"d", "points"}.intersection(element.attrib):
            element.set(name, _LONG.sub(lambda number: f"{float(number[0]):.2f}", element.attrib[name]))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", printable(label))
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def elided(name: str, length: int = LABEL) -> str:
    """A name short enough for a chart, its end rather than its start: ``blocks.3.attn.qkv`` differs there."""
    name = printable(name)
    head = length // 3
    return name if len(name) <= length else f"{name[:head]}…{name[-(length - head - 1) :]}"
