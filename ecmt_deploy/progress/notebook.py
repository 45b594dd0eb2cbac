"""Progress in a notebook: one output of a cell, updated in place, without widgets. Where a kernel is, IPython is."""

from __future__ import annotations

import sys
import time
from html import escape
from importlib import import_module

from ecmt_deploy.untrusted.text import one_line

#: seconds between two updates, which are messages and are kept with the notebook
EVERY_S = 0.5


def in_kernel() -> bool:
    """Whether this process is the kernel of a notebook; IPython at a terminal is none."""
    loaded = sys.modules.get("IPython")
    return loaded is not None and getattr(loaded.get_ipython(), "kernel", None) is not None


class Display:
    """An output of the cell that runs; it looks as the notebook does, light or dark."""

    def __init__(self, text: str, total: float | None) -> None:
        self._shown = time.monotonic()
        display = import_module("IPython.display").display
        self._handle = display(_bundle(text, 0, total), raw=True, display_id=True)

    def show(self, text: str, done: float, total: float | None) -> None:
        """Show how far it is, unless it was shown just now."""
        if (now := time.monotonic()) - self._shown >= EVERY_S:
            self._shown = now
            self._handle.update(_bundle(text, done, total), raw=True)

    def finish(self, text: str) -> None:
        """Leave this line, which may be empty, in place of the bar."""
        self._handle.update({"text/plain": one_line(text), "text/html": escape(one_line(text))}, raw=True)


def _bundle(text: str, done: float, total: float | None) -> dict[str, str]:
    line = one_line(text)
    known = f' value="{done:g}" max="{total:g}"' if total else ""
    return {"text/plain": line, "text/html": f"<progress{known}></progress> {escape(line)}"}
