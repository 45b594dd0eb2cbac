"""A matplotlib figure as inline SVG: text as text, ids of its own, the same bytes for the same data."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from xml.etree import ElementTree

from markupsafe import Markup

from ecmt_deploy.untrusted.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: inches, 72 units each: as narrow as a phone, where text of 8 units is then 8 px
WIDTH = 4.7
INK, SOFT, LINE = "#1f2933", "#5b6773", "#d9dee3"
#: Okabe and Ito's palette, without black and yellow, which is too light for a line: safe for colour-blind readers
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
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
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def styled(chart: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function that draws with the style of these pages, whatever the user's own is: names are never mathematics."""

    @functools.wraps(chart)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        import matplotlib

        with matplotlib.rc_context(), warnings.catch_warnings():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's own fonts draw the text
            return chart(*args, **kwargs)

    return drawn


def figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty figure with one set of axes; sizes in inches."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.add_subplot()


def svg(made: Figure, key: str, label: str) -> Markup:
    """Inline SVG with the text ``label`` for readers who do not see it; ``key`` keeps its ids apart from those of others."""
    import matplotlib

    buffer = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "ecmt-deploy"}):
        made.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    root = ElementTree.fromstring(text[text.index("<svg") :])
    for parent in root.iter(f"{{{_SVG}}}defs"):
        for style in parent.findall(f"{{{_SVG}}}style"):  # in a page it would speak for everything
            parent.remove(style)
    used = {target for element in root.iter() for value in element.attrib.values() for target in _targets(value)}
    for element in root.iter():
        if element.tag != f"{{{_SVG}}}text":
            element.text = None
        element.tail = None
        for name, value in list(element.attrib.items()):
            if name == "id":
                if value in used:
                    element.set(name, f"{key}-{value}")
                else:
                    del element.attrib[name]
            elif name == f"{{{_XLINK}}}href" and value.startswith("#"):
                element.set(name, f"#{key}-{value[1:]}")
            elif name in ("clip-path", "style", "fill"):
                element.set(name, _REFERENCE.sub(rf"url(#{key}-\1)", value))
            elif name in ("d", "points"):
                element.set(name, _LONG.sub(lambda number: f"{float(number[0]):.2f}", value))
    root.attrib.pop("width"), root.attrib.pop("height")
    root.attrib.pop("version", None)
    root.set("role", "img")
    root.set("aria-label", printable(label))
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _targets(value: str) -> list[str]:
    return [value[1:]] if value.startswith("#") else _REFERENCE.findall(value)


def elided(name: str, length: int = LABEL) -> str:
    """A name short enough for a chart, its end rather than its start: ``blocks.3.attn.qkv`` differs there."""
    name = printable(name)
    head = length // 3
    return name if len(name) <= length else f"{name[:head]}…{name[-(length - head - 1) :]}"


def si(value: float) -> str:
    """A tick of a logarithmic axis, without mathematics: 0.001, 1, 20, 4k, 10M."""
    if value == 0:
        return "0"
    for limit, scale, suffix in ((1e9, 1e-9, "G"), (1e6, 1e-6, "M"), (1e3, 1e-3, "k")):
        if abs(value) >= limit * 0.9999:
            return f"{value * scale:.3g}{suffix}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.0e}"
