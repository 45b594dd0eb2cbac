"""A reader of program files after ``docs/format.md``."""

from __future__ import annotations

import json
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

#: wiring: it moves elements, and computes nothing
WIRING = ("Reshape", "Expand", "Permute", "Slice", "Take", "Pad", "Concat")
NEURONS = ("MultiThreshold", "Graded")
LINEAR = ("Linear", "LastAxisLinear", "CorrectedLinear")
WEIGHTS = (*LINEAR, "Conv1d", "Conv2d", "ListedConvolution")


class Node(NamedTuple):
    """One node: its type, its fields by name (those of groups as dictionaries), and the nodes it reads, in order."""

    type: str
    fields: dict[str, Any]
    reads: tuple[str, ...]

    @property
    def format(self) -> dict[str, Any] | None:
        """The number format of an integer node; ``None`` of a float node."""
        return self.fields.get("format")


class File(NamedTuple):
    """A program.

    Attributes
    ----------
    nodes : by name, operands first
    spiking : nodes whose stream holds nothing but spikes
    encoding : weight nodes reached from the input through wiring, scales and added constants alone
    exact : nodes whose stream follows from tokens, masks and constants that enter once
    network_macs : multiply-accumulates of the network, where they are not all of the node's
    """

    nodes: dict[str, Node]
    spiking: frozenset[str]
    encoding: frozenset[str]
    exact: frozenset[str]
    network_macs: dict[str, int]


def _value(entry: Any) -> Any:
    if isinstance(entry, h5py.Group):
        return {name: _value(member) for name, member in entry.items()}
    value = entry[()]
    if isinstance(value, bytes):
        return value.decode()
    value = np.asarray(value)
    if value.dtype == object:
        return tuple(text.decode() for text in value.ravel())
    return value


def read(path: Path) -> File:
    """The program in a file of dialect 6."""
    with h5py.File(path) as file:
        groups = {name: _value(group) for name, group in file["node/nodes"].items()}
        edges = [(a.decode(), b.decode()) for a, b in file["node/edges"][()]]
        provenance = json.loads(file["node/metadata/ecmt_deploy"][()])
    assert provenance["dialect_version"] == 6
    came = {name: [a for a, b in edges if b == name] for name in groups}
    order = TopologicalSorter(came).static_order()
    nodes = {}
    for name in order:
        fields = dict(groups[name])
        reads = fields.pop("operands", tuple(came[name]))
        nodes[name] = Node(fields.pop("type"), fields, tuple(reads))
    return File(nodes, _spiking(nodes), _encoding(nodes), _exact(nodes), provenance.get("network_macs") or {})


def _spiking(nodes: dict[str, Node]) -> frozenset[str]:
    spiking: set[str] = set()
    for name, node in nodes.items():
        if node.type in NEURONS or (node.type in WIRING and all(source in spiking for source in node.reads)):
            spiking.add(name)
    return frozenset(spiking)


def _encoding(nodes: dict[str, Node]) -> frozenset[str]:
    image, constant, layers = set(), set(), set()
    for name, node in nodes.items():
        if node.type == "Input":
            image.add(name)
        elif node.type == "Constant" or (node.type in WIRING and all(source in constant for source in node.reads)):
            constant.add(name)
        elif node.type in WEIGHTS and node.reads[0] in image:
            layers.add(name)
        elif node.type in (*WIRING, "Scale", "BroadcastScale", "Add"):
            passed = [source for source in node.reads if source not in constant]
            if passed and all(source in image for source in passed):
                image.add(name)
    return frozenset(layers)


def _exact(nodes: dict[str, Node]) -> frozenset[str]:
    once, exact = set(), set()
    for name, node in nodes.items():
        repeats = node.type == "Hold" or node.fields.get("coding") == "rate"
        if node.type == "Input":
            exact.update([name] if node.fields.get("holds", "values") != "values" else [])
        elif node.type == "Constant":
            once.update([name] if node.fields["schedule"] == "first" else [])
        elif node.type in WIRING and all(source in once for source in node.reads):
            once.add(name)
        elif node.type not in (*WEIGHTS, *NEURONS, "Embedding", "Readout", "Output") and not repeats:
            follows = any(source in exact for source in node.reads)
            exact.update([name] if follows and all(source in exact | once for source in node.reads) else [])
    return frozenset(exact)
