"""Read a placed program from its files. They are hostile until read: every number in them is held against all others."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ecmt_deploy.errors import RunError, reading
from ecmt_deploy.files import read_json
from ecmt_deploy.kernels.integers import limit, minus_infinity, within
from ecmt_deploy.program import ops
from ecmt_deploy.program.ops.base import ROLES, Op
from ecmt_deploy.program.ops.convolution import Windows
from ecmt_deploy.program.verification import MAX_ELEMENTS, check_fields, infer
from ecmt_deploy.untrusted.text import require_names

from .consistency import require_consistent
from .layout import Axon, Constants, Group, Hosted, Inlet, Layout, Node
from .records import (
    ARRAYS,
    DTYPES,
    FORMAT,
    RECORD,
    VERSION,
    ArrayRef,
    ConstantsRecord,
    GroupRecord,
    InletRecord,
    LayoutRecord,
    NodeRecord,
)

_MEND = "export it again"
_OPS: dict[str, type[Op]] = {**ops.OPS, "Windows": Windows}
#: no core stands farther out, and no message takes more packets
_MOST = 2**20
#: no pipeline is deeper
_DEEPEST = 2**12
Require = Callable[[bool, str], None]


def read(path: Path) -> Layout:
    """What :func:`targets.cores.writing.write` wrote.

    Raises
    ------
    RunError, ProgramError
        if a file is missing, malformed or damaged, or contradicts itself; the line names core, group, field, what was found and
        what was expected.
    """
    where = path / RECORD
    record = read_json(where, LayoutRecord, _MEND)
    if (record.file_format, record.version) != (FORMAT, VERSION):
        raise RunError(
            f"{where}: is {record.file_format!r} of version {record.version}, expected {FORMAT!r} of {VERSION}; {_MEND}"
        )
    require_names(record.nodes, RunError)
    arrays = _arrays(path / ARRAYS)

    def require(condition: bool, what: str) -> None:
        if not condition:
            raise RunError(f"{where}: {what}; {_MEND}")

    require(record.image.keys() == {"exponent", "state_bits"}, "image: expected exponent and state_bits")
    require(bool(record.cores), "cores: none, expected at least one")
    require(record.mesh is None or all(1 <= size <= _MOST for size in record.mesh), f"mesh is {record.mesh}")
    require(1 <= record.chip_columns <= _MOST, f"chip_columns is {record.chip_columns}, expected 1 to {_MOST}")
    nodes = {name: _node(name, node, require) for name, node in record.nodes.items()}
    groups: dict[str, list[Group]] = {name: [] for name, node in nodes.items() if node.place}
    for number, core in enumerate(record.cores):
        for field in ("chip", "column", "row"):
            require(
                0 <= getattr(core, field) <= _MOST, f"core {number}: {field} is {getattr(core, field)}, expected 0 to {_MOST}"
            )
        for group in core.groups:
            require(group.node in groups, f"core {number}: a group of node {group.node!r}, which no core computes")
            groups[group.node].append(_Reader(where, number, group, arrays).group())
    names = [name for name, node in nodes.items() if node.role == "input"]
    require(len(names) == 1, f"nodes: {len(names)} of role input, expected one")
    image = ops.Input(input_type={"input": np.array(nodes[names[0]].shape)}, format=ops.NumberFormat(**record.image))
    check_fields(names[0], image)
    layout = Layout(
        hardware=record.hardware,
        nodes=nodes,
        groups={name: tuple(found) for name, found in groups.items()},
        host={names[0]: Hosted(image)},
        where=np.array([(core.chip, core.column, core.row) for core in record.cores], np.int64).T,
        mesh=record.mesh,
        chip_columns=record.chip_columns,
    )
    require_consistent(layout, require)
    return layout


def _node(name: str, node: NodeRecord, require: Require) -> Node:
    where = f"nodes.{name}"
    require(node.role in ROLES, f"{where}: role is {node.role!r}, expected one of {', '.join(ROLES)}")
    sound = all(size >= 1 for size in node.shape) and prod(node.shape) < MAX_ELEMENTS
    require(sound, f"{where}: shape is {list(node.shape)[:8]}, expected positive sizes of less than {MAX_ELEMENTS} elements")
    computed = node.role not in ("input", "constant", "movement", "output")
    least, most = (1, _DEEPEST) if computed else (0, 0)
    require(0 <= node.extra <= most, f"{where}: extra is {node.extra}, expected 0 to {most}")
    require(least <= node.place <= most, f"{where}: place is {node.place}, expected {least} to {most}")
    require(1 <= node.packets <= _MOST, f"{where}: packets is {node.packets}, expected 1 to {_MOST}")
    macs = node.network_macs
    require(macs is None or 0 < macs < 2**53, f"{where}: network_macs is {macs}, expected a positive count")
    return Node(node.role, node.shape, node.place, node.extra, node.packets, node.encoding, macs, node.always)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The flat arrays, by dtype."""
    if not path.is_file():
        raise RunError(f"{path}: no such file; {_MEND}")
    with reading(RunError, f"{path}: not a readable .npz file", _MEND), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.removesuffix(".npy") not in DTYPES:
                raise RunError(f"{path}: holds {member.filename[:40]!r}, expected arrays named {', '.join(DTYPES)}; {_MEND}")
            if member.compress_type != zipfile.ZIP_STORED:
                raise RunError(f"{path}: {member.filename} is compressed, expected arrays as numpy.savez stores them; {_MEND}")
    with reading(RunError, f"{path}: not a readable .npz file", _MEND), np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    for name, array in found.items():
        if array.dtype.name != name or array.ndim != 1:
            raise RunError(f"{path}: {name} is {array.dtype} of shape {array.shape}, expected {name} of one axis; {_MEND}")
    return found


