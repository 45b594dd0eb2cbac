"""The command line, run in the process of the tests."""

from __future__ import annotations

import sys
from pathlib import Path

from ecmt_deploy.cli import entry


def run(arguments: list[str], capsys, monkeypatch, cwd: Path) -> tuple[int, str, str]:
    """Exit status, output and error output of one command, run in this process."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", ["ecmt-deploy", *arguments])
    status = 0
    try:
        entry.main()
    except SystemExit as end:
        status = int(end.code or 0)
    out, err = capsys.readouterr()
    return status, out, err
