"""Write a program to a file: NIR's own HDF5 layout, whole or not at all, the same bytes for the same program."""

from __future__ import annotations

import os
from typing import Any

import h5py
import msgspec
import nir
import numpy as np

from ecmt_deploy.errors import ProgramError, RunError
from ecmt_deploy.files import replacing
from ecmt_deploy.graph.fields import FIELDS, PROVENANCE_KEY, field_value
from ecmt_deploy.graph.program import Program

_TEXT = h5py.string_dtype()


def write(program: Program, path: str | os.PathLike[str]) -> None:
    """Write ``program`` to ``path``: to a temporary file beside it, renamed when it is complete.

    Weights are not compressed: gzip is several times slower and gains little on floats.

    Raises
    ------
    ProgramError
        if the file cannot be written there.
    """
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            file.create_dataset("version", data=nir.version, dtype=_TEXT)
            _write_graph(file.create_group("node"), program)
    except RunError as error:
        raise ProgramError(str(error)) from None


def _write_graph(group: h5py.Group, program: Program) -> None:
    graph = program.graph()
    group.create_dataset("type", data="NIRGraph", dtype=_TEXT)
    group.create_dataset("edges", data=np.array(graph.edges, dtype=object).reshape(-1, 2), dtype=_TEXT)
    metadata = group.create_group("metadata")
    metadata.create_dataset(PROVENANCE_KEY, data=msgspec.json.encode(program.provenance).decode(), dtype=_TEXT)
    nodes = group.create_group("nodes")
    for name, node in graph.nodes.items():
        entry = nodes.create_group(name)
        entry.create_dataset("type", data=type(node).__name__, dtype=_TEXT)
        for field, kind in FIELDS[type(node)].items():
            _write_field(entry, field, kind, field_value(node, field))


def _write_field(group: h5py.Group, field: str, kind: str, value: Any) -> None:
    match kind:
        case "string":
            group.create_dataset(field, data=value, dtype=_TEXT)
        case "names":
            group.create_dataset(field, data=np.array(value, dtype=object), dtype=_TEXT)
        case "parameters":
            entry = group.create_group(field)
            for key in sorted(value):
                entry.create_dataset(key, data=value[key])
        case "int" | "ints":
            group.create_dataset(field, data=np.asarray(value, dtype=np.int64))
        case "float":
            group.create_dataset(field, data=np.float64(value))
        case "bool":
            group.create_dataset(field, data=np.bool_(value))
        case _:
            group.create_dataset(field, data=value)
