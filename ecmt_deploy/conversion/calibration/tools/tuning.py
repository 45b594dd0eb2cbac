"""The price per synaptic event that meets a budget or a distance, found by measurement on the calibration samples.

With a budget: the lowest price, so the smallest distance, whose events after T steps stay within it. Without: the fewest events
whose distance is good, but no more of them than the published method spends, unless the distance were poor; which distances
these are, the trials say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import exp, isclose, log
from typing import NamedTuple

import msgspec
import numpy as np

from ecmt_deploy.conversion.calibration.tools.allocation import silent_price
from ecmt_deploy.conversion.calibration.tools.search import Bracket, Search
from ecmt_deploy.conversion.calibration.tools.trials import MANY, Trial, Trials
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.program import Program, TuningRecord

#: events per MAC, a little below what the published method spends (its energy ratio of 0.35 is 0.9 / 4.6 times 1.8)
PUBLISHED_EVENTS = 1.7
#: a price lowered by this factor that does not lower the distance by a twentieth has met the floor that T steps set
FLOOR_FACTOR = 8.0
#: what a distance may be, of the least that T steps allow
NEARLY = 1.1
#: prices below the first guess by this factor are not tried
LOWEST_PRICE = 1e-15
#: rounds in which nodes whose gradients mislead are measured by themselves, and to what share of the distance one must lead
#: for another
CORRECTIONS, WORTHWHILE = 2, 0.9
#: of a budget, kept back: samples that were not measured take a little more
MARGIN = 0.02
#: programs measured on all samples for a distance, unless one is so near
POLISHED, NEAR_ENOUGH = 3, 0.05

#: about how fast distances grow with the price: as this power of it
DISTANCE_POWER = 0.5
#: by quantity, whether it grows or falls with the price, and on how many samples at most a price is looked for: events differ
#: little from one sample to the next
SIGN, FEW = {"distance": 1, "events_per_mac": -1}, {"distance": 16, "events_per_mac": 8}
#: how it is looked for, along its logarithm or that of its reciprocal
SEARCH = {
    "distance": partial(Search, slope=DISTANCE_POWER, tolerance=0.15, resolution=0.2, most=8),
    "events_per_mac": partial(Search, slope=0.25, tolerance=0.02, resolution=0.03, most=10),
}


@dataclass(frozen=True)
class Goal:
    """The most of a quantity that trials have: events per MAC, or the mean distance."""

    quantity: str
    most: float

    def value(self, trial: Trial) -> float:
        """The quantity of a trial."""
        return float(getattr(trial, self.quantity))


class Found(NamedTuple):
    """What a search ended with: for which goal, the best trial, and the points about the goal."""

    goal: Goal
    best: Trial
    bracket: Bracket

    def record(self, timesteps: int, trials: int) -> TuningRecord:
        """What the program keeps of it: tuned for so many steps, by so many trials."""
        return TuningRecord(
            samples=len(self.best.distances),
            timesteps=timesteps,
            synop_price=self.best.price,
            relative_error=float((self.best.distances**2).mean()),
            events_per_mac=self.best.events_per_mac,
            trials=trials,
            goal=self.goal.quantity,
            most=self.goal.most,
            beyond=self.bracket.over.value if self.bracket.over else None,
            mean_distance=self.best.distance,
            worst_distance=float(self.best.distances.max()),
        )


def tuned(trials: Trials, budget: float | None) -> Program:
    """The program of the best price, with a record of how it was found; parameters and errors as of :class:`Tuner`."""
    found = Tuner(trials, budget).tune()
    made = trials.final(found.best.price)
    record = found.record(trials.preset.timesteps, trials.number)
    return replace(made, provenance=msgspec.structs.replace(made.provenance, tuning=record))


class Tuner:
    """Searches among ``trials`` for a price, with a ``budget`` of synaptic events per MAC or without one."""

    def __init__(self, trials: Trials, budget: float | None) -> None:
        self.trials, self.budget = trials, budget

    def tune(self) -> Found:
        """The price to take, sought again where gradients mislead.

        Raises
        ------
        ConversionError
            if the budget cannot be met.
        """
        found = self.choose(self.trials.first_price)
        for _ in range(CORRECTIONS):
            surveys, before = self.trials.surveys, found
            floors = self.trials.misleading(before.best.price) if before.best.distance > self.trials.poor else {}
            if not floors:
                break
            least = {name: np.maximum(seen.sensitivity, floors.get(name, 0.0)) for name, seen in surveys.items()}
            self.trials.use({name: replace(seen, sensitivity=least[name]) for name, seen in surveys.items()})
            found = self.choose(before.best.price)
            if found.best.distance > before.best.distance:  # errors so large that what is measured for small ones is no guide
                self.trials.use(surveys)
                found = before
            if found.best.distance > WORTHWHILE * before.best.distance:
                break
        return found

    def choose(self, start: float) -> Found:
        """Search from the price ``start``: on few samples until the goal is known and near, then on all of them."""
        if self.budget is not None:  # samples to come may take a little more than those measured
            return self.spend(self.budget * (1 - MARGIN), start)
        found = self._reach(self.trials.good, start)
        if found.best.events_per_mac > PUBLISHED_EVENTS:
            within = self._search(Goal("events_per_mac", PUBLISHED_EVENTS), found.best.price)
            if within.best.distance <= self.trials.poor:
                return self.spend(PUBLISHED_EVENTS, within.best.price)
            found = self._reach(self.trials.poor, within.best.price)
        return self._polish(found)

    def spend(self, most: float, start: float) -> Found:
        """The nearest answer within so many events per MAC, searched from the price ``start``."""
        goal = Goal("events_per_mac", most)
        return self._search(goal, self._search(goal, start).best.price, MANY)

    def _reach(self, distance: float, start: float) -> Found:
        """The fewest events for a distance; where T steps do not allow it, for little more than the least that they do."""
        found = self._search(Goal("distance", distance), start)
        if found.bracket.under is not None:
            return found
        return self._search(Goal("distance", NEARLY * found.best.distance), found.best.price)

    def _search(self, goal: Goal, start: float, samples: int | None = None) -> Found:
        """The best price for a goal; on few samples unless their number is given."""
        tried: dict[float, Trial] = {}  # by position
        trials, sign = self.trials, SIGN[goal.quantity]

        def measure(at: float) -> float:
            tried[at] = trials.attempt(exp(sign * at), samples or FEW[goal.quantity])
            return goal.value(tried[at])

        def enough() -> bool:  # a nearer answer than T steps allow is not to be had, whatever is spent
            met = any(goal.value(trial) <= goal.most for trial in tried.values())
            return _floor(list(tried.values()), trials.poor) and (met or goal.quantity == "distance")

        prices = trials.first_price * LOWEST_PRICE, max(silent_price(trials.surveys, trials.fan_outs), trials.first_price)
        low, high = sorted(sign * log(price) for price in prices)
        bracket = SEARCH[goal.quantity](goal.most, low, high).run(measure, sign * log(start), enough)
        if bracket.under is not None:  # the last program that meets the goal is the best that does
            return Found(goal, tried[bracket.under.at], bracket)
        if goal.quantity == "events_per_mac":
            fewest = min(trial.events_per_mac for trial in tried.values())
            raise ConversionError(
                f"a budget of {self.budget or goal.most:g} events per MAC cannot be met: the program whose neurons are silent"
                f" takes {fewest:.3g}; choose a larger one"
            )
        return Found(goal, min(tried.values(), key=lambda trial: trial.distance), bracket)

    def _polish(self, found: Found) -> Found:
        """Distances on all samples near a price that was found on few, and where they meet the goal together.

        The distance of one program is a matter of luck: which of many roundings fall together. So each trial says at which
        price it expects the goal, and the next is where all so far do on average.
        """
        price, expected, goal = found.best.price, [], found.goal.most
        near = found.bracket.under is not None and found.best.distance > 0.5 * goal  # neither a floor nor silence
        for _ in range(POLISHED if near else 1):
            last = self.trials.attempt(price, MANY)
            fewer = len(last.distances) < len(self.trials.answers.x)
            if fewer and isclose(last.distance, goal, rel_tol=NEAR_ENOUGH):
                break  # and no luck: half of the samples said the same
            factor = (goal / last.distance) ** (1 / DISTANCE_POWER)
            expected.append(log(price * float(np.clip(factor, 0.25, 4.0))))
            price = exp(float(np.mean(expected)))
        return found._replace(best=last)


def _floor(trials: list[Trial], poor: float) -> bool:
    """Whether the lowest prices, far apart, come to one distance; twice as far where it is poor, which may be a plateau."""
    low, *others = sorted(trials, key=lambda t: t.price)
    apart = FLOOR_FACTOR if low.distance <= poor else FLOOR_FACTOR**2
    return any(t.price >= apart * low.price and low.distance >= 0.95 * t.distance for t in others)
