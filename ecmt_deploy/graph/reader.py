"""Read a program from a file. The file is hostile until read: nothing in it is followed, executed or believed.

NIR's own reader has a closed list of node types; this one walks the HDF5 tree itself, knows the same standard nodes and the
dialect's, and takes nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import msgspec
import nir
import numpy as np

from ecmt_deploy.errors import DataError, ProgramError
from ecmt_deploy.graph.fields import FIELDS, PROVENANCE_KEY
from ecmt_deploy.graph.fixed import FixedInput
from ecmt_deploy.graph.program import Program
from ecmt_deploy.graph.provenance import DIALECT_VERSION, READ_VERSIONS, Provenance
from ecmt_deploy.graph.verification import verify

#: gzip cannot expand more than this; a dataset that claims more is a bomb
MAX_EXPANSION = 1100
_TYPES = {cls.__name__: cls for cls in FIELDS}


def read(path: str | os.PathLike[str]) -> Program:
    """Read and verify a program; torch is not needed.

    Raises
    ------
    ProgramError
        if the file is missing or damaged, follows links out of itself, or breaks a rule of the dialect; the message names
        file, node, field, what was found and what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise ProgramError(f"{path}: no such file; expected a program, as `ecmt-deploy convert` writes it")
    try:
        with h5py.File(path, "r") as file:
            nodes, edges, provenance = _Reader(file, path.stat().st_size).graph()
        return verify(nodes, edges, provenance)
    except (ProgramError, DataError) as error:
        raise ProgramError(f"{path}: {error}") from None
    except (
        OSError,
        RuntimeError,
        LookupError,
        ValueError,
        ArithmeticError,
        TypeError,
        AttributeError,
        AssertionError,
        MemoryError,
    ) as error:
        # what the HDF5 library says of a file it cannot make sense of
        reason = " ".join(str(error).split())[:200]
        raise ProgramError(f"{path}: not a readable program file, or a truncated one ({reason}); write it again") from None


