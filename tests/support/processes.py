"""Processes of a process."""

from __future__ import annotations

import contextlib
from pathlib import Path


def children(pid: int | str = "self") -> set[int]:
    """Those that ``pid`` has started and that have not ended."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            found |= {int(p) for p in (task / "children").read_text().split()}
    return found
