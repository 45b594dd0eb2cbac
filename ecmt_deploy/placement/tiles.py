"""Outputs as a grid of rows and columns, and the tile of it that one core computes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

import numpy as np


@dataclass(frozen=True)
class Grid:
    """How the outputs of a unit's first node are laid out.

    Attributes
    ----------
    shape : of the node's stream
    axes : its axes, those of the rows first
    columns : size of a row: channels, key columns, the coupled elements
    block : rows that share a right operand (the query rows of a head); otherwise all rows
    slab : rows that halving keeps together as long as it can: a column of an image; otherwise one
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    columns: int
    block: int
    slab: int = 1

    @classmethod
    def of(cls, shape: tuple[int, ...], row_axes: tuple[int, ...], block: int | None = None, slab: int = 1) -> Grid:
        """A grid whose rows are made by ``row_axes``, in this order, and whose columns by the other axes, in theirs."""
        column_axes = tuple(axis for axis in range(len(shape)) if axis not in row_axes)
        rows = prod(shape[axis] for axis in row_axes)
        return cls(shape, row_axes + column_axes, prod(shape[axis] for axis in column_axes), block or rows, slab)

    @property
    def rows(self) -> int:
        """How many rows."""
        return prod(self.shape) // self.columns

    def matrix(self, flat: np.ndarray) -> np.ndarray:
        """Values by element (flat) as a matrix of rows and columns."""
        return flat.reshape(self.shape).transpose(self.axes).reshape(self.rows, self.columns)

    def flat(self, matrix: np.ndarray) -> np.ndarray:
        """Values by row and column as values by element."""
        moved = matrix.reshape([self.shape[axis] for axis in self.axes])
        return moved.transpose(np.argsort(self.axes)).ravel()


@dataclass(frozen=True)
class Tile:
    """A core's share of a grid: ``rows`` by ``columns``; a tile holds rows of one block, or whole blocks."""

    grid: Grid
    rows: int
    columns: int

    @property
    def row_tiles(self) -> int:
        """Tiles from top to bottom."""
        if self.rows >= self.grid.block:
            return ceil(self.grid.rows / self.rows)
        return self.grid.rows // self.grid.block * ceil(self.grid.block / self.rows)

    @property
    def column_tiles(self) -> int:
        """Tiles from left to right."""
        return ceil(self.grid.columns / self.columns)

    @property
    def cores(self) -> int:
        """How many tiles, so how many cores."""
        return self.row_tiles * self.column_tiles

    @property
    def blocks(self) -> int:
        """Blocks that a tile has rows of."""
        return max(self.rows // self.grid.block, 1)

    def of_rows(self) -> np.ndarray:
        """Row tile of each row."""
        rows, block = np.arange(self.grid.rows), self.grid.block
        if self.rows >= block:
            return rows // self.rows
        return rows // block * ceil(block / self.rows) + rows % block // self.rows

    def of_columns(self) -> np.ndarray:
        """Column tile of each column."""
        return np.arange(self.grid.columns) // self.columns

    def of_elements(self) -> np.ndarray:
        """Tile of each element, flat; tiles are numbered along the rows."""
        return self.grid.flat(self.of_rows()[:, None] * self.column_tiles + self.of_columns())


def row_choices(grid: Grid) -> list[int]:
    """Rows a tile may have, the most first: blocks, or parts of a block, as evenly as can be."""
    blocks = _even(grid.rows // grid.block)
    return [size * grid.block for size in blocks] + [size for size in _even(grid.block) if size < grid.block]


def halved_rows(grid: Grid) -> list[int]:
    """Rows a tile may have where layers are halved, the most first: a power of two of slabs, or less than one; whole blocks, or
    such a part of one. The room for all of them is set aside, even where fewer are left."""
    within = [
        *(slabs * grid.slab for slabs in _powers(grid.block // grid.slab)),
        *(r for r in _powers(grid.slab) if r < grid.slab),
    ]
    if grid.rows == grid.block:
        return within
    return [*(blocks * grid.block for blocks in _powers(grid.rows // grid.block)), *(r for r in within if r < grid.block)]


def _powers(size: int) -> list[int]:
    """Powers of two, descending, from the first that holds all of it."""
    return [2**k for k in range((size - 1).bit_length(), -1, -1)]


def _even(size: int) -> list[int]:
    """The different ``ceil(size / k)``, descending."""
    return sorted({ceil(size / k) for k in range(1, size + 1)}, reverse=True)


class Load:
    """What elements need of a resource, summed over tiles: the same of every element, or by row and column."""

    def __init__(self, grid: Grid, each: int | np.ndarray) -> None:
        self.grid, self.each, self.sums = grid, 0, None
        if np.ndim(each) and np.min(each) != np.max(each):
            self.sums = np.zeros((grid.rows + 1, grid.columns + 1), np.int64)
            self.sums[1:, 1:] = grid.matrix(np.asarray(each)).cumsum(axis=0).cumsum(axis=1)
        else:
            self.each = int(np.max(each))

    def most(self, tile: Tile) -> int:
        """The need of the fullest tile."""
        if self.sums is None:
            return tile.rows * tile.columns * self.each
        rows = np.append(np.flatnonzero(np.diff(tile.of_rows(), prepend=-1)), self.grid.rows)
        columns = np.append(np.arange(0, self.grid.columns, tile.columns), self.grid.columns)
        return int(np.diff(np.diff(self.sums[np.ix_(rows, columns)], axis=0), axis=1).max())
