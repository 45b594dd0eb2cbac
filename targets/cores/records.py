"""The files of a placed program: ``cores.json`` says what every core holds, ``arrays.npz`` has the numbers; docs/cores.md."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

RECORD, ARRAYS = "cores.json", "arrays.npz"
FORMAT, VERSION = "ecmt-deploy cores", 1
#: arrays of ``arrays.npz``: one flat array of each dtype that is used
DTYPES = ("int8", "int16", "int32", "int64", "bool")


class ArrayRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """An array: ``prod(shape)`` elements of the flat array ``dtype`` from element ``at`` on, row-major."""

    dtype: Literal["int8", "int16", "int32", "int64", "bool"]
    at: int
    shape: tuple[int, ...]


class AxonRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Element ``elements[i]`` of the stream of node ``emitter`` is put down in slot ``slots[i]``."""

    emitter: str
    elements: ArrayRef
    slots: ArrayRef


class ConstantsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``values[i]`` stands in slot ``slots[i]``."""

    slots: ArrayRef
    values: ArrayRef


class InletRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operand of a group; fields as of :class:`~targets.cores.layout.Inlet`."""

    shape: tuple[int, ...]
    spiking: bool
    axons: list[AxonRecord]
    first: ConstantsRecord
    later: ConstantsRecord
    together: ArrayRef | None
    counted: ArrayRef | None


class GroupRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group of neurons; ``fields``, ``arrays``, ``parameters``, ``format`` and ``format_arrays`` are those of its op."""

    node: str
    op: str
    fields: dict[str, Any]
    arrays: dict[str, ArrayRef]
    parameters: dict[str, ArrayRef]
    format: dict[str, Any]
    format_arrays: dict[str, ArrayRef]
    elements: ArrayRef
    together: ArrayRef | None
    inlets: list[InletRecord]


class CoreRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A core: its chip, column and row of its tile over all chips (zeros where unknown), and its groups in order."""

    chip: int
    column: int
    row: int
    groups: list[GroupRecord]


class NodeRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node of the program; fields as of :class:`~targets.cores.layout.Node`."""

    role: str
    shape: tuple[int, ...]
    place: int
    extra: int
    packets: int
    encoding: bool
    network_macs: int | None
    always: bool


class LayoutRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A placed program; core i is ``cores[i]``."""

    file_format: str
    version: int
    hardware: str
    mesh: tuple[int, int, int] | None
    chip_columns: int
    image: dict[str, int]
    nodes: dict[str, NodeRecord]
    cores: list[CoreRecord]
