"""Tables in documents: what a command writes stands between two marks, and only that changes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows)]


def block(document: Path, name: str) -> list[str]:
    """The lines that :func:`put` last wrote there. Errors as of that."""
    return _parts(document, name)[1].strip("\n").splitlines()


def put(document: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the marks ``generated: name`` and ``end: name``.

    Raises
    ------
    ValueError
        if a mark is missing; the document is left as it is.
    """
    before, _, after = _parts(document, name)
    document.write_text(before + "\n".join(["", "", *lines, "", ""]) + after)


def _parts(document: Path, name: str) -> tuple[str, str, str]:
    """What stands up to the first mark and with it, between the marks, and from the second on."""
    text, begin, end = document.read_text(), f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    first, last = text.index(begin) + len(begin), text.index(end)
    return text[:first], text[first:last], text[last:]


def put_rows(document: Path, name: str, head: Sequence[str], rows: Sequence[str], mark: str) -> None:
    """Replace the rows that were measured anew, and keep those of other models, in the order in which they stand.

    Parameters
    ----------
    head : lines above the rows, for example the heading of a table
    rows : lines that begin with ``mark`` and the name of their model: ``| digits |`` or ``- **digits**``
    mark : what stands before the name; the next character after it ends the name
    """

    def model(line: str) -> str:
        return line.removeprefix(mark).split(mark.strip()[-1])[0].strip()

    lines = block(document, name)
    headings = {line for line, below in pairwise(lines) if below.startswith("|---")}  # the old one too
    old = [line for line in lines if line.startswith(mark) and line not in headings]
    order = list(dict.fromkeys(model(line) for line in (*old, *rows)))
    measured = {model(row) for row in rows}
    kept = [*rows, *(line for line in old if model(line) not in measured)]
    put(document, name, [*head, *sorted(kept, key=lambda line: order.index(model(line)))])
