"""Which nodes share cores: a unit begins with the node that decides its cores, and elementwise work joins it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ecmt_deploy.placement.streams import Operand
from ecmt_deploy.placement.tiles import Tile
from ecmt_deploy.program import Program

if TYPE_CHECKING:
    from ecmt_deploy.placement.tiling import Demand


@dataclass(eq=False)
class Draft:
    """A unit before it has cores, and with them.

    Attributes
    ----------
    names : its nodes, in the order of the program; the first decides the cores
    demand : what it asks of its cores
    tile : what one core takes; ``None`` where it could not be divided
    tile_of : tile of each element of the first node (flat); ``None`` where there is none
    first_core : its first core
    """

    names: list[str] = field(default_factory=list)
    demand: Demand = field(init=False)
    tile: Tile | None = None
    tile_of: np.ndarray | None = None
    first_core: int = 0

    @property
    def cores(self) -> int:
        """How many cores it takes; 0 where it could not be divided."""
        return self.tile.cores if self.tile else 0


@dataclass(eq=False)
class Drafts:
    """The units of a program.

    Attributes
    ----------
    program, read : the program, and the operands of its nodes
    units : in the order of the program
    home : index of each node's unit
    origin : by node, for each element of its stream (flat) the element of the unit's first node whose core computes it;
        ``None`` where they are the same element by element
    rows : the same for what a node that couples whole rows takes, in the operand's shape, where it joined a unit
    """

    program: Program
    read: Mapping[str, tuple[Operand, ...]]
    units: list[Draft] = field(default_factory=list)
    home: dict[str, int] = field(default_factory=dict)
    origin: dict[str, np.ndarray | None] = field(default_factory=dict)
    rows: dict[str, np.ndarray] = field(default_factory=dict)

    def put(self, name: str, unit: int, origin: np.ndarray | None = None) -> None:
        """A node on the cores of ``unit``, which it begins where there is no such unit yet."""
        self.home[name], self.origin[name] = unit, origin
        if unit == len(self.units):
            self.units.append(Draft())
        self.units[unit].names.append(name)

    def unit_of(self, name: str) -> Draft:
        """The unit of a node."""
        return self.units[self.home[name]]

    def tile_of(self, name: str) -> np.ndarray | None:
        """Tile of each element of a node's stream (flat), within its unit; ``None`` where the unit has no cores."""
        tile_of, origin = self.unit_of(name).tile_of, self.origin[name]
        return tile_of if tile_of is None or origin is None else tile_of[origin]


#: layers that decide the cores of a unit; everything else is computed where its operands are
CONNECTED = ("linear", "convolution", "matmul")


def gather(program: Program, read: Mapping[str, tuple[Operand, ...]], alone: Collection[str | None]) -> Drafts:
    """The units of ``program``.

    Synapses and products of matrices begin a unit, and so do the nodes in ``alone``. Every other node joins the unit that
    computes its main operand: among the operands that come from one unit whole, the latest unit's of those as large as the
    result; a node without such an operand begins a unit too.
    """
    drafts = Drafts(program, read)
    for name, inputs in read.items():
        node = program.nodes[name]
        if node.role in ("output", "constant") or name in program.outside:
            continue
        shape = program.shapes[name]
        begins = node.layer in CONNECTED or name in alone
        unit, main = (-1, None) if begins else _main(drafts, inputs, prod(shape))
        if main is None:
            drafts.put(name, len(drafts.units))
            continue
        codes, axes = inherited(drafts, main), node.coupling(len(main.shape))
        if axes:
            drafts.rows[name] = _explicit(codes, main.shape)
        if main.shape != shape:
            codes = _reshaped(_explicit(codes, main.shape), axes, shape)
        drafts.put(name, unit, codes)
    return drafts


def _explicit(codes: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Origins as an array of ``shape``, also where they are the elements themselves."""
    return (np.arange(prod(shape)) if codes is None else codes).reshape(shape)


def _reshaped(codes: np.ndarray, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Where a result of ``shape`` is computed: where the first of its row is, or the operand that is repeated."""
    if axes:
        first = tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(codes.ndim))
        return codes[first].ravel()
    return np.broadcast_to(codes, shape).ravel()


def _main(drafts: Drafts, inputs: tuple[Operand, ...], size: int) -> tuple[int, Operand | None]:
    """The operand that a node follows, and its unit."""
    homes = [({drafts.home[emitter] for emitter in operand.sources}, operand) for operand in inputs]
    whole = [(units.pop(), operand) for units, operand in homes if len(units) == 1]
    return max(whole, key=lambda found: (prod(found[1].shape) >= size, found[0]), default=(-1, None))


def inherited(drafts: Drafts, operand: Operand) -> np.ndarray | None:
    """Where the elements of an operand from one unit are computed, flat, as in :class:`Drafts`; constants among them are put
    beside their neighbours."""
    codes: np.ndarray | None = None
    for emitter, places in operand.sources.items():
        origin = drafts.origin[emitter]
        if places is None:
            return origin
        mine = places if origin is None else np.where(places >= 0, origin[places], -1)
        codes = mine if codes is None else np.maximum(codes, mine)
    assert codes is not None
    return beside(codes).ravel()


def beside(codes: np.ndarray) -> np.ndarray:
    """``codes`` with each -1 replaced by the next one that is not: in its column above or below, then in its row."""
    if codes.min(initial=0) >= 0:
        return codes
    matrix = codes.reshape(-1, codes.shape[-1] if codes.ndim else 1)
    for _ in range(2):
        for step in (1, -1):
            ways = matrix[::step]
            last = np.maximum.accumulate(np.where(ways >= 0, np.arange(len(ways))[:, None], -1), axis=0)
            found = np.take_along_axis(ways, np.maximum(last, 0), axis=0)
            matrix = np.where(last >= 0, found, ways)[::step]
        matrix = matrix.T
    return matrix.reshape(codes.shape)


def split_rows(drafts: Drafts, unit: Draft) -> str | None:
    """The first node of a unit that couples rows which lie on several cores, or on none."""
    for name in unit.names:
        if name not in drafts.rows:
            continue
        if unit.tile_of is None:
            return name
        axes = drafts.program.nodes[name].coupling(drafts.rows[name].ndim)
        tiles = unit.tile_of[drafts.rows[name]]
        if (tiles.min(axis=axes) != tiles.max(axis=axes)).any():
            return name
    return None
