"""Read a program of ecmt-deploy without ecmt-deploy, with h5py and NumPy alone: ``python examples/reader.py program.nir``.

It follows docs/format.md, which says what every type of node computes. It trusts the file: read files of strangers with
``ecmt_deploy.read``, which checks every rule of the format and works apart from your process.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import h5py
import numpy as np

VERSION = 6


@dataclass(frozen=True)
class Node:
    """One node: its type, its other fields by name, and the names of the nodes that it reads, in order."""

    type: str
    fields: dict[str, Any]
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """A program: its nodes by name, operands first; its edges (source, destination); where it comes from."""

    nodes: dict[str, Node]
    edges: list[tuple[str, str]]
    provenance: dict[str, Any]


def read(path: str) -> Graph:
    """The program in a file of this version of the format.

    Raises
    ------
    ValueError
        if the file is no such program.
    """
    with h5py.File(path, "r") as file:
        metadata = file.get("node/metadata/ecmt_deploy")
        if metadata is None:
            raise ValueError(f"{path}: this is no program of ecmt-deploy")
        provenance = json.loads(metadata[()])
        if provenance["dialect_version"] != VERSION:
            raise ValueError(f"{path}: the format is of version {provenance['dialect_version']}, expected {VERSION}")
        groups = {name: content(group) for name, group in file["node/nodes"].items()}
        edges = [(source.decode(), destination.decode()) for source, destination in file["node/edges"][()]]
    sources: dict[str, list[str]] = {name: [] for name in groups}
    for source, destination in edges:
        sources[destination].append(source)
    nodes = {}
    for name in TopologicalSorter(sources).static_order():
        fields = groups[name]  # one operand comes along the only edge; several are named in order
        nodes[name] = Node(fields.pop("type"), fields, tuple(fields.pop("operands", sources[name])))
    return Graph(nodes, edges, provenance)


def content(entry: h5py.Group | h5py.Dataset) -> Any:
    """A group as a dictionary, text as ``str``, names as a tuple of ``str``, numbers as an array or a NumPy scalar."""
    if isinstance(entry, h5py.Group):
        return {name: content(member) for name, member in entry.items()}
    value = entry[()]
    if isinstance(value, bytes):
        return value.decode()
    return tuple(text.decode() for text in value) if value.dtype == object else value


if __name__ == "__main__":
    graph = read(sys.argv[1])
    for name, node in graph.nodes.items():
        arrays = {field: np.shape(value) for field, value in node.fields.items() if np.ndim(value)}
        shapes = "".join(f" {field} {'x'.join(map(str, shape))}" for field, shape in arrays.items())
        print(f"{name}: {node.type}{shapes} <- {', '.join(node.operands) or 'nothing'}")
    types = Counter(node.type for node in graph.nodes.values()).most_common()
    print(f"{len(graph.nodes)} nodes, {len(graph.edges)} edges: {', '.join(f'{count} {kind}' for kind, count in types)}")
