"""Energy = counts x price, in three views, and time. Pure arithmetic: no input, no output, no defaults for what is unknown.

(a) the papers' estimate (:mod:`~ecmt_deploy.estimation.paper`), (b) the chip's own prices
(:mod:`~ecmt_deploy.estimation.chip`), (c) memory included, against the same network quantised
(:mod:`~ecmt_deploy.estimation.memory`). ``docs/energy.md`` has the formulas.
"""

from __future__ import annotations

from ecmt_deploy.chips.actions import COMPONENTS
from ecmt_deploy.estimation.curve import tile_curve
from ecmt_deploy.estimation.memory import together
from ecmt_deploy.estimation.paper import PAPER_AC_PJ, PAPER_MAC_PJ
from ecmt_deploy.estimation.pricing import energy
from ecmt_deploy.estimation.result import NOTHING, Band, Energy, MemoryRow, MemoryView, PaperView, Row, TilePoint, Timing
from ecmt_deploy.estimation.waterfall import Cause, Waterfall

__all__ = [
    "COMPONENTS",
    "NOTHING",
    "PAPER_AC_PJ",
    "PAPER_MAC_PJ",
    "Band",
    "Cause",
    "Energy",
    "MemoryRow",
    "MemoryView",
    "PaperView",
    "Row",
    "TilePoint",
    "Timing",
    "Waterfall",
    "energy",
    "tile_curve",
    "together",
]  # fmt: skip
