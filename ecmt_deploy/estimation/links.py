"""Packets on the links of the mesh, from routes alone: each route spread evenly over the cores of its two units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecmt_deploy.chips import Hardware
from ecmt_deploy.placement.result import Placement, Route, Unit
from ecmt_deploy.placement.routes import positions
from ecmt_deploy.placement.terms import Terms


class Pattern(NamedTuple):
    """Share of a route's hops that each directed link has, (links,): of those east or west, and of those north or south."""

    east_west: np.ndarray
    north_south: np.ndarray


class Links:
    """The directed links between the tiles that a placement uses; none where the mesh is unknown.

    A packet goes first along its row, then along a column. Which core of a unit sends to which of another is not known here, so
    all pairs send alike, and the hops of a route are the placement's: what a link has is a mean, and the busiest link's a lower
    bound.
    """

    def __init__(self, hardware: Hardware, placement: Placement) -> None:
        terms = Terms.of(hardware)
        self.known = placement.mesh is not None and terms.mesh is not None and placement.cores > 0
        self.where = positions(placement.cores, terms)[1:] if self.known else np.zeros((2, 0), np.int64)
        self.shape = tuple(int(most) + 1 for most in self.where.max(axis=1)) if self.known else (0, 0)

    @property
    def number(self) -> int:
        """Directed links: four for every tile, those that lead off the mesh among them."""
        return 4 * self.shape[0] * self.shape[1]

    def pattern(self, source: Unit, target: Unit) -> Pattern:
        """How packets from the cores of one unit to those of another spread over the links, (columns, rows) by direction."""
        sources, targets = self._share(source), self._share(target)
        # along the row it starts in, over each border between columns: from here or before, to beyond
        before, beyond = sources.cumsum(axis=0), 1 - targets.sum(axis=1).cumsum()
        east = before * beyond[:, None]
        west = (sources.sum(axis=0) - before) * (1 - beyond)[:, None]
        # along the column it ends in, over each border between rows
        above, below = sources.sum(axis=0).cumsum(), targets.cumsum(axis=1)
        south = above * (targets.sum(axis=1)[:, None] - below)
        north = (1 - above) * below
        nothing = np.zeros_like(east)
        return Pattern(_shares(east, west, nothing, nothing), _shares(nothing, nothing, south, north))

    def packets(self, pattern: Pattern, sent: Route) -> np.ndarray:
        """Packets on each link, (links,), of what goes along a route."""
        found: np.ndarray = pattern.east_west * sent.hops_ew + pattern.north_south * sent.hops_ns
        return found

    def _share(self, unit: Unit) -> np.ndarray:
        """Share of a unit's cores on each tile, (columns, rows)."""
        found = np.zeros(self.shape)
        columns, rows = self.where[:, unit.first_core : unit.first_core + unit.cores]
        np.add.at(found, (columns, rows), 1 / unit.cores)
        return found


def _shares(*directions: np.ndarray) -> np.ndarray:
    """All directions in one row, whose sum is 1; nothing where no packet goes that way."""
    together = np.stack(directions).clip(min=0).ravel()
    total = together.sum()
    shares: np.ndarray = together / total if total > 0 else together
    return shares
