"""Chips: declarative limits and prices, every figure with value, unit, source, method and grade of certainty."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ecmt_deploy.errors import HardwareError

Method = Literal["measured", "simulated", "published", "derived", "assumed"]
Text = Annotated[str, Meta(min_length=1)]


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One figure of a chip.

    Attributes
    ----------
    value, unit : the number and its unit
    source : where it is from
    method : how it was obtained; grades C and D are never ``measured``, ``simulated`` or ``published``
    grade : A read directly in source code, a log or an abstract; B from a secondary transcription; C derived; D conflicting
    bound : whether the true figure may be lower (``upper``) or higher (``lower``) than this one
    derivation : the arithmetic behind a derived value
    covers : prices that are contained in this one, so that nothing is charged twice
    note : what a reader should know
    """

    value: float
    unit: Text
    source: Text
    method: Method
    grade: Literal["A", "B", "C", "D"]
    bound: Literal["exact", "upper", "lower"] = "exact"
    derivation: str = ""
    covers: tuple[str, ...] = ()
    note: str = ""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a core or a chip can hold; a limit that is not given is unknown."""

    cores_per_chip: Figure | None = None
    neurons_per_core: Figure | None = None
    synaptic_memory_bytes_per_core: Figure | None = None
    input_axons_per_core: Figure | None = None
    output_axons_per_core: Figure | None = None
    weight_bits: Figure | None = None
    state_bits: Figure | None = None
    graded_payload_bits: Figure | None = None


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Energy per count, in pJ; a price that is not given is unknown, never zero."""

    synop_pj: Figure | None = None
    mac_pj: Figure | None = None
    neuron_update_active_pj: Figure | None = None
    neuron_update_idle_pj: Figure | None = None
    spike_pj: Figure | None = None
    message_pj: Figure | None = None
    analog_message_pj: Figure | None = None
    hop_pj: Figure | None = None
    static_mw: Figure | None = None
    ecm_op_pj: dict[str, Figure] = {}


class Hardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chip as its file describes it."""

    name: Text
    title: Text
    description: Text
    limits: Limits
    prices: Prices


_UNITS = {
    "cores_per_chip": "cores", "neurons_per_core": "neurons", "synaptic_memory_bytes_per_core": "byte",
    "input_axons_per_core": "axons", "output_axons_per_core": "axons", "weight_bits": "bit", "state_bits": "bit",
    "graded_payload_bits": "bit", "static_mw": "mW",
}  # fmt: skip


def figures(described: Hardware) -> dict[str, Figure]:
    """All figures of a chip by name; prices of ECM functions as ``ecm_op_pj.KIND``."""
    found = {}
    for part in (described.limits, described.prices):
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if isinstance(value, Figure):
                found[name] = value
            elif isinstance(value, dict):
                found |= {f"{name}.{kind}": figure for kind, figure in value.items()}
    return found


def available() -> list[str]:
    """Names of the chips that come with the project."""
    files = resources.files("hw_configs").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


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
    for name, figure in figures(described).items():
        unit = _UNITS.get(name, "pJ")
        if figure.unit != unit:
            raise HardwareError(f"{where}: {name}: unit is {figure.unit!r}, expected {unit!r}")
        if not math.isfinite(figure.value) or figure.value < 0:
            raise HardwareError(f"{where}: {name}: value is {figure.value}, expected a number that is not negative")
        if figure.grade in "CD" and figure.method not in ("derived", "assumed"):
            raise HardwareError(f"{where}: {name}: grade {figure.grade} is {figure.method}, expected derived or assumed")
        unknown = set(figure.covers) - set(Prices.__struct_fields__)
        if unknown:
            raise HardwareError(f"{where}: {name}: covers {sorted(unknown)[0]!r}, expected names of prices")
    return described
