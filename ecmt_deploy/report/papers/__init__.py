"""The tables that a verb shows, as LaTeX and as Markdown: for papers, slides and issues.

Every table comes through :func:`papers` from what the terminal shows, so that a figure in a paper is the figure on the screen.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.files import write_atomically
from ecmt_deploy.report.papers.latex import latex
from ecmt_deploy.report.papers.markdown import markdown
from ecmt_deploy.report.papers.sources import bibliography, cited
from ecmt_deploy.report.papers.tables import Paper, papers

__all__ = ["SUFFIXES", "Paper", "bibliography", "cited", "latex", "made_by", "markdown", "papers", "write_tables"]

#: kinds of file that take tables, and how many characters a row may have there: a page is as wide as it is, Markdown scrolls
SUFFIXES = {".tex": 100, ".md": 1000}
#: under which name the command line is started
_COMMANDS = ("ecmt-deploy", "ecmt-deploy.exe", "__main__.py")


def made_by() -> str:
    """Which command made a file, and its version; from a notebook or a script only the version."""
    from ecmt_deploy import __version__

    name = Path(sys.argv[0]).name if sys.argv else ""
    command = f": {shlex.join(['ecmt-deploy', *sys.argv[1:]])}" if name in _COMMANDS else ""
    return f"ecmt-deploy {__version__}{command}"


def write_tables(out: Path, shown: Sequence[Any], keys: Iterable[str] = (), notes: Sequence[str] = ()) -> None:
    """Write tables as the suffix says: ``.tex`` for LaTeX (booktabs), ``.md`` for Markdown.

    Parameters
    ----------
    out : file to write, whole or not at all
    shown : what the terminal shows, tables and text in their order; a function is called with the width that a row may have
    keys : of the BibTeX entries that the figures are from
    notes : what stands below the last table, too

    Raises
    ------
    ConfigError
        if nothing of what is shown is a table.
    """
    suffix = out.suffix.lower()
    found = papers(each(SUFFIXES[suffix]) if callable(each) else each for each in shown)
    if not found:
        raise ConfigError(f"{out}: what is shown has no table; --json has all of it")
    if notes:
        found[-1] = found[-1]._replace(notes=(*found[-1].notes, *notes))
    write = latex if suffix == ".tex" else markdown
    write_atomically(out, write(found, made_by(), tuple(keys)))