class _Reader:
    """Reads one group."""

    def __init__(self, path: Path, core: int, record: GroupRecord, arrays: dict[str, np.ndarray]) -> None:
        self.path, self.core, self.record, self.arrays = path, core, record, arrays

    def require(self, condition: bool, what: str) -> None:
        """Refuse the group."""
        if not condition:
            raise RunError(f"{self.path}: core {self.core}, node {self.record.node}: {what}; {_MEND}")

    def array(self, ref: ArrayRef, field: str) -> np.ndarray:
        """An array, as it stands in the file."""
        there, shape = len(self.arrays.get(ref.dtype, ())), ref.shape
        sound = all(0 <= size <= MAX_ELEMENTS for size in shape) and len(shape) <= 16
        size = prod(shape) if sound else -1
        self.require(sound and 0 <= ref.at <= there - size, f"{field} reaches beyond the {there} elements of {ref.dtype}")
        return self.arrays[ref.dtype][ref.at : ref.at + size].reshape(shape) if there else np.zeros(shape, ref.dtype)

    def numbers(self, ref: ArrayRef, field: str, most: int) -> np.ndarray:
        """Numbers of elements or slots, below ``most``."""
        found = self.array(ref, field)
        self.require(within(found, 0, most - 1), f"{field} holds what is no integer of 0 to {most - 1}")
        return found.astype(np.int64)

    def group(self) -> Group:
        """The group, its op checked by the rules of its fields and of its place among its operands."""
        r = self.record
        op = self.op()
        inlets = tuple(self.inlet(k, inlet, int(op.format.state_bits)) for k, inlet in enumerate(r.inlets))
        expected = len(getattr(op, "operands", ())) if op.arity is None else op.arity
        self.require(len(inlets) == expected, f"{len(inlets)} inlets, expected {expected}")
        shapes = [inlet.shape for inlet in inlets]
        elements = self.numbers(r.elements, "elements", MAX_ELEMENTS)
        with reading(RunError, f"{self.path}: core {self.core}, node {r.node}: shapes do not fit", _MEND):
            made = infer(op, shapes)
        self.require(made == elements.shape, f"elements has shape {elements.shape}, expected {made}")
        spiking = [inlet.spiking for inlet in inlets]
        self.require(not any(spiking) or op.takes_spikes, "takes spikes, expected an analog stream")
        op.check_integer(shapes, any(spiking), int(op.format.state_bits), self.require)
        aligned = getattr(op.format, "operand_exponents", None)
        self.require(aligned is None or len(aligned) == len(inlets), "operand_exponents: expected one per inlet")
        together = None if r.together is None else self.numbers(r.together, "together", MAX_ELEMENTS)
        self.require(together is None or together.shape == made, f"together has another shape than {made}")
        return Group(self.core, r.node, op, elements, inlets, together)

    def op(self) -> Any:
        """The share of the node."""
        r = self.record
        cls = _OPS.get(r.op)
        self.require(cls is not None and cls.format_type is not None, f"op is {r.op!r}, expected one with an integer form")
        assert cls is not None
        assert cls.format_type is not None
        form = self.fields(cls.format_type.fields, r.format, r.format_arrays, "format")
        given = {name: kind for name, kind in cls.fields.items() if name not in ("parameters", "input_shape")}
        values = self.fields(given, r.fields, r.arrays, "fields")
        if "parameters" in cls.fields:
            values["parameters"] = {name: self.array(ref, f"parameters.{name}") for name, ref in r.parameters.items()}
        with reading(RunError, f"{self.path}: core {self.core}: not an op", _MEND):
            made = cls(**values, format=cls.format_type(**form))
            check_fields(r.node, made)
        return made

    def fields(self, kinds: Any, plain: dict[str, Any], arrays: dict[str, ArrayRef], what: str) -> dict[str, Any]:
        """Fields of the declared kinds, all of them and no others."""
        found: dict[str, Any] = {**plain, **{name: self.array(ref, f"{what}.{name}") for name, ref in arrays.items()}}
        self.require(found.keys() == kinds.keys(), f"{what} are {sorted(found)}, expected {sorted(kinds)}")
        for name, kind in kinds.items():
            value, known = found[name], {"int": int, "float": (int, float), "bool": bool, "string": str}.get(kind)
            if kind == "names":
                self.require(isinstance(value, list) and all(isinstance(v, str) for v in value), f"{what}.{name}: no names")
                found[name] = tuple(value)
                continue
            sound = isinstance(value, known if known else np.ndarray)  # type: ignore[arg-type]
            sound &= not (isinstance(value, bool) and kind in ("int", "float"))
            self.require(bool(sound), f"{what}.{name} is {str(value)[:40]!r}, expected one of kind {kind}")
            self.require(known is not None or value.dtype.kind == "i", f"{what}.{name} is no array of integers")
        return found

    def inlet(self, k: int, r: InletRecord, bits: int) -> Inlet:
        """An operand."""
        where, shape = f"inlets[{k}]", r.shape
        sound = all(0 <= size <= MAX_ELEMENTS for size in shape) and len(shape) <= 16
        self.require(sound and prod(shape) < MAX_ELEMENTS, f"{where}.shape is {list(shape)[:8]}")
        size, axons = prod(shape), {}
        for axon in r.axons:
            at = f"{where}.axons.{axon.emitter}"
            elements = self.numbers(axon.elements, f"{at}.elements", MAX_ELEMENTS)
            slots = self.numbers(axon.slots, f"{at}.slots", size)
            flat = elements.ndim == slots.ndim == 1 and len(elements) == len(slots)
            self.require(flat and axon.emitter not in axons, f"{at}: expected one list of elements and slots, as many of both")
            axons[axon.emitter] = Axon(elements, slots)
        together = None if r.together is None else self.numbers(r.together, f"{where}.together", MAX_ELEMENTS)
        counted = None if r.counted is None else self.array(r.counted, f"{where}.counted")
        for name, array in (("together", together), ("counted", counted)):
            self.require(array is None or array.shape == shape, f"{where}.{name} has another shape than {shape}")
        self.require(counted is None or counted.dtype == bool, f"{where}.counted is no array of bool")
        first, later = (self.constants(c, f"{where}.{n}", size, bits) for n, c in (("first", r.first), ("later", r.later)))
        return Inlet(shape, r.spiking, axons, first, later, together, counted)

    def constants(self, r: ConstantsRecord, where: str, size: int, bits: int) -> Constants:
        """What stands in slots without messages."""
        slots, values = self.numbers(r.slots, f"{where}.slots", size), self.array(r.values, f"{where}.values")
        sound = slots.ndim == values.ndim == 1 and len(slots) == len(values)
        self.require(
            sound and within(values, minus_infinity(bits), limit(bits)), f"{where}: no integers of {bits} bits, one a slot"
        )
        return Constants(slots, values.astype(np.int64))
