"""Where a measured quantity crosses a goal: a bracketed search that needs it to grow on the whole, not at every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log
from typing import NamedTuple

#: however far away the guess is
LONGEST_STEP = 4.0


class Point(NamedTuple):
    """A position, and what was measured there (not negative)."""

    at: float
    value: float


class Bracket(NamedTuple):
    """The points between which the goal lies.

    Attributes
    ----------
    under : the last one at or under the goal; ``None`` where even the lower end is over it
    over : the first one over it, behind ``under``; ``None`` where none was found
    """

    under: Point | None
    over: Point | None


@dataclass(frozen=True)
class Search:
    """How to search.

    Attributes
    ----------
    goal : what the quantity may be at most
    low, high : ends of the range; at ``low`` the quantity is as small as it can be
    slope : about how fast the logarithm of the quantity grows with the position: the guess of the first steps
    tolerance : a point at most this share under the goal is near enough
    resolution : a bracket of this width is narrow enough
    most : measurements, at most; more are made only while none is under the goal
    """

    goal: float
    low: float
    high: float
    slope: float
    tolerance: float
    resolution: float
    most: int

    def run(self, measure: Callable[[float], float], start: float, enough: Callable[[], bool] = lambda: False) -> Bracket:
        """Search from ``start``.

        Until the goal lies between two points, steps grow, so that the end of the range is reached after a few; then each
        measurement replaces the end of the bracket on its side. So the quantity may have noise, steps and plateaus: what is
        found is a place where it crosses the goal, under it on one side and over it on the other.

        Parameters
        ----------
        measure : the quantity at a position
        enough : asked, while all points are on one side of the goal, whether to stop looking for the other side
        """
        under: Point | None = None
        over: Point | None = None
        at, measured, streak = min(max(start, self.low), self.high), 0, 0
        while True:
            value = measure(at)
            point = Point(at, value if value < inf else inf)  # what is no number is over the goal
            measured += 1
            met = point.value <= self.goal
            streak = max(streak, 0) + 1 if met else min(streak, 0) - 1  # how often in a row on this side
            if met:
                under = point
            else:
                over = point
            if under is not None and (under.value >= (1 - self.tolerance) * self.goal or measured >= self.most):
                break
            if under is not None and over is not None:
                if over.at - under.at <= self.resolution:
                    break
                at = under.at + self._share(under, over, streak) * (over.at - under.at)
            elif at == (self.low if under is None else self.high) or enough():
                break
            else:
                stride = max(self._reach(point), self.resolution * 3**measured)
                at = max(at - stride, self.low) if under is None else min(at + stride, self.high)
        return Bracket(under, over)

    def _share(self, under: Point, over: Point, streak: int) -> float:
        """Where the line through both, in logarithms, meets the goal, as a share of the way between them.

        An end that stays where it is while the other is replaced counts less and less, so that it is replaced in its turn
        (regula falsi after Dowell and Jarratt's Illinois algorithm).
        """
        if under.value <= 0 or over.value == inf:
            return 0.5
        aim = (1 - self.tolerance / 2) * self.goal
        below, above = log(aim / under.value), log(over.value / aim)
        if streak > 1:
            above /= 2 ** (streak - 1)
        elif streak < -1:
            below /= 2 ** (-streak - 1)
        return min(max(below / (below + above), 0.05), 0.95)

    def _reach(self, point: Point) -> float:
        """A step that should lead a little beyond the goal."""
        away = abs(log(point.value / self.goal)) if 0 < point.value < inf else 0.0
        return min(1.2 * away / self.slope, LONGEST_STEP)
