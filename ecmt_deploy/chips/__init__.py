"""Chips: declarative limits and prices, every figure with value, unit, source, method and grade of certainty."""

from __future__ import annotations

from importlib import resources
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import msgspec

from ecmt_deploy import call_with
from ecmt_deploy.chips.bibliography import bibtex, citation
from ecmt_deploy.chips.checks import check
from ecmt_deploy.chips.schema import (
    Abilities,
    Ability,
    Figure,
    Hardware,
    Limits,
    Memory,
    Price,
    Source,
    Sourced,
    covered,
    figures,
    statements,
)
from ecmt_deploy.errors import HardwareError, reading
from ecmt_deploy.untrusted.text import require_plain

__all__ = [
    "Abilities", "Ability", "Figure", "Hardware", "Limits", "Memory", "Price", "Source", "Sourced",
    "available", "bibtex", "citation", "covered", "figures", "hardware", "statements", "template",
]  # fmt: skip

_MEND = "`ecmt-deploy hardware --template` prints the fields expected"
_LARGEST_FILE = 1 << 20
#: a TOML reader takes memory that grows with the square of a key's parts: 100,000 parts exhaust a machine
_MOST_DOTS = 200


def available() -> list[str]:
    """Names of the chips that come with the project."""
    files = resources.files("ecmt_deploy.hw_configs").iterdir()
    return sorted(
        file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml") and file.name != "template.toml"
    )


def template() -> str:
    """A chip description to start one's own from, every field with its meaning."""
    return (resources.files("ecmt_deploy.hw_configs") / "template.toml").read_text(encoding="utf-8")


def hardware(chip: str | PathLike[str] | Hardware) -> Hardware:
    """Read a chip by name, or from a ``.toml`` file of one's own; a chip that was read is returned as it is.

    Raises
    ------
    HardwareError
        naming file, field, what was found and what was expected.
    """
    if isinstance(chip, Hardware):
        return chip
    if not isinstance(chip, str | PathLike):
        names = ", ".join(available())
        raise HardwareError(f"{type(chip).__name__} is no chip; choose one of {names}, or give a .toml file")
    name = fspath(chip)
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise HardwareError(f"{name}: no such file; `ecmt-deploy hardware --template` prints one to start from")
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise HardwareError(f"{name}: has {path.stat().st_size:,} byte, expected at most {_LARGEST_FILE:,}")
            content = path.read_bytes()
        except OSError as error:
            raise HardwareError(f"{name}: cannot be read: {error.strerror}") from None
        return _decode(name, content)
    if name not in available():
        raise HardwareError(f"unknown chip {name!r}; choose one of {', '.join(available())}, or give a .toml file")
    return _decode(f"{name}.toml", (resources.files("ecmt_deploy.hw_configs") / f"{name}.toml").read_bytes())


def _decode(where: str, content: bytes) -> Hardware:
    for number, line in enumerate(content.splitlines(), start=1):
        if line.count(b".") > _MOST_DOTS:
            raise HardwareError(f"{where}: line {number} has more than {_MOST_DOTS} dots, expected keys of a few parts")
    with reading(HardwareError, f"{where}: no chip", _MEND):
        document = msgspec.toml.decode(content, type=dict[str, Any])
        prices, times = document.get("prices"), document.get("times")
        if isinstance(times, dict):
            barrier = times.pop("barrier", ())  # no price by name: a field of its own
            document |= {"times": _table(f"{where}: times", times), "times.barrier": barrier}
        if isinstance(prices, dict):
            document["prices"] = _table(f"{where}: prices", prices)
        described = msgspec.convert(document, Hardware)
    require_plain(described, where, HardwareError)
    check(where, described)
    return described


def _table(where: str, entries: dict[str, Any]) -> dict[str, Price]:
    """Prices or times of a file, one by one so that an error names its own; those of functions as ``ecm_op_pj.gelu``."""
    table = {}
    for name, entry in entries.items():
        of_functions = name == "ecm_op_pj" and isinstance(entry, dict)
        for key, price in ((f"{name}.{kind}", one) for kind, one in entry.items()) if of_functions else [(name, entry)]:
            with reading(HardwareError, f"{where}.{key}: no price", _MEND):
                table[key] = msgspec.convert(price, Price)
    return table


call_with(__name__, f"{__name__}:available")  # ``ecmt_deploy.chips()``
