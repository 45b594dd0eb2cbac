"""The price per synaptic event of preset ``accurate``, found by measurement on the calibration samples.

With a budget: the lowest price, so the smallest distance, whose events after T steps stay within it. Without: the fewest events
whose distance is :data:`GOOD`, but no more of them than the published method spends, unless the distance were above
:data:`POOR`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, isclose, log
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.calibration.tools.allocation import silent_price
from ecmt_deploy.conversion.calibration.tools.search import Bracket, Search
from ecmt_deploy.conversion.calibration.tools.survey import raised
from ecmt_deploy.conversion.calibration.tools.trials import MANY, Trial, Trials
from ecmt_deploy.conversion.lowering import Lowered
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.program import Program, TuningRecord

#: mean distance after T steps: below the first nobody will notice
GOOD, POOR = 0.007, 0.05
#: events per MAC, a little below what the published method spends (its energy ratio of 0.35 is 0.9 / 4.6 times 1.8)
PUBLISHED_EVENTS = 1.7
#: about how fast distances grow, and events fall, with the price: as these powers of it
DISTANCE_POWER, EVENTS_POWER = 0.5, 0.25
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
#: samples on which a price is looked for, at most; events differ little from one to the next
FEW = {"distance": 16, "events_per_mac": 8}
#: tolerance, resolution (in powers of e) and number of trials of a search
EFFORT = {"distance": (0.15, 0.2, 8), "events_per_mac": (0.02, 0.03, 10)}
#: programs measured on all samples for a distance, unless one is so near
POLISHED, NEAR_ENOUGH = 3, 0.05


@dataclass(frozen=True)
class Goal:
    """The most events per MAC, or the largest mean distance."""

    quantity: Literal["events_per_mac", "distance"]
    most: float

    def value(self, trial: Trial) -> float:
        """What the goal limits."""
        return float(getattr(trial, self.quantity))


def tuned(lowered: Lowered, batches: list[Tensor], config: ConvertConfig, progress: Callable[[str, int], None]) -> Program:
    """``lowered`` with tuned neurons and their expectations; see :func:`ecmt_deploy.conversion.calibration.calibrate`.

    Raises
    ------
    ConversionError
        if the budget cannot be met, or the readout does not vary over the samples.
    """
    if not lowered.program.neurons:  # nothing but encoding layers
        return lowered.program
    tuner = _Tuner(lowered, torch.cat(batches), config, progress)
    found = tuner.choose(tuner.first_price)
    for _ in range(CORRECTIONS):
        surveys, before = tuner.surveys, found
        floors = tuner.misleading(before.best.price) if before.best.distance > POOR else {}
        if not floors:
            break
        tuner.use({name: raised(seen, floors.get(name, 0.0)) for name, seen in surveys.items()})
        found = tuner.choose(before.best.price)
        if found.best.distance > before.best.distance:  # errors so large that what is measured for small ones is no guide
            tuner.use(surveys)
            found = before
        if found.best.distance > WORTHWHILE * before.best.distance:
            break
    chosen = found.best
    made = tuner.program(chosen.price)
    record = TuningRecord(
        samples=len(chosen.distances),
        timesteps=config.timesteps,
        synop_price=chosen.price,
        relative_error=float((chosen.distances**2).mean()),
        events_per_mac=chosen.events_per_mac,
        trials=tuner.number,
        goal=found.goal.quantity,
        most=found.goal.most,
        beyond=found.bracket.over.value if found.bracket.over else None,
        mean_distance=chosen.distance,
        worst_distance=float(chosen.distances.max()),
    )
    return replace(made, provenance=msgspec.structs.replace(made.provenance, tuning=record))


class _Found(NamedTuple):
    """A search that has ended: for what, with what, between which points."""

    goal: Goal
    best: Trial
    bracket: Bracket


class _Tuner(Trials):
    """Searches for prices."""

    def choose(self, start: float) -> _Found:
        """The search that the configuration asks for: on few samples until its goal is known and near, then on all of them."""
        if self.config.budget is not None:  # samples to come may take a little more than those measured
            return self._spend(self.config.budget * (1 - MARGIN), start)
        found = self._reach(GOOD, start)
        if found.best.events_per_mac > PUBLISHED_EVENTS:
            within = self._search(Goal("events_per_mac", PUBLISHED_EVENTS), found.best.price)
            if within.best.distance <= POOR:
                return self._spend(PUBLISHED_EVENTS, within.best.price)
            found = self._reach(POOR, within.best.price)
        return self._polish(found)

    def _reach(self, distance: float, start: float) -> _Found:
        """The fewest events for a distance; where T steps do not allow it, for little more than the least that they do."""
        found = self._search(Goal("distance", distance), start)
        if found.bracket.under is not None:
            return found
        return self._search(Goal("distance", NEARLY * found.best.distance), found.best.price)

    def _search(self, goal: Goal, start: float, samples: int | None = None) -> _Found:
        """The best price for a goal; on few samples unless their number is given."""
        trials: dict[float, Trial] = {}
        # the position is the logarithm of the price; of its reciprocal, along which events grow
        sign, power = (1, DISTANCE_POWER) if goal.quantity == "distance" else (-1, EVENTS_POWER)

        def measure(at: float) -> float:
            trials[at] = self.attempt(exp(sign * at), samples or FEW[goal.quantity])
            return goal.value(trials[at])

        def enough() -> bool:  # a nearer answer than T steps allow is not to be had, whatever is spent
            met = any(goal.value(trial) <= goal.most for trial in trials.values())
            return _floor(list(trials.values())) and (met or goal.quantity == "distance")

        prices = self.first_price * LOWEST_PRICE, max(silent_price(self.surveys, self.fan_outs), self.first_price)
        low, high = sorted(sign * log(price) for price in prices)
        search = Search(goal.most, low, high, power, *EFFORT[goal.quantity])
        bracket = search.run(measure, sign * log(start), enough)
        if bracket.under is not None:  # the last program that meets the goal is the best that does
            return _Found(goal, trials[bracket.under.at], bracket)
        if goal.quantity == "events_per_mac":
            fewest = min(trial.events_per_mac for trial in trials.values())
            raise ConversionError(
                f"a budget of {self.config.budget:g} events per MAC cannot be met: the program whose neurons are silent takes"
                f" {fewest:.3g}; choose a larger one"
            )
        return _Found(goal, min(trials.values(), key=lambda trial: trial.distance), bracket)

    def _spend(self, most: float, start: float) -> _Found:
        """The nearest answer within so many events per MAC."""
        goal = Goal("events_per_mac", most)
        return self._search(goal, self._search(goal, start).best.price, MANY)

    def _polish(self, found: _Found) -> _Found:
        """Distances on all samples near a price that was found on few, and where they meet the goal together.

        The distance of one program is a matter of luck: which of many roundings fall together. So each trial says at which
        price it expects the goal, and the next is where all so far do on average.
        """
        price, expected, goal = found.best.price, [], found.goal.most
        near = found.bracket.under is not None and found.best.distance > 0.5 * goal  # neither a floor nor silence
        for _ in range(POLISHED if near else 1):
            last = self.attempt(price, MANY)
            if len(last.distances) < len(self.x) and isclose(last.distance, goal, rel_tol=NEAR_ENOUGH):
                break  # and no luck: half of the samples said the same
            factor = (goal / last.distance) ** (1 / DISTANCE_POWER)
            expected.append(log(price * float(np.clip(factor, 0.25, 4.0))))
            price = exp(float(np.mean(expected)))
        return found._replace(best=last)


def _floor(trials: list[Trial]) -> bool:
    """Whether the lowest prices, far apart, come to one distance; twice as far where it is poor, which may be a plateau."""
    low, *others = sorted(trials, key=lambda t: t.price)
    apart = FLOOR_FACTOR if low.distance <= POOR else FLOOR_FACTOR**2
    return any(t.price >= apart * low.price and low.distance >= 0.95 * t.distance for t in others)
