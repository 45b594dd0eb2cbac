"""What the terminal shows, read as tables: title, header, sections of rows, and notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ecmt_deploy.untrusted.text import one_line

_APART = re.compile(" {3,}")


class Paper(NamedTuple):
    """One table, its text as it is read: nothing is escaped yet, and every text is one line.

    Attributes
    ----------
    title : what the table shows
    header : headings of its columns, with units
    left : whether a column is of text, which stands to the left; numbers stand to the right
    sections : rows between rules; totals are a section of their own
    intro, notes : sentences before and below it
    """

    title: str
    header: tuple[str, ...]
    left: tuple[bool, ...]
    sections: tuple[tuple[tuple[str, ...], ...], ...]
    intro: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows, of all sections together."""
        return sum(map(len, self.sections))


def papers(parts: Iterable[Any]) -> list[Paper]:
    """Tables of what the terminal shows, in their order.

    Text right before a table without a title is its title. Other text belongs to the table before it, and to the first where
    there is none before. What is no table and no text is left out.
    """
    found: list[Paper] = []
    waiting: list[str] = []
    for part in _flat(parts):
        if isinstance(part, Table):
            table = _paper(part)
            if not table.title and waiting:
                table = table._replace(title=waiting.pop())
            if found:
                found[-1] = found[-1]._replace(notes=(*found[-1].notes, *waiting))
            else:
                table = table._replace(intro=tuple(waiting))
            found.append(table)
            waiting = []
        else:
            waiting += _lines(part)
    if found:
        found[-1] = found[-1]._replace(notes=(*found[-1].notes, *waiting))
    return found


def _flat(parts: Iterable[Any]) -> Iterator[Table | str]:
    for part in parts:
        if isinstance(part, Group):
            yield from _flat(part.renderables)
        elif isinstance(part, Table):
            yield part
        elif isinstance(part, str | Text):
            yield _plain(part)


def _plain(text: Any) -> str:
    return text.plain if isinstance(text, Text) else str(text or "")


def _lines(text: str) -> list[str]:
    """Lines of a text; what stands apart in one of them, as the marks of a legend do, is set apart by semicolons."""
    return [_APART.sub("; ", one_line(line).strip()) for line in text.splitlines() if line.strip()]


def _paper(table: Table) -> Paper:
    columns = [[one_line(_plain(cell)).strip() for cell in column.cells] for column in table.columns]
    sections: list[list[tuple[str, ...]]] = [[]]
    for row, cells in zip(table.rows, zip(*columns, strict=True), strict=True):
        sections[-1].append(cells)
        if row.end_section:
            sections.append([])
    return Paper(
        title=" ".join(_lines(_plain(table.title))),
        header=tuple(" ".join(_lines(_plain(column.header))) for column in table.columns),
        left=tuple(column.justify == "left" for column in table.columns),
        sections=tuple(tuple(section) for section in sections if section),
        notes=tuple(_lines(_plain(table.caption))),
    )
