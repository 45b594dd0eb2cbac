"""Documents followed to the letter: the files that their code blocks name, entered in a copy of the project."""

from __future__ import annotations

import re
from pathlib import Path

#: a step: a file, the table in it (or none, for a file of its own), and what is entered there
STEP = re.compile(r"```python\n# (\S+?\.py)(?:, in (\S+))?\n(.*?)```", re.DOTALL)


def follow(document: Path, root: Path) -> list[str]:
    """Enter what the document says where it says; the names of the files."""
    named = []
    for name, table, entry in STEP.findall(document.read_text()):
        path = root / name
        if table:
            text = path.read_text()
            (opening,) = re.findall(rf"^{re.escape(table)}\b.*\{{\n", text, re.MULTILINE)
            entry = text.replace(opening, opening + entry)
        path.write_text(entry)
        named.append(name)
    return named
