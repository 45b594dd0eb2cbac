"""Read a program from a file. The file is hostile until read: nothing in it is followed, executed or believed.

NIR's own reader has a closed list of node types; this one takes the file's arrays (:mod:`ecmt_deploy.untrusted.hdf5`), knows
the same standard nodes and the dialect's, and takes nothing else.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import nir
import numpy as np

from ecmt_deploy.errors import ProgramError, listed, reading
from ecmt_deploy.program import older, ops
from ecmt_deploy.program.graph import Program
from ecmt_deploy.program.provenance import DIALECT_VERSION, PROVENANCE_KEY, READ_VERSIONS, Provenance
from ecmt_deploy.program.verification import verify
from ecmt_deploy.untrusted.hdf5 import Tree, read_tree

_logger = logging.getLogger(__name__)

#: types of nodes that no other tool writes
_DIALECT = frozenset(ops.OPS) - frozenset(dir(nir))
_WORDS = {"i": "integer", "f": "floating point", "b": "boolean"}


def read(path: str | os.PathLike[str]) -> Program:
    """Read and verify a program; torch is not needed.

    Raises
    ------
    ProgramError
        if the file is missing or damaged, follows links out of itself, or breaks a rule of the dialect; the message names
        file, node, field, what was found and what was expected.
    """
    path = Path(path)
    _logger.info("reads program %s", path)
    if not path.is_file():
        raise ProgramError(f"{path}: no such file; expected a program, as `ecmt-deploy convert` writes it")
    with reading(ProgramError, f"{path}: not a readable program file", "write it again"):
        tree = read_tree(path)
    try:
        with reading(ProgramError, "breaks a rule of the dialect", "write it again"):
            return verify(*_graph(_group(tree, "node", "the file")))
    except ProgramError as error:
        raise ProgramError(f"{path}: {error}") from error.__cause__


def require_no_program(path: str | os.PathLike[str], expected: str) -> None:
    """Say that a file is a program where something else was asked for, or that it is a NIR graph of another tool.

    Parameters
    ----------
    expected : what was asked for, and how it is made of a program

    Raises
    ------
    ProgramError
        if it is a file whose name ends in ``.nir``; if it is no program, with the error of :func:`read`.
    """
    path = Path(path)
    if path.suffix.lower() == ".nir" and path.is_file():
        read(path)
        raise ProgramError(f"{path}: is a program, expected {expected}")


def _graph(root: Tree) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]], Provenance]:
    """Nodes, edges and provenance."""
    kind = _text(root, "type", "graph")
    if kind != "NIRGraph":
        raise ProgramError(f"graph: type is {kind!r}, expected 'NIRGraph'")
    _require_ours(root)
    _only(root, "graph", {"type", "edges", "nodes", "metadata"})
    provenance, version = _provenance(_text(_group(root, "metadata", "graph"), PROVENANCE_KEY, "graph metadata"))
    entries = _group(root, "nodes", "graph")
    nodes = {name: _node(_group(entries, name, "graph"), name, version) for name in sorted(entries)}
    edges = _strings(root, "edges", "graph")
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise ProgramError(f"graph: edges has shape {edges.shape}, expected (edges, 2)")
    return nodes, [(a, b) for a, b in edges.tolist()], provenance


def _require_ours(root: Tree) -> None:
    """Refuse a graph of NIR's own nodes that no conversion wrote, as other frameworks export them; whatever its fields are."""
    metadata = root.get("metadata")
    kinds = Counter(_kinds(root.get("nodes")))
    if (isinstance(metadata, dict) and PROVENANCE_KEY in metadata) or not kinds or kinds.keys() & _DIALECT:
        return
    found = listed([f"{count} {kind}" for kind, count in sorted(kinds.items())], 8)
    raise ProgramError(
        f"a NIR graph of another tool, not a program of ecmt-deploy ({found}); only what `ecmt-deploy convert` writes runs"
        " here, so convert the model that the graph was made of"
    )


def _kinds(nodes: Any) -> Iterator[str]:
    """Types of the nodes of a graph and of the graphs in it."""
    stack = [nodes]
    while stack:
        held = stack.pop()
        for node in held.values() if isinstance(held, dict) else ():
            kind = node.get("type") if isinstance(node, dict) else None
            if not isinstance(kind, np.ndarray) or kind.dtype != object or kind.ndim:
                continue
            if kind.item() == "NIRGraph":
                stack.append(node.get("nodes"))
            else:
                yield str(kind.item())


def _provenance(content: str) -> tuple[Provenance, int]:
    """The provenance, strictly decoded, and the version of the dialect that the file is written in."""
    with reading(ProgramError, "provenance: not readable", "convert again"):
        version = msgspec.json.decode(content, type=dict).get("dialect_version")
    if version not in READ_VERSIONS:
        known = " and ".join(map(str, READ_VERSIONS))
        raise ProgramError(f"dialect version is {version}, this tool reads {known}; use a matching version of ecmt-deploy")
    with reading(ProgramError, "provenance: not readable", "convert again"):
        found = msgspec.json.decode(content, type=Provenance)
    return msgspec.structs.replace(found, dialect_version=DIALECT_VERSION), version


