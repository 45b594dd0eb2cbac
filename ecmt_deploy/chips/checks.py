"""What a chip's file must keep to beyond its types: names, units, ranges, sources; whatever does not is refused in one line."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

from ecmt_deploy.chips.actions import ACTIONS, FUNCTION_PRICES, KINDS, PRICES, TIMES
from ecmt_deploy.chips.bibliography import check_source
from ecmt_deploy.chips.schema import OPERATIONS, Figure, Hardware, Limits, Price, Sourced, covered, statements
from ecmt_deploy.errors import HardwareError

_UNITS = {
    "cores_per_chip": "cores", "chips": "chips", "chip_columns": "chips", "tile_columns": "tiles", "tile_rows": "tiles",
    "cores_per_tile": "cores",
    "neurons_per_core": "neurons", "fan_in_per_neuron": "synapses", "synaptic_memory_bytes_per_core": "byte",
    "synaptic_entry_bits": "bit", "weights_per_entry_convolution": "weights", "weights_per_entry_dense": "weights",
    "state_memory_bytes_per_core": "byte", "memory_bytes_per_core": "byte", "input_axons_per_core": "axons",
    "output_axons_per_core": "axons", "weight_bits": "bit", "state_bits": "bit", "graded_payload_bits": "bit",
    "payload_bits_per_packet": "bit", "access_bits": "bit", "barrier": "ns",
    "node_nm": "nm", "supply_v": "V",
}  # fmt: skip
#: limits that are averages, so not whole
_AVERAGES = ("weights_per_entry_convolution", "weights_per_entry_dense")
#: by the end of a name
_ENDS = {"_mw": "mW", "_ns": "ns"}
#: of components: none that tables have another column for
_NAME = re.compile(r"(?!(static|total|priced|value|memory_snn|memory_ann|(.*_)?low|(.*_)?high)$)[a-z][a-z0-9_]*")


def check(where: str, described: Hardware) -> None:
    """Refuse a chip whose file says what cannot be.

    Raises
    ------
    HardwareError
        naming file, field, what was found and what was expected.
    """
    for key, source in described.sources.items():
        check_source(where, key, source)
    if unknown := sorted(described.operations.keys() - OPERATIONS):
        raise HardwareError(f"{where}: operations: there is no {unknown[0]!r}; expected names of {', '.join(OPERATIONS)}")
    _check_table(f"{where}: prices", described.prices, (*PRICES, *FUNCTION_PRICES))
    _check_table(f"{where}: times", described.times, TIMES)
    for name, statement in statements(described):
        _check_statement(f"{where}: {name}", name.partition(".")[0], statement, described)
    _check_order(where, "barrier", [point.tiles for point in described.barrier])
    _check_order(where, "sram", [point.bytes for point in described.memory.sram] if described.memory else [])
    _check_mesh(where, described.limits)
    _check_entries(where, described.limits)


def _check_table(where: str, table: Mapping[str, Price], usual: Collection[str]) -> None:
    """A usual name says by itself what it is per; a component of the chip's own says it in ``per``."""
    within = covered(table)
    for name, price in table.items():
        if name not in usual:
            _check_own(f"{where}.{name}", name, price.per, usual)
        elif price.per:
            raise HardwareError(f"{where}.{name}: is a usual name, per one action; leave out `per`, or take another name")
        if unknown := sorted(set(price.covers) - {*usual, *table}):
            raise HardwareError(f"{where}.{name}: covers {unknown[0]!r}, expected names of prices")
        if owner := within.get(name):
            raise HardwareError(f"{where}.{name}: {name} is given and also covered by {owner}; leave one out")


def _check_own(where: str, name: str, per: str, usual: Collection[str]) -> None:
    actions = [action for action, entry in ACTIONS.items() if (entry.time is not None if usual is TIMES else entry.price)]
    if per not in (*actions, *(f"ecm_ops.{kind}" for kind in KINDS)):
        near = "".join(f"; is it {match}?" for match in get_close_matches(name, usual, n=1))
        known = ", ".join([*actions, f"ecm_ops.{KINDS[0]}"])
        raise HardwareError(f"{where}: is no usual name{near}; per is {per!r}, expected one of {known}, ..")
    end = "_ns" if usual is TIMES else "_mw" if per == "chip_time" else "_pj"
    if not _NAME.fullmatch(name.removesuffix(end)) or not name.endswith(end):
        raise HardwareError(f"{where}: expected small letters, digits, _ and the end {end}, and no name of a column of tables")


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


def _check_entries(where: str, limits: Limits) -> None:
    """Entries of the memory of weights, and what they hold, are told together, and no more weights than an entry has bits."""
    for name in _AVERAGES:
        packed = getattr(limits, name)
        if packed is None:
            continue
        if limits.synaptic_entry_bits is None or limits.weight_bits is None:
            raise HardwareError(f"{where}: {name} is given, expected synaptic_entry_bits and weight_bits with it")
        most = limits.synaptic_entry_bits.value / limits.weight_bits.value
        if max(packed.value, packed.high or 0) > most:
            found = f"{where}: {name} is {packed.value:g}, up to {packed.high or packed.value:g}"
            raise HardwareError(f"{found}, expected at most synaptic_entry_bits / weight_bits = {most:g}")


def _check_statement(where: str, name: str, statement: Sourced, described: Hardware) -> None:
    for key in statement.source:
        if key not in described.sources:
            raise HardwareError(
                f"{where}: source {key!r} is not in [sources]; add [sources.{key}] with type, title, author, year"
            )
    if statement.grade in "CD" and statement.method not in ("derived", "assumed"):
        raise HardwareError(f"{where}: grade {statement.grade} is {statement.method}, expected derived or assumed")
    if not isinstance(statement, Figure):
        return
    unit = _UNITS.get(name) or _ENDS.get(name[-3:], "pJ")
    if statement.unit != unit:
        raise HardwareError(f"{where}: unit is {statement.unit!r}, expected {unit!r}")
    low, high = statement.span
    for value in (low, statement.value, high):
        if not math.isfinite(value) or value < 0:
            raise HardwareError(f"{where}: value is {value}, expected a number that is not negative")
    if not low <= statement.value <= high:
        raise HardwareError(f"{where}: value {statement.value} is outside its range, {low} to {high}")
    if name in _AVERAGES:
        if not low:
            raise HardwareError(f"{where}: value is {low}, expected more than 0 {unit}")
    elif unit not in ("pJ", "ns", "mW", "V"):
        for value in (low, statement.value, high):
            if value < 1 or value != int(value):
                raise HardwareError(f"{where}: value is {value}, expected a whole number of {unit}, at least 1")
