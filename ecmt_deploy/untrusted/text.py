"""Text from outside: what a name may hold, and how anything else is shown.

A terminal obeys control characters, a mark of direction makes a line read otherwise than it is, and a spreadsheet computes
what begins like a formula. So text that has no need of them is refused with them (:func:`require_plain`,
:func:`require_names`), and text that is shown or written loses them (:func:`printable`, :func:`one_line`,
:func:`ecmt_deploy.report.csv.to_csv`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

#: invisible, yet Persian, Hindi and many emoji are spelled with them
_JOINERS = "\u200c\u200d"
#: what makes a cell a formula, also in the full width of East Asia; the three spaces are skipped by spreadsheets
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
_BREAK = re.compile(r"\s*[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]\s*")
_LONGEST_NAME = 1000


def printable(text: str) -> str:
    """The text, with U+FFFD in place of every control character, those of direction and lone surrogates too."""
    return text if text.isprintable() else "".join(c if _seen(c) else "\ufffd" for c in text)


def one_line(text: str) -> str:
    """The text on one line: breaks become spaces, other control characters U+FFFD."""
    return text if text.isprintable() else printable(_BREAK.sub(" ", text))


def _seen(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def require_plain(value: Any, where: str, error: type[Exception]) -> None:
    """Refuse control characters in every text of ``value``: a string, or whatever msgspec writes, however deep.

    Raises
    ------
    error
        naming ``where`` and the field.
    """
    import msgspec  # not for --help, which loads this module for its errors

    pending: list[tuple[str, Any]] = [("", msgspec.to_builtins(value))]
    while pending:
        field, item = pending.pop()
        if isinstance(item, dict):
            pending += [(field, key) for key in item] + [(f"{field}.{key}", inner) for key, inner in item.items()]
        elif isinstance(item, list | tuple):
            pending += [(field, inner) for inner in item]
        elif isinstance(item, str) and printable(item) != item:
            at = f"{where}: {field[1:]}" if field else where
            raise error(f"{at}: text is {item!r}, expected one line without control characters or marks of direction")


def require_names(names: Iterable[str], error: type[Exception]) -> None:
    """Refuse names that no module has, and that file, terminal or spreadsheet would take for something else.

    Raises
    ------
    error
        with the first such name.
    """
    for name in names:
        if not (name and name.isprintable() and "/" not in name and name not in (".", "..") and len(name) <= _LONGEST_NAME):
            raise error(f"node {name[:40]!r}: this is no name; expected 1 to {_LONGEST_NAME} printable characters, without '/'")
        if name.startswith(FORMULA):
            raise error(f"node {name!r}: a name that begins with {name[0]!r} is a formula to a spreadsheet; rename the module")


def as_name(path: str) -> str:
    """The module path, with an underscore in place of what :func:`require_names` refuses in it."""
    plain = "".join(c if c.isprintable() and c != "/" else "_" for c in path)
    return f"_{plain[1:]}" if plain.startswith(FORMULA) else plain
