"""Write a placed program as a loader takes it, whole or not at all."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ecmt_deploy.errors import RunError
from ecmt_deploy.files import replacing_directory, require_parent

from .layout import Constants, Group, Inlet, Layout
from .records import (
    ARRAYS,
    DTYPES,
    FORMAT,
    RECORD,
    VERSION,
    ArrayRef,
    AxonRecord,
    ConstantsRecord,
    CoreRecord,
    GroupRecord,
    InletRecord,
    LayoutRecord,
    NodeRecord,
)


class _Arrays:
    """Arrays on their way into the file, one behind the other by dtype."""

    def __init__(self) -> None:
        self.parts: dict[str, list[np.ndarray]] = defaultdict(list)
        self.length: dict[str, int] = defaultdict(int)

    def put(self, array: np.ndarray) -> ArrayRef:
        array = np.asarray(array)
        name = array.dtype.name
        assert name in DTYPES, f"{name} is no dtype of an integer program"
        at = self.length[name]
        self.parts[name].append(array.ravel())
        self.length[name] = at + array.size
        return ArrayRef(name, at, array.shape)  # type: ignore[arg-type]

    def number(self, array: np.ndarray) -> ArrayRef:
        """Numbers of elements and slots, which are below 2**31."""
        return self.put(np.asarray(array, np.int32))

    def perhaps(self, array: np.ndarray | None) -> ArrayRef | None:
        if array is None:
            return None
        return self.put(array) if array.dtype == bool else self.number(array)


def write(layout: Layout, path: Path, overwrite: bool = False) -> None:
    """Write ``cores.json`` and ``arrays.npz`` into the new directory ``path``.

    Parameters
    ----------
    overwrite : replace such a directory where it is there already

    Raises
    ------
    RunError
        if something is in the way, or it cannot be written.
    """
    require_parent(path)
    ours = path.is_dir() and {entry.name for entry in path.iterdir()} <= {RECORD, ARRAYS}
    if path.exists() and not (ours and (overwrite or not any(path.iterdir()))):
        raise RunError(f"{path}: exists already; choose another --out{', or --overwrite' if ours else ''}")
    record, arrays = recorded(layout)
    with replacing_directory(path) as made:
        np.savez(made / ARRAYS, **arrays)
        (made / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))


def recorded(layout: Layout) -> tuple[LayoutRecord, dict[str, np.ndarray]]:
    """A layout as its record, and the flat arrays that the record points into."""
    (image,) = layout.host.values()
    arrays = _Arrays()
    on_core: dict[int, list[GroupRecord]] = defaultdict(list)
    for groups in layout.groups.values():
        for group in groups:
            on_core[group.core].append(_group(group, arrays))
    record = LayoutRecord(
        file_format=FORMAT,
        version=VERSION,
        hardware=layout.hardware,
        mesh=layout.mesh,
        chip_columns=layout.chip_columns,
        image={"exponent": int(image.op.format.exponent), "state_bits": int(image.op.format.state_bits)},
        nodes={name: NodeRecord(**node._asdict()) for name, node in layout.nodes.items()},
        cores=[CoreRecord(x[0], x[1], x[2], on_core[core]) for core, x in enumerate(layout.where.T.tolist())],
    )
    return record, {name: np.concatenate(parts) for name, parts in arrays.parts.items()}


def _group(group: Group, arrays: _Arrays) -> GroupRecord:
    op = group.op
    fields = {name: getattr(op, name) for name in op.fields if name not in ("parameters", "input_shape")}
    form = {name: getattr(op.format, name) for name in type(op.format).fields}
    return GroupRecord(
        node=group.node,
        op=op.kind,
        fields=_plain(fields),
        arrays=_arrays(fields, arrays),
        parameters={name: arrays.put(np.asarray(value)) for name, value in getattr(op, "parameters", {}).items()},
        format=_plain(form),
        format_arrays=_arrays(form, arrays),
        elements=arrays.number(group.elements),
        together=arrays.perhaps(group.together),
        inlets=[_inlet(inlet, arrays) for inlet in group.inlets],
    )


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields that are no arrays."""
    kept = {name: value for name, value in fields.items() if not isinstance(value, np.ndarray)}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in kept.items()}


def _arrays(fields: dict[str, Any], arrays: _Arrays) -> dict[str, ArrayRef]:
    return {name: arrays.put(value) for name, value in fields.items() if isinstance(value, np.ndarray)}


def _inlet(inlet: Inlet, arrays: _Arrays) -> InletRecord:
    return InletRecord(
        shape=inlet.shape,
        spiking=inlet.spiking,
        axons=[
            AxonRecord(emitter, arrays.number(axon.elements), arrays.number(axon.slots))
            for emitter, axon in inlet.axons.items()
        ],
        first=_constants(inlet.first, arrays),
        later=_constants(inlet.later, arrays),
        together=arrays.perhaps(inlet.together),
        counted=arrays.perhaps(inlet.counted),
    )


def _constants(constants: Constants, arrays: _Arrays) -> ConstantsRecord:
    return ConstantsRecord(arrays.number(constants.slots), arrays.put(np.asarray(constants.values, np.int64)))
