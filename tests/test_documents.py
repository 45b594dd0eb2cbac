"""What documents tell people to type exists: verbs, their options, names of Python, files and headings that are linked to."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

import ecmt_deploy
from ecmt_deploy.cli.app import VERBS, app

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.ipynb")),
]
#: a verb and what follows it, to the end of the line or of the code
_COMMAND = re.compile(r"(?<=[\s`$(])ecmt-deploy +(?=[a-z])([\w-]+)((?:\\\n|[^`\n|;#])*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
#: behind the word "ecmt-deploy" in prose
_PROSE = {"without"}


@cache
def options(verb: str) -> set[str]:
    console = Console(file=io.StringIO(), width=300)
    app.help_print([verb], console=console)
    return {*_OPTION.findall(console.file.getvalue()), "--help"}


def unknown(text: str) -> list[str]:
    """Verbs and options in command lines that there are not, and names of Python."""
    found = []
    for verb, rest in _COMMAND.findall(text):
        if verb not in VERBS:
            found += [] if verb in _PROSE else [verb]
            continue
        found += [f"{verb} {option}" for option in _OPTION.findall(rest) if option not in options(verb)]
    names = set(re.findall(r"\b(?:ecmt|ecmt_deploy)\.([a-z]\w*|[A-Z]\w*)\(", text))
    return found + [f"ecmt.{name}" for name in sorted(names - set(ecmt_deploy.__all__))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_typed_exists(path):
    assert unknown(path.read_text()) == []


def test_a_name_that_does_not_exist_is_found():
    assert unknown("`ecmt-deploy fly p.nir`, `ecmt-deploy energy run --colour red`, `ecmt.fly(x)` and `ecmt.load(x)`") == [
        "fly", "energy --colour", "ecmt.fly",
    ]  # fmt: skip
    assert unknown("ecmt-deploy convert m --data d --out p.nir | tail --lines 3") == []
