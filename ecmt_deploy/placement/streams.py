"""What every operand of a node is made of: which elements of which node's stream, with all wiring folded away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from ecmt_deploy.program import Program


@dataclass(frozen=True, eq=False)
class Operand:
    """One operand of a node.

    Attributes
    ----------
    shape : its shape
    sources : by name of the node that emits, which of its elements stands where: flat indices in the operand's ``shape``,
        -1 where the element is not from that node; ``None`` where the operand is that stream as it is
    image : the same of what enters from outside (:attr:`Program.outside`): an analog image, rows of an embedding, masks; empty
        where nothing of that is there
    """

    shape: tuple[int, ...]
    sources: Mapping[str, np.ndarray | None]
    image: Mapping[str, np.ndarray | None]

    @property
    def from_input(self) -> bool:
        """Whether elements that enter from outside are among its own."""
        return bool(self.image)


def operands(program: Program) -> dict[str, tuple[Operand, ...]]:
    """The operands of every node that is not wiring; constants emit nothing, they live where they are used."""
    wired: dict[str, dict[str, np.ndarray]] = {}  # by wiring node: 1 + flat index, so that what wiring pads is 0, nothing
    read: dict[str, tuple[Operand, ...]] = {}
    for name, node in program.nodes.items():
        if node.role == "movement":
            wired[name] = _wire(program, name, wired)
            continue
        read[name] = tuple(_operand(program, source, wired) for source in program.operands[name])
        if node.role == "constant":
            wired[name] = {}
    return read


def _wire(program: Program, name: str, wired: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    inputs = program.operands[name]
    parts = [wired[source] if source in wired else {source: _whole(program.shapes[source])} for source in inputs]
    nothing = [np.broadcast_to(np.int64(0), program.shapes[source]) for source in inputs]
    emitters = dict.fromkeys(emitter for part in parts for emitter in part)
    return {
        emitter: program.nodes[name].rewire(*(part.get(emitter, none) for part, none in zip(parts, nothing, strict=True)))
        for emitter in emitters
    }


def _whole(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(1, 1 + prod(shape), dtype=np.int64).reshape(shape)


def _operand(program: Program, source: str, wired: dict[str, dict[str, np.ndarray]]) -> Operand:
    sources: dict[str, np.ndarray | None] = {source: None}
    if source in wired:
        sources = {emitter: places - 1 for emitter, places in wired[source].items() if places.any()}
    image = {name: sources.pop(name) for name in list(sources) if name in program.outside}
    return Operand(program.shapes[source], sources, image)
