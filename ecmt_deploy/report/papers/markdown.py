"""Tables as Markdown, of the kind that has tables (GitHub's, MkDocs's, pandoc's)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ecmt_deploy.report.papers.tables import Paper
from ecmt_deploy.untrusted.text import one_line

#: characters with a meaning inside of a line
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~&$]")
#: what makes a line a heading, a list, a quotation or a rule
_FIRST = re.compile(r"^(?:([#+=-])|(\d+)([.)])(?=\s))")


def escaped(text: str) -> str:
    """Text as Markdown shows it, on one line: nothing of it is markup, a link, HTML or the end of a cell."""
    line = _SPECIAL.sub(lambda found: "\\" + found[0], one_line(text))
    return _FIRST.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}", line)


def markdown(tables: Sequence[Paper], made_by: str, cited: Sequence[str] = ()) -> str:
    """Tables one below another; arguments as of :func:`ecmt_deploy.report.papers.latex`."""
    blocks = [f"<!-- {one_line(made_by).replace('>', '&gt;')} -->"]
    for table in tables:
        blocks += [escaped(line) for line in table.intro]
        blocks += [f"**{escaped(table.title)}**"] if table.title else []
        blocks.append("\n".join(_lines(table)))
        blocks += [escaped(note) for note in table.notes]
    if cited:
        blocks.append("Prices: " + ", ".join(f"`{key}`" for key in cited))
    return "\n\n".join(blocks) + "\n"


def _lines(table: Paper) -> list[str]:
    marks = [":--" if left else "--:" for left in table.left]
    rows = [_row(map(escaped, table.header)), _row(marks)]
    for i, section in enumerate(table.sections):
        rows += [_row("" for _ in marks)] if i else []
        rows += [_row(map(escaped, row)) for row in section]
    return rows


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