class _Reader:
    """One pass over an open file."""

    def __init__(self, file: h5py.File, size: int) -> None:
        self.file, self.size, self.budget = file, size, size

    def graph(self) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]], Provenance]:
        """Nodes, edges and provenance."""
        root = self.group(self.file, "node", "the file")
        kind = self.text(root, "type", "graph")
        if kind != "NIRGraph":
            raise ProgramError(f"graph: type is {kind!r}, expected 'NIRGraph'")
        self.only(root, "graph", {"type", "edges", "nodes", "metadata"})
        provenance = self.provenance(self.group(root, "metadata", "graph"))
        entries = self.group(root, "nodes", "graph")
        nodes = {name: self.node(self.group(entries, name, "graph"), name) for name in sorted(entries)}
        edges = self.strings(root, "edges", "graph")
        if edges.ndim != 2 or edges.shape[1] != 2:
            raise ProgramError(f"graph: edges has shape {edges.shape}, expected (edges, 2)")
        return nodes, [(str(a), str(b)) for a, b in edges], provenance

    def provenance(self, group: h5py.Group) -> Provenance:
        """The provenance, strictly decoded."""
        content = self.text(group, PROVENANCE_KEY, "graph metadata")
        try:
            version = msgspec.json.decode(content, type=dict).get("dialect_version")
            if version not in READ_VERSIONS:
                known = " and ".join(map(str, READ_VERSIONS))
                raise ProgramError(
                    f"dialect version is {version}, this tool reads {known}; use a matching version of ecmt-deploy"
                )
            found = msgspec.json.decode(content, type=Provenance)
            return msgspec.structs.replace(found, dialect_version=DIALECT_VERSION)
        except (msgspec.MsgspecError, DataError, RecursionError) as error:
            raise ProgramError(f"provenance: {error}") from None

    def node(self, group: h5py.Group, name: str) -> nir.NIRNode:
        """One node, by its declared fields."""
        where = f"node {name}"
        kind = self.text(group, "type", where)
        cls = _TYPES.get(kind)
        if cls is None:
            raise ProgramError(f"{where}: unknown type {kind!r}, expected one of {', '.join(sorted(_TYPES))}")
        fields = FIELDS[cls]
        self.only(group, where, {"type", *fields})
        values = {field: self.field(group, field, kind_, f"{where} ({kind})") for field, kind_ in fields.items()}
        return _build(cls, values)

    def field(self, group: h5py.Group, field: str, kind: str, where: str) -> Any:
        """One field, of the declared kind."""
        if kind == "string":
            return self.text(group, field, where)
        if kind == "names":
            names = self.strings(group, field, where)
            if names.ndim != 1:
                raise ProgramError(f"{where}: {field} has shape {names.shape}, expected a vector of names")
            return tuple(str(name) for name in names)
        if kind == "parameters":
            inner = self.group(group, field, where)
            return {key: self.numbers(inner, key, f"{where} parameter", "fi") for key in sorted(inner)}
        letters = {"int": "i", "ints": "i", "integers": "i", "float": "f", "floats": "f", "bool": "b"}[kind]
        array = self.numbers(group, field, where, letters)
        if kind in ("int", "float", "bool"):
            if array.ndim:
                raise ProgramError(f"{where}: {field} has shape {array.shape}, expected a single {kind}")
            return array.item()
        return array

    def group(self, parent: h5py.Group, name: str, where: str) -> h5py.Group:
        """A group, reached by a hard link."""
        found = self.member(parent, name, where)
        if not isinstance(found, h5py.Group):
            raise ProgramError(f"{where}: {name} is a dataset, expected a group")
        return found

    def member(self, parent: h5py.Group, name: str, where: str) -> Any:
        """Whatever a hard link leads to; other links are not followed."""
        link = parent.get(name, getlink=True)
        if link is None:
            raise ProgramError(f"{where}: {name} is missing")
        if not isinstance(link, h5py.HardLink):
            kind = "an external" if isinstance(link, h5py.ExternalLink) else "a soft"
            raise ProgramError(f"{where}: {name} is {kind} link, expected the thing itself; links are not followed")
        return parent[name]

    def only(self, group: h5py.Group, where: str, expected: set[str]) -> None:
        """Refuse members that mean nothing here."""
        unknown = sorted(set(group) - expected)
        if unknown:
            raise ProgramError(f"{where}: unknown field {unknown[0]!r}, expected {', '.join(sorted(expected))}")

    def dataset(self, group: h5py.Group, name: str, where: str) -> h5py.Dataset:
        """A dataset that holds what it declares, inside this file."""
        found = self.member(group, name, where)
        if not isinstance(found, h5py.Dataset):
            raise ProgramError(f"{where}: {name} is a group, expected a dataset")
        if found.external is not None or found.is_virtual:
            raise ProgramError(f"{where}: {name} lies outside the file, expected its values; external storage is not read")
        properties = found.id.get_create_plist()
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        if any(code not in (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE) for code in filters) or found.shape is None:
            raise ProgramError(f"{where}: {name} is stored in a way that is not read; expected plain or gzip values")
        stored = found.id.get_storage_size()
        if found.nbytes > stored * (MAX_EXPANSION if filters else 1) or stored > self.size:
            raise ProgramError(f"{where}: {name} declares shape {found.shape} but holds {stored} bytes; the file is damaged")
        self.budget -= stored
        if self.budget < 0:
            raise ProgramError(f"{where}: {name} stores the same bytes again; a file holds every value once")
        return found

    def numbers(self, group: h5py.Group, name: str, where: str, kinds: str) -> np.ndarray:
        """A numeric array of one of the dtype kinds, native byte order, C order."""
        found = self.dataset(group, name, where)
        if found.dtype.kind not in kinds or found.dtype.itemsize > 8:
            words = {"i": "integer", "f": "floating point", "b": "boolean"}
            expected = " or ".join(words[kind] for kind in kinds)
            raise ProgramError(f"{where}: {name} has dtype {found.dtype}, expected {expected}")
        return np.ascontiguousarray(found[()], dtype=found.dtype.newbyteorder("=")).reshape(found.shape)

    def strings(self, group: h5py.Group, name: str, where: str) -> np.ndarray:
        """An array of strings."""
        found = self.dataset(group, name, where)
        if h5py.check_string_dtype(found.dtype) is None:
            raise ProgramError(f"{where}: {name} has dtype {found.dtype}, expected strings")
        return np.asarray(found.asstr()[()], dtype=object)

    def text(self, group: h5py.Group, name: str, where: str) -> str:
        """One string."""
        found = self.strings(group, name, where)
        if found.ndim:
            raise ProgramError(f"{where}: {name} has shape {found.shape}, expected one string")
        return str(found.item())


def _build(cls: type, values: dict[str, Any]) -> nir.NIRNode:
    if cls is nir.Input:
        return nir.Input(input_type={"input": values["shape"]})
    if cls is FixedInput:
        return FixedInput(input_type={"input": values.pop("shape")}, **values)
    if cls is nir.Output:
        return nir.Output(output_type={"output": values["shape"]})
    if cls in (nir.Conv1d, nir.Conv2d):
        axes = 1 if cls is nir.Conv1d else 2
        for field in ("stride", "padding", "dilation"):
            sound = values[field].shape in ((), (axes,)) and (values[field] >= (0 if field == "padding" else 1)).all()
            if not sound:
                raise ProgramError(f"{cls.__name__}: {field} is {values[field].tolist()}, expected {axes} positive integers")
            values[field] = tuple(np.broadcast_to(values[field], (axes,)).tolist())
        if cls is nir.Conv2d:
            values["input_shape"] = tuple(values["input_shape"].ravel().tolist())
        if values["weight"].ndim != axes + 2 or values["groups"] < 1:
            raise ProgramError(f"{cls.__name__}: weight of shape {values['weight'].shape} in {values['groups']} groups")
    return cls(**values)
