"""The cores of a chip as a map: squares in the order of the mesh, coloured by how full they are."""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np

from ecmt_deploy.errors import plural
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.report.charts.axes import TALLEST, figure, tip, width
from ecmt_deploy.report.charts.palette import GREY, INK, PALE, VERMILION, WHITE
from ecmt_deploy.report.charts.svg import chart
from ecmt_deploy.report.csv import Table
from ecmt_deploy.report.data import units, utilisation
from ecmt_deploy.report.units import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

#: units of a square at most, and from which size on it holds the number of its unit
LARGEST, NUMBERED = 16.0, 9.0
#: most squares
MOST = 20_000
_NOWHERE, _FREE = -2, -1


def stride(placement: Placement) -> int:
    """For how many cores a square of the map stands."""
    return ceil(placement.cores / MOST)


def grid(placement: Placement, cores_per_chip: int | None) -> np.ndarray:
    """Which unit every core belongs to, as it lies on its chip.

    Returns
    -------
    (rows, columns) of indices into ``placement.units``; -1 a core that is free, -2 no core. Tiles fill a chip row by row, to
    and fro, as :mod:`ecmt_deploy.placement` numbers them, and the cores of a tile make a block; where the mesh is unknown every
    core is a tile of a mesh about twice as wide as high. Chips lie one after another, as lines of text do. Of more than
    ``MOST`` cores every :func:`stride`-th is shown, and no chips; chips of one core are not told apart either.
    """
    each = stride(placement)
    cores, mesh = ceil(placement.cores / each), placement.mesh
    per_chip = cores_per_chip or cores
    if each > 1 or per_chip == 1:
        per_chip, mesh = cores, None
    wide = ceil(sqrt(2 * per_chip))
    tile_columns, tile_rows, per_tile = mesh or (wide, ceil(per_chip / wide), 1)
    chips = ceil(cores / per_chip)
    owners = np.full((chips, tile_rows * tile_columns * per_tile), _NOWHERE)
    owners[:, :per_chip] = _FREE
    for i, unit in enumerate(placement.units):
        shown = np.arange(ceil(unit.first_core / each), ceil((unit.first_core + unit.cores) / each))
        owners[np.divmod(shown, per_chip)] = i
    across = next(width for width in range(ceil(sqrt(per_tile)), per_tile + 1) if per_tile % width == 0)  # cores side by side
    tiles = owners.reshape(chips, tile_rows, tile_columns, per_tile // across, across)
    tiles[:, 1::2] = tiles[:, 1::2, ::-1].copy()
    maps = tiles.transpose(0, 1, 3, 2, 4).reshape(chips, tile_rows * (per_tile // across), tile_columns * across)
    return _side_by_side(maps)


def _side_by_side(maps: np.ndarray) -> np.ndarray:
    """Chips (chips, rows, columns) in lines with gaps between, together about as wide as high."""
    chips, rows, columns = maps.shape
    in_line = min(chips, max(1, ceil(sqrt(chips * (rows + 1) / (columns + 1)))))
    lines = ceil(chips / in_line)
    page = np.full((lines, in_line, rows + 1, columns + 1), _NOWHERE)
    page.reshape(-1, rows + 1, columns + 1)[:chips, :rows, :columns] = maps
    return page.transpose(0, 2, 1, 3).reshape(lines * (rows + 1), in_line * (columns + 1))[:-1, :-1]


@chart
def core_map(placement: Placement, cores_per_chip: int | None) -> tuple[Figure, Table]:
    """The map, see :func:`draw_cores`."""
    cells = grid(placement, cores_per_chip)
    rows, columns = cells.shape
    room = 72 * width() - 16
    size = min(LARGEST, room / columns, (72 * TALLEST) / rows)
    made, axes = figure(rows * size / 72 + 0.75)
    draw_cores(axes, placement, cells, size)
    axes.set_xlim(-0.1, room / size)  # squares of that size, at the left
    _tips(axes, placement, cells)
    return made, units(placement)


def draw_cores(axes: Axes, placement: Placement, cells: np.ndarray, size: float) -> None:
    """The cores as squares of about ``size`` units, in larger ones the number of their unit as in the table of units.

    ``cells`` is what :func:`grid` makes of the placement; lines part units.
    """
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_rgba
    from matplotlib.patches import PathPatch

    rows, columns = cells.shape
    colours = matplotlib.colormaps["cividis_r"]
    shares = [utilisation(unit)[1] for unit in placement.units]
    image = np.zeros((rows, columns, 4))
    image[cells == _FREE] = to_rgba(PALE)
    for i, share in enumerate(shares):
        image[cells == i] = to_rgba(GREY) if share is None else to_rgba(VERMILION) if share > 1 else colours(share)
    axes.imshow(image, interpolation="none", extent=(0, columns, rows, 0))
    axes.set_xlim(-0.1, columns + 0.1)
    axes.set_ylim(rows + 0.1, -0.1)
    axes.set_aspect("equal", anchor="W")
    axes.axis("off")
    if size > 3:  # between cores
        axes.vlines(range(columns + 1), 0, rows, color=WHITE, linewidth=0.5)
        axes.hlines(range(rows + 1), 0, columns, color=WHITE, linewidth=0.5)
    axes.add_patch(PathPatch(_borders(cells), fill=False, edgecolor=INK, linewidth=0.9 if size > 4 else 0.4))
    if size >= NUMBERED:
        for i, share in enumerate(shares):
            row, column = next(zip(*np.nonzero(cells == i), strict=True), (None, None))
            if row is not None and column is not None:
                dark = share is not None and share > 0.5
                axes.text(column + 0.5, row + 0.5, str(i + 1), ha="center", va="center", fontsize=6.5 if i < 99 else 5.5,
                          color="#fefefe" if dark else "#101418")  # fmt: skip
    bar = axes.figure.colorbar(ScalarMappable(Normalize(0, 100), colours), ax=axes, orientation="horizontal", aspect=40,
                               fraction=0.05, pad=0.02, anchor=(0.0, 1.0))  # fmt: skip
    bar.set_label("used, %")
    bar.outline.set_linewidth(0)


def _tips(axes: Axes, placement: Placement, cells: np.ndarray) -> None:
    """What a page shows of a unit that the pointer rests on."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    for i, unit in enumerate(placement.units):
        corners: list[tuple[int, int]] = []
        for row in np.flatnonzero((cells == i).any(axis=1)):
            ends = np.flatnonzero(np.diff(cells[row] == i, prepend=False, append=False))
            for left, right in ends.reshape(-1, 2):
                corners += [(left, row), (right, row), (right, row + 1), (left, row + 1), (left, row)]
        if corners:
            resource, share = utilisation(unit)
            full = (
                "no limit is known" if share is None or resource is None else f"{resource.replace('_', ' ')}: {percent(share)}"
            )
            text = f"{i + 1}: {unit.name}\n{plural(unit.cores, 'core')}\n{full}"
            path = Path(corners, codes * (len(corners) // 5))
            axes.add_patch(PathPatch(path, fill=False, linewidth=0, gid=tip(text)))


def _borders(cells: np.ndarray) -> Path:
    """Where neighbours belong to different units: one path, in as few strokes as it takes."""
    from matplotlib.path import Path

    points: list[tuple[int, int]] = []
    for turned in (False, True):
        turn = cells.T if turned else cells
        padded = np.pad(turn, ((0, 0), (1, 1)), constant_values=_NOWHERE)
        differ = padded[:, 1:] != padded[:, :-1]
        for line in range(differ.shape[1]):
            ends = np.flatnonzero(np.diff(differ[:, line], prepend=False, append=False))  # starts and ends in turn
            points += [(int(end), line) if turned else (line, int(end)) for end in ends]
    return Path(np.array(points).reshape(-1, 2), [Path.MOVETO, Path.LINETO] * (len(points) // 2))
