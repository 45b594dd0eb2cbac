"""Chips: declarative limits and prices, every figure with value, unit, source, method and grade of certainty."""

from __future__ import annotations

import math
import sys
from importlib import resources
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType

import msgspec

from ecmt_deploy.chips.bibliography import bibtex, check_source, citation
from ecmt_deploy.chips.schema import (
    KINDS,
    OPERATIONS,
    Abilities,
    Ability,
    Figure,
    Hardware,
    Limits,
    Memory,
    Prices,
    Source,
    Sourced,
    Times,
    covered,
    figures,
    statements,
)
from ecmt_deploy.errors import HardwareError, reading
from ecmt_deploy.untrusted.text import require_plain

__all__ = [
    "Abilities", "Ability", "Figure", "Hardware", "Limits", "Memory", "Prices", "Source", "Sourced", "Times",
    "available", "bibtex", "citation", "covered", "figures", "hardware", "statements", "template",
]  # fmt: skip

_UNITS = {
    "cores_per_chip": "cores", "chips": "chips", "tile_columns": "tiles", "tile_rows": "tiles", "cores_per_tile": "cores",
    "neurons_per_core": "neurons", "fan_in_per_neuron": "synapses", "synaptic_memory_bytes_per_core": "byte",
    "state_memory_bytes_per_core": "byte", "memory_bytes_per_core": "byte", "input_axons_per_core": "axons",
    "output_axons_per_core": "axons", "weight_bits": "bit", "state_bits": "bit", "graded_payload_bits": "bit",
    "payload_bits_per_packet": "bit", "access_bits": "bit", "static_mw": "mW", "barrier": "ns",
}  # fmt: skip

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
    with reading(HardwareError, f"{where}: no chip", "`ecmt-deploy hardware --template` prints the fields expected"):
        described = msgspec.toml.decode(content, type=Hardware)
    require_plain(described, where, HardwareError)
    for key, source in described.sources.items():
        check_source(where, key, source)
    _check_names(where, "prices.ecm_op_pj", described.prices.ecm_op_pj, KINDS)
    _check_names(where, "operations", described.operations, OPERATIONS)
    for name, statement in statements(described):
        _check(f"{where}: {name}", name.partition(".")[0], statement, described)
    for price, owner in covered(described).items():
        if getattr(described.prices, price):
            raise HardwareError(
                f"{where}: {price} is given and also covered by {owner}: it would be charged twice; leave one out"
            )
    _check_order(where, "barrier", [point.tiles for point in described.times.barrier])
    _check_order(where, "sram", [point.bytes for point in described.memory.sram] if described.memory else [])
    _check_mesh(where, described.limits)
    return described


def _check_names(where: str, group: str, given: dict[str, Figure], known: tuple[str, ...]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise HardwareError(f"{where}: {group}: there is no {unknown[0]!r}; expected names of {', '.join(known)}")


def _check_order(where: str, group: str, sizes: list[int]) -> None:
    if any(a >= b for a, b in zip([0, *sizes], sizes, strict=False)):
        raise HardwareError(f"{where}: {group}: sizes are {sizes}, expected positive ones in ascending order")


def _check_mesh(where: str, limits: Limits) -> None:
    mesh = (limits.tile_columns, limits.tile_rows, limits.cores_per_tile)
    if limits.cores_per_chip is not None and all(mesh):
        places = math.prod(int(figure.value) for figure in mesh if figure is not None)
        if places < limits.cores_per_chip.value:
            raise HardwareError(
                f"{where}: cores_per_chip is {limits.cores_per_chip.value:g}, expected at most the {places} of "
                "tile_columns x tile_rows x cores_per_tile"
            )


def _check(where: str, name: str, statement: Sourced, described: Hardware) -> None:
    for key in statement.source:
        if key not in described.sources:
            raise HardwareError(
                f"{where}: source {key!r} is not in [sources]; add [sources.{key}] with type, title, author, year"
            )
    if statement.grade in "CD" and statement.method not in ("derived", "assumed"):
        raise HardwareError(f"{where}: grade {statement.grade} is {statement.method}, expected derived or assumed")
    if not isinstance(statement, Figure):
        return
    unit = _UNITS.get(name, "ns" if name.endswith("_ns") else "pJ")
    if statement.unit != unit:
        raise HardwareError(f"{where}: unit is {statement.unit!r}, expected {unit!r}")
    low = statement.value if statement.low is None else statement.low
    high = statement.value if statement.high is None else statement.high
    for value in (low, statement.value, high):
        if not math.isfinite(value) or value < 0:
            raise HardwareError(f"{where}: value is {value}, expected a number that is not negative")
    if not low <= statement.value <= high:
        raise HardwareError(f"{where}: value {statement.value} is outside its range, {low} to {high}")
    if unit not in ("pJ", "ns", "mW") and (statement.value < 1 or statement.value != int(statement.value)):
        raise HardwareError(f"{where}: value is {statement.value}, expected a whole number of {unit}, at least 1")
    unknown = set(statement.covers) - set(Prices.__struct_fields__)
    if unknown:
        raise HardwareError(f"{where}: covers {sorted(unknown)[0]!r}, expected names of prices")


class _Chips(ModuleType):
    def __call__(self) -> list[str]:
        """Names of the chips that come with the project."""
        return available()


# ``ecmt_deploy.chips`` is this package as soon as anything imports it, and it is the verb ``chips()`` as well
sys.modules[__name__].__class__ = _Chips
