"""Tables in documents: what a command writes stands between two marks, and only that changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows)]


def put(document: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the marks ``generated: name`` and ``end: name``.

    Raises
    ------
    ValueError
        if a mark is missing; the document is left as it is.
    """
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    text = document.read_text()
    before, after = text[: text.index(begin)], text[text.index(end) + len(end) :]
    document.write_text(before + "\n".join([begin, "", *lines, "", end]) + after)
