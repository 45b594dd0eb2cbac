"""Nodes grouped into layers a person can read: by module path, as deep as keeps their number small."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ecmt_deploy.program.functions import FUNCTIONS

MAX_LAYERS = 40
#: last parts of node names that say what a node does, not which module it belongs to
_OPERATIONS = re.compile(
    r"(add|scale|matmul|multiply|softmax|reshape|permute|slice|take|expand|pad|concat|mean|constant|mask|bias|hold|readout|input"
    rf"|output|neuron(_left|_right)?|{'|'.join(name for name, known in FUNCTIONS.items() if known.elementary)})(_\d+)?"
)
ROOT = "(model)"


def layer_of(node: str, depth: int) -> str:
    """The layer of a node: the first ``depth`` parts of the path of its module."""
    parts = node.split(".")
    while parts and _OPERATIONS.fullmatch(parts[-1]):
        parts.pop()
    return ".".join(parts[:depth]) or ROOT


def grouped(nodes: Iterable[str]) -> dict[str, list[str]]:
    """Node names by layer, in the order of their first node; at most :data:`MAX_LAYERS` layers if three depths allow it."""
    names = list(nodes)
    layers: dict[str, list[str]] = {}
    for depth in (3, 2, 1):
        layers = {}
        for name in names:
            layers.setdefault(layer_of(name, depth), []).append(name)
        if len(layers) <= MAX_LAYERS:
            break
    return layers
