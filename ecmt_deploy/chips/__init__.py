"""Chips: declarative limits and prices, every figure with value, unit, source, method and grade of certainty."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path

import msgspec

from ecmt_deploy.chips.schema import (
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
    figures,
    statements,
)
from ecmt_deploy.errors import HardwareError

__all__ = [
    "Abilities", "Ability", "Figure", "Hardware", "Limits", "Memory", "Prices", "Source", "Sourced", "Times",
    "available", "figures", "hardware", "statements",
]  # fmt: skip

_UNITS = {
    "cores_per_chip": "cores", "chips": "chips", "tile_columns": "tiles", "tile_rows": "tiles", "cores_per_tile": "cores",
    "neurons_per_core": "neurons", "fan_in_per_neuron": "synapses", "synaptic_memory_bytes_per_core": "byte",
    "state_memory_bytes_per_core": "byte", "memory_bytes_per_core": "byte", "input_axons_per_core": "axons",
    "output_axons_per_core": "axons", "weight_bits": "bit", "state_bits": "bit", "graded_payload_bits": "bit",
    "payload_bits_per_packet": "bit", "access_bits": "bit", "static_mw": "mW", "barrier": "ns",
}  # fmt: skip


def available() -> list[str]:
    """Names of the chips that come with the project."""
    files = resources.files("hw_configs").iterdir()
    return sorted(
        file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml") and file.name != "template.toml"
    )


def hardware(name: str) -> Hardware:
    """Read a chip by name, or from a ``.toml`` file of one's own.

    Raises
    ------
    HardwareError
        naming file, field, what was found and what was expected.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise HardwareError(f"{name}: no such file; expected a chip description, as in hw_configs/")
        return _decode(name, path.read_bytes())
    if name not in available():
        raise HardwareError(f"unknown chip {name!r}; choose one of {', '.join(available())}, or give a .toml file")
    return _decode(f"{name}.toml", (resources.files("hw_configs") / f"{name}.toml").read_bytes())


def _decode(where: str, content: bytes) -> Hardware:
    try:
        described = msgspec.toml.decode(content, type=Hardware)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise HardwareError(f"{where}: {error}; see the files in hw_configs/ for the fields expected") from None
    for name, statement in statements(described):
        _check(f"{where}: {name}", name.partition(".")[0], statement, described)
    for kind, points in (
        ("barrier", [point.tiles for point in described.times.barrier]),
        ("sram", [point.bytes for point in described.memory.sram] if described.memory else []),
    ):
        if any(a >= b for a, b in zip([0, *points], points, strict=False)):
            raise HardwareError(f"{where}: {kind}: sizes are {points}, expected positive ones in ascending order")
    return described


def _check(where: str, name: str, statement: Sourced, described: Hardware) -> None:
    for key in statement.source:
        if key not in described.sources:
            raise HardwareError(f"{where}: source {key!r} is not in [sources]; add [sources.{key}] with type, title, author, year")
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
