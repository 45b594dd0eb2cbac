"""What the first node of a unit asks of a core, by kind of node, and which cores need which elements of its operands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import ceil, prod
from typing import Any

import numpy as np

from ecmt_deploy.placement.tiles import Grid, Tile
from ecmt_deploy.program.ops import Op

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Reach:
    """Which tiles need each element of an operand.

    Attributes
    ----------
    group : group of tiles by element; broadcasts with the operand
    starts, tiles : the tiles of group g are ``tiles[starts[g] : starts[g + 1]]``
    """

    group: np.ndarray
    starts: np.ndarray
    tiles: np.ndarray

    @classmethod
    def rows(cls, tile: Tile) -> Reach:
        """Each element is needed by all tiles of its row."""
        row = tile.of_rows().reshape((*tile.grid.shape[:-1], 1))
        return cls(row, np.arange(0, tile.cores + 1, tile.column_tiles), np.arange(tile.cores))

    @property
    def sizes(self) -> np.ndarray:
        """Tiles of each group."""
        return np.diff(self.starts)


class Layer(ABC):
    """The first node of a unit.

    Attributes
    ----------
    grid : its outputs
    fan_in : axons that reach one output
    whole : whether a row may not be divided
    synapses : whether it stores a weight for each axon that reaches an output
    repeats : whether its rows or positions have the same weights
    axons : axons of one element of each operand (0: constants alone)
    """

    fan_in = 0
    whole = False
    synapses = False
    repeats = False

    def __init__(self, grid: Grid, axons: tuple[int, ...]) -> None:
        self.grid, self.axons = grid, axons

    @abstractmethod
    def input_axons(self, tile: Tile, sharing: bool) -> int:
        """Axons that reach the tile with the most; ``sharing``: rows and positions share those of a channel."""

    def weights(self, tile: Tile, sharing: bool) -> int:
        """Weights stored by a tile: one copy for all its rows, or a copy for each."""
        return (1 if sharing else tile.rows) * tile.columns * self.fan_in if self.synapses else 0

    def sums(self, tile: Tile) -> int:
        """Running sums of operands that a tile keeps in the place of weights."""
        return 0

    @abstractmethod
    def reach(self, tile: Tile, operand: int) -> Reach:
        """Which tiles need each element of an operand."""


class Linear(Layer):
    """A linear map: a core takes whole rows of the operand, and the weights of its columns."""

    synapses = True

    def __init__(
        self, node: Any, shape: Shape, operands: tuple[Shape, ...], axons: tuple[int, ...], halving: bool = False
    ) -> None:
        super().__init__(Grid.of(shape, tuple(range(len(shape) - 1))), axons)
        self.fan_in = node.weight.shape[1] * axons[0]
        self.repeats = self.grid.rows > 1

    def input_axons(self, tile: Tile, sharing: bool) -> int:
        return self.fan_in if sharing else tile.rows * self.fan_in

    def reach(self, tile: Tile, operand: int) -> Reach:
        return Reach.rows(tile)


class Convolution(Layer):
    """A convolution: rows are positions; a core takes the windows of its positions."""

    synapses = True
    repeats = True

    def __init__(
        self, node: Any, shape: Shape, operands: tuple[Shape, ...], axons: tuple[int, ...], halving: bool = False
    ) -> None:
        # halves of an image are made of its columns, whole, so that these come one after the other
        turned = halving and len(shape) > 2
        axes = (len(shape) - 1, *range(1, len(shape) - 1)) if turned else tuple(range(1, len(shape)))
        super().__init__(Grid.of(shape, axes, slab=prod(shape[1:-1]) if turned else 1), axons)
        (operand,) = operands
        self.operand = operand
        self.groups = int(node.groups)
        self.channels = operand[0] // self.groups  # of the operand, that one output sees
        self.fan_in = prod(node.weight.shape[1:]) * axons[0]
        self.windows = node.under(operand[1:], shape[1:])
        if turned:
            self.windows = np.moveaxis(self.windows.reshape((*shape[1:], -1)), -2, 0).reshape(self.windows.shape)
        self.positions = cache(self._positions)  # by rows of a tile

    def _positions(self, tile: Tile) -> np.ndarray:
        """``(position of the operand, row tile that sees it)``, each pair once, sorted: (pairs, 2)."""
        seen, tap = np.nonzero(self.windows >= 0)
        pairs = self.windows[seen, tap] * tile.row_tiles + tile.of_rows()[seen]
        return np.stack(np.divmod(np.unique(pairs), tile.row_tiles), axis=1)

    def _groups_seen(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """First and last group of channels of each column tile."""
        per_group = self.grid.columns // self.groups
        first = np.arange(0, self.grid.columns, tile.columns)
        last = np.minimum(first + tile.columns, self.grid.columns) - 1
        return first // per_group, last // per_group

    def input_axons(self, tile: Tile, sharing: bool) -> int:
        first, last = self._groups_seen(tile)
        channels = int((last - first).max() + 1) * self.channels
        if sharing:
            return channels * self.axons[0]
        positions = self.positions(Tile(self.grid, tile.rows, self.grid.columns))
        return int(np.bincount(positions[:, 1]).max(initial=0)) * channels * self.axons[0]

    def reach(self, tile: Tile, operand: int) -> Reach:
        first, last = self._groups_seen(tile)
        seen = (first[:, None] <= np.arange(self.groups)) & (np.arange(self.groups) <= last[:, None])  # column tile, group
        kinds, kind_of_group = np.unique(seen, axis=1, return_inverse=True)  # groups seen by the same column tiles
        kind_of_channel = np.repeat(kind_of_group.ravel(), self.channels)
        positions = self.positions(Tile(self.grid, tile.rows, self.grid.columns))
        places = prod(self.operand[1:])
        # one set of tiles for each kind of channel and position: the row tiles that see it by the column tiles that see it
        members = [(kind, np.flatnonzero(kinds[:, kind])) for kind in range(kinds.shape[1])]
        tiles = np.concatenate([
            (positions[:, 1][:, None] * tile.column_tiles + columns).ravel() for _, columns in members
        ])  # fmt: skip
        counts = np.bincount(positions[:, 0], minlength=places)
        sizes = np.concatenate([counts * len(columns) for _, columns in members])
        group = kind_of_channel[:, None] * places + np.arange(places)
        return Reach(group.reshape(self.operand), np.concatenate([[0], np.cumsum(sizes)]), tiles)


class Product(Layer):
    """``ECMProduct`` of matrices: the running sums of both operands are its weights."""

    def __init__(
        self, node: Op, shape: Shape, operands: tuple[Shape, ...], axons: tuple[int, ...], halving: bool = False
    ) -> None:
        super().__init__(Grid.of(shape, tuple(range(len(shape) - 1)), block=shape[-2]), axons)
        self.inner = operands[0][-1]
        self.fan_in = self.inner * (axons[0] + axons[1])
        #: words of each operand: its sum, and what a reset needs again
        self.kept = tuple(1 + varies(initial) for initial in node.initials)

    def input_axons(self, tile: Tile, sharing: bool) -> int:
        return self.inner * (tile.rows * self.axons[0] + tile.blocks * tile.columns * self.axons[1])

    def sums(self, tile: Tile) -> int:
        left, right = self.kept
        return self.inner * (tile.rows * left + tile.blocks * tile.columns * right)

    def reach(self, tile: Tile, operand: int) -> Reach:
        *batch, rows, _ = self.grid.shape
        if operand == 0:
            return Reach.rows(tile)
        heads = np.arange(prod(batch)) // tile.blocks  # which heads share their row tiles
        per_head = ceil(rows / tile.rows)  # row tiles of a head, or of the heads of one row tile
        group = heads.reshape((*batch, 1, 1)) * tile.column_tiles + tile.of_columns()
        tiles = np.arange(tile.cores).reshape(-1, per_head, tile.column_tiles).transpose(0, 2, 1)
        return Reach(group, np.arange(0, tile.cores + 1, per_head), tiles.ravel())


class Elements(Layer):
    """Everything else: functions of whole rows, means, and elementwise nodes whose operands come from several units."""

    def __init__(
        self, node: Op, shape: Shape, operands: tuple[Shape, ...], axons: tuple[int, ...], halving: bool = False
    ) -> None:
        axes = node.coupling(len(operands[0]))
        self.whole = bool(axes) and shape == operands[0]
        row_axes = tuple(axis for axis in range(len(shape)) if axis not in axes) if self.whole else tuple(range(len(shape) - 1))
        super().__init__(Grid.of(shape, row_axes), axons)
        self.node, self.operands = node, operands
        #: axons that reach one output
        self.each = sum(max(prod(o) // prod(shape), 1) * a for o, a in zip(operands, axons, strict=True))

    def input_axons(self, tile: Tile, sharing: bool) -> int:
        return tile.rows * tile.columns * self.each

    def reach(self, tile: Tile, operand: int) -> Reach:
        return elementwise(self.node, tile.of_elements(), self.grid.shape, self.operands[operand], tile.cores)


class Mean(Elements):
    """A mean is synapses of one weight."""

    def __init__(
        self, node: Op, shape: Shape, operands: tuple[Shape, ...], axons: tuple[int, ...], halving: bool = False
    ) -> None:
        super().__init__(node, shape, operands, axons)
        self.fan_in = self.each

    def weights(self, tile: Tile, sharing: bool) -> int:
        return 1 if sharing else tile.rows * tile.columns * self.fan_in


def elementwise(node: Op, tile_of: np.ndarray, shape: Shape, operand: Shape, cores: int) -> Reach:
    """Each element of an operand is needed where the result it takes part in is computed (``tile_of``, flat)."""
    axes = node.coupling(len(operand))
    kept = tile_of.reshape(shape)
    if axes and len(shape) < len(operand):  # a mean that drops its axes
        kept = np.expand_dims(kept, axes)
    return Reach(kept, np.arange(cores + 1), np.arange(cores))  # one tile each


_LAYERS: dict[str, Callable[..., Layer]] = {
    "linear": Linear, "convolution": Convolution, "matmul": Product, "mean": Mean, "elements": Elements,
}  # fmt: skip


def varies(initial: np.ndarray) -> bool:
    """Whether a state before the first step differs from element to element, so that it is kept beside the state."""
    return bool(np.min(initial) != np.max(initial))


def layer(node: Op, shape: Shape, operands: tuple[Shape, ...], axons: tuple[int, ...], halving: bool = False) -> Layer:
    """The layer of a unit's first node.

    Parameters
    ----------
    shape, operands : of its stream and its operands
    axons : axons of one element of each operand
    halving : whether the chip's tools divide it in halves
    """
    return _LAYERS[node.layer](node, shape, operands, axons, halving)
