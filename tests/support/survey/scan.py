"""What the rule says of every file of timm, kept beside this file: telling takes minutes, and a new timm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm

from tests.support.survey import timm_families

FILE = Path(__file__).with_name("timm.json")


def scanned() -> list[dict[str, Any]]:
    """The record of every file, with the release that it is of."""
    return json.loads(FILE.read_text())["files"]


def scan() -> None:
    """Tell it anew."""
    found = [timm_families.scan(file) for file in timm_families.files()]
    write(found)


def write(found: list[dict[str, Any]]) -> None:
    lines = ",\n".join(f" {json.dumps(record)}" for record in found)
    FILE.write_text(f'{{"timm": "{timm.__version__}", "files": [\n{lines}\n]}}\n')
