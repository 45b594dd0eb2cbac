"""Nodes grouped into layers a person can read: by module path, as deep as keeps their number small."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

from ecmt_deploy.program.functions import FUNCTIONS

#: as many layers as a screen shows; where one step coarser leaves so few, up to how many there may be instead
MAX_LAYERS, FEW, MANY = 40, 8, 60
#: last parts of node names that say what a node does, not which module it belongs to
_OPERATIONS = re.compile(
    r"(add|scale|matmul|multiply|softmax|reshape|permute|slice|take|expand|pad|concat|mean|constant|mask|bias|hold|readout|input"
    rf"|output|neuron(_left|_right)?|{'|'.join(name for name, known in FUNCTIONS.items() if known.elementary)})(_\d+)?"
)
ROOT = "(model)"


def module_of(node: str) -> str:
    """The path of a node's module, as it is in the ``nn.Module``."""
    parts = node.split(".")
    while parts and _OPERATIONS.fullmatch(parts[-1]):
        parts.pop()
    return ".".join(parts) or ROOT


def divided(nodes: Iterable[str], depth: int) -> dict[str, list[str]]:
    """Node names by the first ``depth`` parts of the paths of their modules, in the order of their first node."""
    return _divided(nodes, lambda parts: depth)


def grouped(nodes: Iterable[str], most: int = MAX_LAYERS) -> dict[str, list[str]]:
    """Node names by layer, in the order of their first node, as deep as leaves at most ``most`` layers.

    Layers are the modules of a block (``blocks.3.attn``, ``vit.encoder.layer.3.attention``, ``layers.1.blocks.0.mlp``), else
    blocks, else stages of blocks, else what the model consists of; but not so coarse that next to nothing is left.
    """
    names = list(nodes)
    finer: dict[str, list[str]] = {}
    for level in range(4):
        layers = _divided(names, partial(_depth, level))
        if len(layers) < FEW and FEW <= len(finer) <= MANY:
            return finer
        if len(layers) <= most:
            return layers
        finer = layers
    return finer


def _divided(nodes: Iterable[str], depth: Callable[[list[str]], int]) -> dict[str, list[str]]:
    layers: dict[str, list[str]] = {}
    for name in nodes:
        parts = module_of(name).split(".")
        layers.setdefault(".".join(parts[: depth(parts)]), []).append(name)
    return layers


def _depth(level: int, parts: list[str]) -> int:
    """How many parts of a path name its layer: blocks and stages are numbered."""
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    if not numbers:
        return max(3 - level, 1)
    return (numbers[-1] + 2, numbers[-1] + 1, numbers[0] + 1, 1)[level]
