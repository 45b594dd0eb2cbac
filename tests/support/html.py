"""Pages as tests read them: tags in balance, charts and the numbers they hold."""

from __future__ import annotations

import csv
import io
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from urllib.parse import unquote
from xml.etree import ElementTree

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

SVG = "{http://www.w3.org/2000/svg}"
#: elements that have no end tag
VOID = {"meta", "br"}
#: the one script of a page
SCRIPT = files("ecmt_deploy.report.html").joinpath("templates/page.js").read_text("utf-8")


class Reader(HTMLParser):
    """Tags in balance, ids, and references."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "xlink:href") and value.startswith("#"):
                self.references.append(value[1:])
            self.references += re.findall(r"url\(#([^)]*)\)", value or "") if name in ("style", "clip-path", "fill") else []

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def tables(page: str) -> dict[str, list[dict[str, str]]]:
    """The CSV files a page holds."""
    found = re.findall(r'download="([^"]*)\.csv" href="data:text/csv;charset=utf-8,([^"]*)"', page)
    return {name: list(csv.DictReader(io.StringIO(unquote(content)))) for name, content in found}


def require_alone(page: str, name: str = "-") -> None:
    """A page is well formed, fetches nothing but what a hostile ``name`` in it says, and every reference has its target."""
    assert page.count(f"<script>{SCRIPT}</script>") == 1
    assert f"script-src 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'" in page, "nothing else may run"
    page = page.replace(f"<script>{SCRIPT}</script>", "")
    read = Reader(page)
    assert "script" not in read.tags
    for fetched in ("<script", "src=", "@import", "url(http", "<link", "javascript:"):
        assert fetched not in page.replace(name, "")
    assert set(read.references) <= set(read.ids), "every reference within the page has its target"
    assert len(read.ids) == len(set(read.ids))
    assert not re.search("[\x00-\x08\x0b-\x1f]", page)
    for drawing in drawings(page):
        assert drawing.get("role") == "img"
        assert drawing.get("aria-label")
        assert drawing.get("width") is None, "as wide as there is room"


def require_numbers(page: str) -> None:
    """Every chart of a page has its numbers beside it."""
    figures = re.findall(r'<figure id="([^"]*)">(.*?)</figure>', page, re.DOTALL)
    assert len(figures) == page.count("<svg")
    for figure, content in figures:
        assert f'download="{figure}.csv"' in content
        assert len(tables(page)[figure]) >= 1


@cache
def width_of(content: str) -> float:
    """Of a line of text of size 1."""
    return TextPath((0, 0), content, size=1, prop=FontProperties(family="DejaVu Sans")).get_extents().width


def require_text_within(page: str) -> None:
    """No text of a chart leaves it."""
    for drawing in drawings(page):
        _, _, width, height = map(float, drawing.get("viewBox").split())
        for element in drawing.iter(f"{SVG}text"):
            content, style = element.text or "", element.get("style")
            if not content.strip() or "\ufffd" in content:
                continue
            size = float(re.search(r"font-size: ([\d.]+)px", style)[1])
            long = size * width_of(content.replace("$", "S"))
            anchor = re.search("text-anchor: (middle|end)", style)
            before = {None: 0.0, "middle": long / 2, "end": long}[anchor and anchor[1]]
            turned = "rotate(-90" in element.get("transform", "")
            if element.get("x") is not None:
                x, y = float(element.get("x")), float(element.get("y"))
            else:
                x, y = map(float, re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform")).groups())
            start, end, across = (
                (height - y - before, height - y - before + long, x) if turned else (x - before, x - before + long, y)
            )
            assert start >= -1, content
            assert end <= (height if turned else width) + 1, content
            assert 0 <= across <= (width if turned else height), content
