"""The one kind of table that the terminal shows."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text


class PlainTable(Table):
    """A table whose cells are shown as they are: names come from files, and must not be read as markup.

    The first column is of names and breaks them; numbers stand to the right and are never broken.

    Parameters
    ----------
    title, caption : above and below the table
    headings : of the columns
    wide : columns of text, to the left and over several lines
    options : of rich's tables
    """

    def __init__(self, title: str, *headings: str, caption: str = "", wide: tuple[int, ...] = (0,), **options: Any) -> None:
        look = {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0), "pad_edge": False}
        super().__init__(title_justify="left", caption_justify="left", **{**look, **options})
        self.title, self.caption = (Text(words) if words else None for words in (title, caption))
        for i, heading in enumerate(headings):
            justify: Any = "left" if i in wide else "right"
            self.add_column(Text(heading, justify=justify), justify=justify, no_wrap=i not in wide, overflow="fold")

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row of strings; one without any cell ends a section."""
        if cells:
            super().add_row(*(Text(cell) for cell in cells), **options)
        else:
            self.add_section()
