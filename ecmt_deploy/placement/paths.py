"""The way of a packet over the mesh: first along its row, then along a column; every directed link that it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecmt_deploy.placement.terms import Mesh


@dataclass(frozen=True, eq=False)
class Paths:
    """The ways of many packets, each from one core to another.

    Attributes
    ----------
    links : directed links that any of them takes, named as in :class:`~ecmt_deploy.placement.loads.Loads`
    way, link : which of the ways takes which of the links, a pair for each
    """

    links: tuple[tuple[int, int, int, int, int], ...]
    way: np.ndarray
    link: np.ndarray

    def packets(self, counts: np.ndarray) -> np.ndarray:
        """Packets on each link, (links,), of so many on each way, (ways,)."""
        found = np.bincount(self.link, weights=counts[self.way], minlength=len(self.links))
        return found.astype(np.int64)


def on_board(chip: np.ndarray, chip_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of chips (by number) on a board so many chips wide, which they fill to and fro."""
    row, column = np.divmod(chip, chip_columns)
    return np.where(row % 2, chip_columns - 1 - column, column), row


def distances(where: np.ndarray, sources: np.ndarray, targets: np.ndarray, chip_columns: int) -> np.ndarray:
    """Borders of chips, and hops between tiles east-west and north-south, from core to core: (3, ways).

    Parameters as of :func:`paths`.
    """
    columns, rows = on_board(where[0], chip_columns)
    borders = np.abs(columns[sources] - columns[targets]) + np.abs(rows[sources] - rows[targets])
    return np.stack([borders, *np.abs(where[1:, sources] - where[1:, targets])])


def paths(where: np.ndarray, sources: np.ndarray, targets: np.ndarray, mesh: Mesh | None, chip_columns: int) -> Paths:
    """Ways between cores, first east or west, then north or south.

    Parameters
    ----------
    where : of each core its chip, and column and row of its tile over all chips, (3, cores)
    sources, targets : cores, (ways,)
    mesh : of a chip; ``None`` where unknown, and then there are no links
    chip_columns : chips that stand side by side; the next row of them goes on below, to and fro
    """
    if mesh is None:
        return Paths((), np.zeros(0, np.int64), np.zeros(0, np.int64))
    (x, y), (to_x, to_y) = where[1:, sources], where[1:, targets]
    ways, steps = zip(_along(x, to_x), _along(y, to_y), strict=True)
    (way_x, way_y), (at_x, at_y) = ways, steps
    taken = np.concatenate(
        [
            np.stack([at_x[0], y[way_x], at_x[1], y[way_x]]),  # along the row it starts in
            np.stack([to_x[way_y], at_y[0], to_x[way_y], at_y[1]]),  # along the column it ends in
        ],
        axis=1,
    )
    different, link = np.unique(taken, axis=1, return_inverse=True)
    columns, rows = mesh.columns, mesh.rows
    row, column = different[1] // rows, different[0] // columns
    chip = row * chip_columns + np.where(row % 2, chip_columns - 1 - column, column)  # as on_board numbers them
    first_column, first_row = different[0] // columns * columns, different[1] // rows * rows
    origin = np.stack([first_column, first_row, first_column, first_row])
    named = np.concatenate([chip[None], different - origin]).T.tolist()
    return Paths(tuple((a, b, c, d, e) for a, b, c, d, e in named), np.concatenate([way_x, way_y]), link.ravel())


def _along(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps along one axis: ``(way, (from, to))``, each step once."""
    length = np.abs(end - start)
    way = np.repeat(np.arange(len(start)), length)
    number = np.arange(len(way)) - np.repeat(np.cumsum(length) - length, length)
    sign = np.sign(end - start)[way]
    at = start[way] + sign * number
    return way, np.stack([at, at + sign])
