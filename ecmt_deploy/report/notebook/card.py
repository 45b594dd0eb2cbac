"""A card: what a result is, the answer in a sentence, and a few figures, in 2,000 characters of HTML at most.

It takes its colours from the notebook, light or dark, and everything it quotes is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ecmt_deploy.untrusted.text import one_line

#: characters of a card, and of a sentence and of a cell within it, before they are escaped
LONGEST, _SENTENCE, _CELL = 2000, 300, 60
#: characters of a sentence and of a cell that escaping may make of them
_ESCAPED_SENTENCE, _ESCAPED_CELL = 500, 100

_BEGIN, _END = '<div style="line-height:1.5">', "</div>"
_TABLE, _TABLE_END = '<table style="margin:.3em 0">', "</table>"
_SMALL, _SMALL_END = '<div style="opacity:.75;font-size:90%">', "</div>"


def card(kind: str, answer: str, header: Sequence[str] = (), rows: Iterable[Sequence[str]] = (), note: str = "") -> str:
    """A card.

    Parameters
    ----------
    kind : what the result is
    answer : what a person wants to know first
    header, rows : a table under it, whose first column are names; rows that have no room are left out, and it is said how many
    note : what else there is, in small
    """
    begin = f"{_BEGIN}<b>{escape(kind)}</b>: {_clipped(answer, _SENTENCE, _ESCAPED_SENTENCE)}"
    end = (f"{_SMALL}{_clipped(note, _SENTENCE, _ESCAPED_SENTENCE)}{_SMALL_END}" if note else "") + _END
    lines, found = [], list(rows)
    room = LONGEST - len(begin) - len(end) - len(_TABLE + _TABLE_END) - len(_more(len(found)))
    for cells in ([header] if header else []) + found:
        line = _row(cells, "th" if cells is header else "td")
        room -= len(line)
        if room < 0:
            break
        lines.append(line)
    missing = len(found) + bool(header) - len(lines)
    table = f"{_TABLE}{''.join(lines)}{_TABLE_END}" if lines else ""
    return f"{begin}{table}{_more(missing) if missing else ''}{end}"


def _more(rows: int) -> str:
    return f"{_SMALL}and {rows:,} more{_SMALL_END}"


def _row(cells: Sequence[str], tag: str) -> str:
    first, *others = (_clipped(cell, _CELL, _ESCAPED_CELL) for cell in cells)
    left = f'<{tag} style="text-align:left">'
    return f"<tr>{left}{first}</{tag}>{''.join(f'<{tag}>{cell}</{tag}>' for cell in others)}</tr>"


def _clipped(text: str, longest: int, longest_escaped: int) -> str:
    """Text for HTML, on one line, with an ellipsis where it is too long."""
    line = one_line(text)
    shown = line if len(line) <= longest else f"{line[: longest - 1]}…"
    while len(escape(shown)) > longest_escaped:
        shown = f"{shown[: len(shown) * 3 // 4]}…"
    return escape(shown)
