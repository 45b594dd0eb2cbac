"""Break-even of view (c) over the size of the tiles that both sides lie in."""

from __future__ import annotations

from collections.abc import Sequence

from ecmt_deploy.chips import Hardware
from ecmt_deploy.estimation.memory import memory_view, together
from ecmt_deploy.estimation.result import TilePoint
from ecmt_deploy.estimation.tiles import CURVE_BYTES, stated_tiles
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity


def tile_curve(
    activity: Activity, program: Program, hardware: Hardware, ann_bits: int | None = None, sizes: Sequence[int] = CURVE_BYTES
) -> tuple[TilePoint, ...]:
    """View (c) in tiles of several sizes, whatever chip the program may be on.

    Parameters
    ----------
    hardware : the memory model, such as that of ``horowitz45``
    ann_bits : width of the ANN's activations, as of :func:`~ecmt_deploy.estimation.memory.memory_view`
    sizes : of a tile, in bytes

    Raises
    ------
    ConfigError, HardwareError
        if a size or a width is none, or the chip has no model of memories.
    """
    points = []
    for size in sizes:
        view = memory_view(activity, program, hardware, ann_bits, stated_tiles(program, hardware, size))
        events, even = together(view.rows.values())
        points.append(TilePoint(size, events, even, sum(view.snn_pj.values()), sum(view.ann_pj.values())))
    return tuple(points)
