"""Read a program from a file. The file is hostile until read: nothing in it is followed, executed or believed.

NIR's own reader has a closed list of node types; this one walks the HDF5 tree itself, knows the same standard nodes and the
dialect's, and takes nothing else. It does so through h5py's low-level interface: a program of ViT-Large has thousands of small
datasets, and the objects of the high-level one take longer than the weights.
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import h5py
import msgspec
import nir
import numpy as np
from h5py import h5d, h5f, h5g, h5l, h5o, h5s, h5z

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
            nodes, edges, provenance = _Reader(path.stat().st_size).graph(file.id)
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
    """One pass over an open file of so many bytes."""

    def __init__(self, size: int) -> None:
        self.size, self.budget = size, size

    def graph(self, file: h5f.FileID) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]], Provenance]:
        """Nodes, edges and provenance."""
        root = self.group(h5g.open(file, b"/"), "node", "the file")
        kind = self.text(root, "type", "graph")
        if kind != "NIRGraph":
            raise ProgramError(f"graph: type is {kind!r}, expected 'NIRGraph'")
        self.only(root, "graph", {"type", "edges", "nodes", "metadata"})
        provenance = self.provenance(self.group(root, "metadata", "graph"))
        entries = self.group(root, "nodes", "graph")
        nodes = {name: self.node(self.group(entries, name, "graph"), name) for name in sorted(_names(entries))}
        edges = self.strings(root, "edges", "graph")
        if edges.ndim != 2 or edges.shape[1] != 2:
            raise ProgramError(f"graph: edges has shape {edges.shape}, expected (edges, 2)")
        return nodes, [(str(a), str(b)) for a, b in edges], provenance

    def provenance(self, group: h5g.GroupID) -> Provenance:
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

    def node(self, group: h5g.GroupID, name: str) -> nir.NIRNode:
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

    def field(self, group: h5g.GroupID, field: str, kind: str, where: str) -> Any:
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
            return {key: self.numbers(inner, key, f"{where} parameter", "fi") for key in sorted(_names(inner))}
        letters = {"int": "i", "ints": "i", "integers": "i", "float": "f", "floats": "f", "bool": "b"}[kind]
        array = self.numbers(group, field, where, letters)
        if kind in ("int", "float", "bool"):
            if array.ndim:
                raise ProgramError(f"{where}: {field} has shape {array.shape}, expected a single {kind}")
            return array.item()
        return array

    def group(self, parent: h5g.GroupID, name: str, where: str) -> h5g.GroupID:
        """A group, reached by a hard link."""
        found = self.member(parent, name, where)
        if not isinstance(found, h5g.GroupID):
            raise ProgramError(f"{where}: {name} is a dataset, expected a group")
        return found

    def member(self, parent: h5g.GroupID, name: str, where: str) -> Any:
        """Whatever a hard link leads to; other links are not followed."""
        key = name.encode()
        try:
            kind = parent.links.get_info(key).type
        except (KeyError, RuntimeError):
            if key in parent:
                raise
            raise ProgramError(f"{where}: {name} is missing") from None
        if kind != h5l.TYPE_HARD:
            word = "an external" if kind == h5l.TYPE_EXTERNAL else "a soft"
            raise ProgramError(f"{where}: {name} is {word} link, expected the thing itself; links are not followed")
        return h5o.open(parent, key)

    def only(self, group: h5g.GroupID, where: str, expected: set[str]) -> None:
        """Refuse members that mean nothing here."""
        unknown = sorted(set(_names(group)) - expected)
        if unknown:
            raise ProgramError(f"{where}: unknown field {unknown[0]!r}, expected {', '.join(sorted(expected))}")

    def dataset(self, group: h5g.GroupID, name: str, where: str) -> tuple[h5d.DatasetID, tuple[int, ...], np.dtype]:
        """A dataset that holds what it declares, inside this file, with its shape and dtype."""
        found = self.member(group, name, where)
        if not isinstance(found, h5d.DatasetID):
            raise ProgramError(f"{where}: {name} is a group, expected a dataset")
        properties = found.get_create_plist()
        if properties.get_external_count() or properties.get_layout() == h5d.VIRTUAL:
            raise ProgramError(f"{where}: {name} lies outside the file, expected its values; external storage is not read")
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        plain = all(code in (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE) for code in filters)
        space = found.get_space()
        if not plain or space.get_simple_extent_type() == h5s.NULL:
            raise ProgramError(f"{where}: {name} is stored in a way that is not read; expected plain or gzip values")
        stored, shape, dtype = found.get_storage_size(), space.get_simple_extent_dims(), found.dtype
        if prod(shape) * dtype.itemsize > stored * (MAX_EXPANSION if filters else 1) or stored > self.size:
            raise ProgramError(f"{where}: {name} declares shape {shape} but holds {stored} bytes; the file is damaged")
        self.budget -= stored
        if self.budget < 0:
            raise ProgramError(f"{where}: {name} stores the same bytes again; a file holds every value once")
        return found, shape, dtype

    def numbers(self, group: h5g.GroupID, name: str, where: str, kinds: str) -> np.ndarray:
        """A numeric array of one of the dtype kinds, native byte order, C order."""
        found, shape, dtype = self.dataset(group, name, where)
        if dtype.kind not in kinds or dtype.itemsize > 8:
            words = {"i": "integer", "f": "floating point", "b": "boolean"}
            expected = " or ".join(words[kind] for kind in kinds)
            raise ProgramError(f"{where}: {name} has dtype {dtype}, expected {expected}")
        return _read(found, shape, dtype.newbyteorder("="))

    def strings(self, group: h5g.GroupID, name: str, where: str) -> np.ndarray:
        """An array of strings."""
        found, shape, dtype = self.dataset(group, name, where)
        text = h5py.check_string_dtype(dtype)
        if text is None:
            raise ProgramError(f"{where}: {name} has dtype {dtype}, expected strings")
        content = _read(found, shape, dtype)
        decoded = [value.decode(text.encoding) for value in content.ravel()]
        return np.array(decoded, object).reshape(shape)

    def text(self, group: h5g.GroupID, name: str, where: str) -> str:
        """One string."""
        found = self.strings(group, name, where)
        if found.ndim:
            raise ProgramError(f"{where}: {name} has shape {found.shape}, expected one string")
        return str(found.item())


def _names(group: h5g.GroupID) -> list[str]:
    return [name.decode() for name in group]


def _read(dataset: h5d.DatasetID, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """All values, read into the array that is returned."""
    array = np.empty(shape, dtype)
    if array.size:
        dataset.read(h5s.ALL, h5s.ALL, array)
    return array


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
