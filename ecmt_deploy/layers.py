"""Nodes grouped into layers a person can read: by module path, as deep as keeps their number small."""

from __future__ import annotations

from collections.abc import Iterable

MAX_LAYERS = 40


def layer_of(node: str, depth: int) -> str:
    """The layer of a node: the first ``depth`` parts of its path."""
    return ".".join(node.split(".")[:depth])


def depth_for(nodes: Iterable[str]) -> int:
    """Depth of path at which there are at most :data:`MAX_LAYERS` layers, three at most."""
    names = list(nodes)
    for depth in (3, 2):
        if len({layer_of(name, depth) for name in names}) <= MAX_LAYERS:
            return depth
    return 1


def grouped(nodes: Iterable[str]) -> dict[str, list[str]]:
    """Node names by layer, in the order of their first node."""
    names = list(nodes)
    depth = depth_for(names)
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(layer_of(name, depth), []).append(name)
    return layers
