"""Write a program to a file: NIR's own HDF5 layout, whole or not at all, the same bytes for the same program."""

from __future__ import annotations

import os
from typing import Any

import h5py
import msgspec
import nir
import numpy as np
from h5py import h5d, h5g, h5p, h5s, h5t

from ecmt_deploy.errors import ProgramError, RunError
from ecmt_deploy.files import replacing
from ecmt_deploy.program.graph import Program
from ecmt_deploy.program.ops import convolution
from ecmt_deploy.program.provenance import PROVENANCE_KEY

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
            _write_text(file.id, "version", nir.version)
            _write_graph(file.create_group("node"), program)
    except RunError as error:
        raise ProgramError(str(error)) from None


def _write_graph(group: h5py.Group, program: Program) -> None:
    graph = program.graph()
    _write_text(group.id, "type", "NIRGraph")
    _write_text(group.id, "edges", np.array(graph.edges, dtype=object).reshape(-1, 2))
    _write_text(group.create_group("metadata").id, PROVENANCE_KEY, msgspec.json.encode(program.provenance).decode())
    nodes = group.create_group("nodes")
    for name, node in graph.nodes.items():
        entry = nodes.create_group(name)
        _write_text(entry.id, "type", type(node).__name__)
        for field, kind in node.fields.items():
            if field in node.defaults and getattr(node, field) == node.defaults[field]:
                continue
            windows = node.role == "synapse" and field in ("stride", "padding", "dilation")
            # one number per spatial axis, however the node says it
            _write_field(entry, field, kind, convolution(node)[field] if windows else getattr(node, field))
        if node.format is not None:
            constants = entry.create_group("format")
            for field, kind in type(node.format).fields.items():
                _write_field(constants, field, kind, getattr(node.format, field))


def _write_field(group: h5py.Group, field: str, kind: str, value: Any) -> None:
    match kind:
        case "string":
            _write_text(group.id, field, value)
        case "names":
            _write_text(group.id, field, np.array(value, dtype=object))
        case "parameters":
            entry = group.create_group(field)
            for key in sorted(value):
                _write_numbers(entry.id, key, value[key])
        case "int" | "ints":
            _write_numbers(group.id, field, np.asarray(value, dtype=np.int64))
        case "float":
            _write_numbers(group.id, field, np.float64(value))
        case "bool":
            _write_numbers(group.id, field, np.bool_(value))
        case _:
            _write_numbers(group.id, field, value)


def _write_text(group: h5g.GroupID, name: str, value: Any) -> None:
    _write(group, name, np.asarray(value, dtype=_TEXT))


def _write_numbers(group: h5g.GroupID, name: str, value: Any) -> None:
    _write(group, name, np.asarray(value, order="C"))


def _write(group: h5g.GroupID, name: str, array: np.ndarray) -> None:
    """A dataset through h5py's low-level interface: thousands of small ones take longer than the weights otherwise."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)  # the same bytes for the same program
    space = h5s.create_simple(array.shape) if array.ndim else h5s.create(h5s.SCALAR)
    dataset = h5d.create(group, name.encode(), h5t.py_create(array.dtype, logical=True), space, properties)
    if array.size:
        dataset.write(h5s.ALL, h5s.ALL, array)
