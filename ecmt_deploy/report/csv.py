"""Tables of numbers, and the one way they are written as CSV."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

from ecmt_deploy.untrusted.text import FORMULA, one_line

Cell = str | float | int | None


class Table(NamedTuple):
    """Rows under a header; ``None`` is what is unknown or absent, and never zero."""

    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]]

    def column(self, name: str) -> list[Cell]:
        """One column."""
        at = self.header.index(name)
        return [row[at] for row in self.rows]

    def records(self) -> list[dict[str, Cell]]:
        """Every row by the names of its columns."""
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]


def to_csv(table: Table) -> str:
    """RFC 4180, floats with all their digits, ``None`` as an empty field, every row one line.

    A text that begins like a formula has an apostrophe before it, and so has one that begins with an apostrophe: a
    spreadsheet takes it for text, and who reads the file leaves out the first character of a field if it is an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in (table.header, *table.rows))
    return out.getvalue()


def _cell(value: Cell) -> Cell:
    if not isinstance(value, str):
        return value
    line = one_line(value)
    return f"'{line}" if line.startswith((*FORMULA, "'")) else line