def _node(group: Tree, name: str, version: int) -> nir.NIRNode:
    """One node, by the fields that its version of the dialect declares."""
    where = f"node {name}"
    old = _text(group, "type", where)
    kind, group = older.modernised(old, group)
    cls = ops.OPS.get(kind)
    if cls is None:
        raise ProgramError(f"{where}: unknown type {kind!r}, expected one of {', '.join(sorted(ops.OPS))}")
    where = f"{where} ({kind})"
    integer = "format" in group
    _only(group, where, {"type", *cls.fields, *(["format"] if integer else [])})
    kinds = {field: "integers" if kind == "floats" and integer else kind for field, kind in cls.fields.items()}
    if old == "FixedConv":
        del kinds["input_shape"]  # follows from the operand
    kinds = {field: kind for field, kind in kinds.items() if field in group or field not in cls.defaults}
    values = {field: _field(group, field, kind, where) for field, kind in kinds.items()}
    with reading(ProgramError, f"{where}: not a node", "write it again"):
        return _build(cls, values, _format(cls, _group(group, "format", where), where, version) if integer else None)


def _format(cls: type[ops.Op], group: Tree, where: str, version: int) -> ops.NumberFormat:
    """The number format of an integer node."""
    form = cls.format_type
    if form is None:
        raise ProgramError(f"{where}: format is given, but the node has no integer form")
    fields = older.format_fields(form, version)
    _only(group, where, set(fields))
    return form(**{field: _field(group, field, kind, where) for field, kind in fields.items()})


def _field(group: Tree, field: str, kind: str, where: str) -> Any:
    """One field, of the declared kind."""
    if kind == "string":
        return _text(group, field, where)
    if kind == "names":
        names = _strings(group, field, where)
        if names.ndim != 1:
            raise ProgramError(f"{where}: {field} has shape {names.shape}, expected a vector of names")
        return tuple(names.tolist())
    if kind == "parameters":
        inner = _group(group, field, where)
        return {key: _numbers(inner, key, f"{where} parameter", "fi") for key in sorted(inner)}
    letters = {"int": "i", "ints": "i", "integers": "i", "float": "f", "floats": "f", "bool": "b"}[kind]
    array = _numbers(group, field, where, letters)
    if kind in ("int", "float", "bool"):
        if array.ndim:
            raise ProgramError(f"{where}: {field} has shape {array.shape}, expected a single {kind}")
        return array.item()
    return array


def _only(group: Tree, where: str, expected: set[str]) -> None:
    """Refuse members that mean nothing here."""
    unknown = sorted(set(group) - expected)
    if unknown:
        raise ProgramError(f"{where}: unknown field {unknown[0]!r}, expected {', '.join(sorted(expected))}")


def _member(group: Tree, name: str, where: str) -> Any:
    if name not in group:
        raise ProgramError(f"{where}: {name} is missing")
    return group[name]


def _group(group: Tree, name: str, where: str) -> Tree:
    found = _member(group, name, where)
    if not isinstance(found, dict):
        raise ProgramError(f"{where}: {name} is a dataset, expected a group")
    return found


def _dataset(group: Tree, name: str, where: str) -> np.ndarray:
    found = _member(group, name, where)
    if isinstance(found, dict):
        raise ProgramError(f"{where}: {name} is a group, expected a dataset")
    return found


def _numbers(group: Tree, name: str, where: str, kinds: str) -> np.ndarray:
    """A numeric array of one of the dtype kinds."""
    found = _dataset(group, name, where)
    if found.dtype.kind not in kinds:
        expected = " or ".join(_WORDS[kind] for kind in kinds)
        dtype = "text" if found.dtype == object else found.dtype
        raise ProgramError(f"{where}: {name} has dtype {dtype}, expected {expected}")
    return found


def _strings(group: Tree, name: str, where: str) -> np.ndarray:
    """An array of strings."""
    found = _dataset(group, name, where)
    if found.dtype != object:
        raise ProgramError(f"{where}: {name} has dtype {found.dtype}, expected strings")
    return found


def _text(group: Tree, name: str, where: str) -> str:
    """One string."""
    found = _strings(group, name, where)
    if found.ndim:
        raise ProgramError(f"{where}: {name} has shape {found.shape}, expected one string")
    return str(found.item())


def _build(cls: type[ops.Op], values: dict[str, Any], format: ops.NumberFormat | None) -> ops.Op:
    """A node of its fields; verification brings them to one form."""
    if cls.role in ("input", "output"):
        return cls(**{f"{cls.role}_type": {cls.role: values.pop("shape")}}, **values, format=format)
    if "input_shape" not in values and "input_shape" in cls.fields:
        values["input_shape"] = None
    return cls(**values, format=format)
