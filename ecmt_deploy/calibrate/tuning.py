"""The price per synaptic event of preset ``accurate``, found by measurement on calibration samples held out from the survey.

With a budget: the lowest price, so the smallest error, whose events after T steps stay within it. Without: the fewest events
whose error is :data:`GOOD_ERROR`, but no more of them than the published method spends, unless the error were above
:data:`POOR_ERROR`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import isfinite, log, prod

import msgspec
import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.calibrate.allocation import allocate, fan_outs
from ecmt_deploy.calibrate.expectation import with_expectations
from ecmt_deploy.calibrate.sensitivity import MOST_SAMPLES, Survey, Surveyor, raised, samples_at_once, underrated
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.graph import Program, TuningRecord
from ecmt_deploy.lower import Lowered

#: squared error of the readout after T steps, relative to its variance over the samples: below the first nobody will notice
GOOD_ERROR, POOR_ERROR = 1e-4, 5e-3
#: events per MAC, a little below what the published method spends (its energy ratio of 0.35 is 0.9 / 4.6 times 1.8)
PUBLISHED_EVENTS = 1.7
#: measured errors and events within this share of their goal are not refined further
TOLERANCE = 0.15
BUDGET_TOLERANCE = 0.04
#: a price lowered by this factor that does not lower the error by a tenth has met the floor that T steps set
FLOOR_FACTOR = 8.0
LONGEST_STEP = 16.0
#: trials for one goal, at most
MAX_TRIALS = 10
#: rounds in which nodes whose gradients mislead are measured by themselves
CORRECTIONS = 2
#: of a budget, kept back when it is measured
MARGIN = 0.02
#: one sample in four is held out, at most this many
HELD_OUT = 16


@dataclass(frozen=True)
class Trial:
    """A price, and what came of it on the held-out samples."""

    price: float
    error: float
    events_per_mac: float


def tuned(lowered: Lowered, batches: list[Tensor], config: ConvertConfig, progress: Callable[[str, int], None]) -> Program:
    """``lowered`` with tuned neurons and their expectations; see :func:`ecmt_deploy.calibrate.calibrate`.

    Raises
    ------
    ConversionError
        if the budget cannot be met, or the readout does not vary over the samples.
    """
    program = lowered.program
    if not program.neurons:  # nothing but encoding layers
        return program
    kept, held = _split(batches)
    surveyor = Surveyor(program)
    surveyor.see(kept, lambda samples: progress("calibrate", samples))
    answers = _answers(surveyor.engine, torch.cat(batches))
    variance = _variance(answers)
    expected = _answers(surveyor.engine, held)
    spread = fan_outs(program)
    trials: list[Trial] = []
    floors: dict[str, float] = {}

    def tuned_for(price: float) -> Program:
        return _tuned(lowered, raised(surveyor.surveys(variance), floors), spread, price, config)

    def attempt(price: float) -> Trial:
        model = SpikingModel(tuned_for(price))
        trials.append(_measure(model, held, expected, variance, config.timesteps, price))
        progress("tune", len(trials) * len(held))
        return trials[-1]

    dense = sum(fan * prod(program.shapes[name]) for name, fan in spread.items())
    first = GOOD_ERROR / max(dense, 1.0)
    attempt(first)
    chosen = _choose(attempt, trials, config.budget)
    for _ in range(CORRECTIONS):
        if chosen.error <= POOR_ERROR:
            break
        surveys = raised(surveyor.surveys(variance), floors)
        x, y = held[:MOST_SAMPLES], expected[:MOST_SAMPLES]
        found = underrated(SpikingModel(tuned_for(chosen.price)), x, y, surveys, variance, config.timesteps)
        if not found:
            break
        floors |= {name: max(floors.get(name, 0.0), floor) for name, floor in found.items()}
        trials.clear()
        attempt(first)
        chosen = _choose(attempt, trials, config.budget)
    if held is not kept:  # the price is settled: what was held out makes the survey better
        surveyor.see(held, lambda samples: progress("calibrate", len(kept) + samples))
    record = TuningRecord(len(held), config.timesteps, chosen.price, chosen.error, chosen.events_per_mac, len(trials))
    made = tuned_for(chosen.price)
    return replace(made, provenance=msgspec.structs.replace(made.provenance, tuning=record))


def _answers(engine: SpikingModel, x: Tensor) -> Tensor:
    """The analog readouts (N, ...), float64."""
    return torch.cat([engine.analog(part).double() for part in x.split(samples_at_once(engine.program))])


def _variance(answers: Tensor) -> float:
    """Of the readout over the samples, summed over its elements."""
    variance = float(((answers - answers.mean(dim=0)) ** 2).sum()) / len(answers)
    if not 0 < variance < float("inf"):
        raise ConversionError(
            f"the readout varies by {variance:g} over the {len(answers)} calibration samples; "
            "expected samples that the model answers differently, with finite values"
        )
    return variance


def _choose(attempt: Callable[[float], Trial], trials: list[Trial], budget: float | None) -> Trial:
    """Try prices until the goal is met; ``trials`` holds a first one."""
    if budget is not None:  # the samples to come may take a little more than those measured
        return _within(attempt, trials, budget * (1 - MARGIN))
    good = _cheapest(attempt, trials, GOOD_ERROR)
    if good.events_per_mac <= PUBLISHED_EVENTS:
        return good
    within = _within(attempt, trials, PUBLISHED_EVENTS)
    return within if within.error <= POOR_ERROR else _cheapest(attempt, trials, POOR_ERROR)


def _cheapest(attempt: Callable[[float], Trial], trials: list[Trial], goal: float) -> Trial:
    """The fewest events with an error of at most ``goal``; where T steps do not allow it, with nearly the smallest error."""
    for _ in range(MAX_TRIALS):
        good = [t for t in trials if t.error <= goal]
        bad = [t for t in trials if not t.error <= goal]
        if good and (max(t.error for t in good) >= (1 - TOLERANCE) * goal):
            break
        if not good and _floor(trials):
            break
        if good and bad:
            low, high = max(t.price for t in good), min(t.price for t in bad)
            if high <= low * 1.2:
                break
            attempt((low * high) ** 0.5)
        else:
            end = max(good, key=lambda t: t.price) if good else min(bad, key=lambda t: t.price)
            step = 0.9 * goal / end.error if end.error > 0 and isfinite(end.error) else 0.0 if bad else LONGEST_STEP
            attempt(end.price * float(np.clip(step, 1 / LONGEST_STEP, LONGEST_STEP)))
    allowed = max(goal, 1.1 * min(t.error for t in trials))
    return min((t for t in trials if t.error <= allowed), key=lambda t: t.events_per_mac)


def _floor(trials: list[Trial]) -> bool:
    """Whether the lowest prices, far apart, come to the same error; twice as far where it is poor, which may be a plateau."""
    low, *others = sorted(trials, key=lambda t: t.price)
    apart = FLOOR_FACTOR if low.error <= POOR_ERROR else FLOOR_FACTOR**2
    return any(t.price >= apart * low.price and low.error >= 0.9 * t.error for t in others)


def _within(attempt: Callable[[float], Trial], trials: list[Trial], budget: float) -> Trial:
    """The smallest error with at most ``budget`` events per MAC."""
    for _ in range(MAX_TRIALS):
        met = [t for t in trials if t.events_per_mac <= budget]
        over = [t for t in trials if t.events_per_mac > budget]
        if met and max(t.events_per_mac for t in met) >= (1 - BUDGET_TOLERANCE) * budget:
            break
        if not over and _floor(trials):
            break  # a better answer than T steps allow is not to be had, whatever is spent
        if met and over:
            low, high = min(met, key=lambda t: t.price), max(over, key=lambda t: t.price)
            fewest, most = max(low.events_per_mac, 1e-9), high.events_per_mac
            share = log(budget * (1 - BUDGET_TOLERANCE / 2) / fewest) / log(most / fewest)
            attempt(low.price * (high.price / low.price) ** float(np.clip(share, 0.1, 0.9)))
        else:
            end = min(met, key=lambda t: t.price) if met else max(over, key=lambda t: t.price)
            wanted = (end.events_per_mac / budget) ** 3.0  # events fall about as the cube root of the price
            attempt(end.price * float(np.clip(wanted, 1e-3, 1e3)) * (1.2 if over else 0.8))
    met = [t for t in trials if t.events_per_mac <= budget]
    if not met:
        fewest = min(t.events_per_mac for t in trials)
        raise ConversionError(
            f"a budget of {budget:g} events per MAC cannot be met: the fewest measured are {fewest:.3g}; choose a larger one"
        )
    return min(met, key=lambda t: t.error)


def _tuned(
    lowered: Lowered, surveys: Iterable[tuple[str, Survey]], spread: dict[str, float], price: float, config: ConvertConfig
) -> Program:
    dtype = lowered.program.dtype
    neurons = {
        name: allocate(
            seen,
            spread[name],
            price,
            lowered.sites[name].channel_axis,
            config.level_limit,
            config.recipe.fraction,
            dtype,
        )
        for name, seen in surveys
    }
    return with_expectations(lowered.program, neurons)


def _measure(model: SpikingModel, x: Tensor, answers: Tensor, variance: float, timesteps: int, price: float) -> Trial:
    error, activity = 0.0, None
    together = samples_at_once(model.program)
    for part, expected in zip(x.split(together), answers.split(together), strict=True):
        outputs, counts = model.count(part, timesteps)
        error += float(((outputs[-1].double() - expected) ** 2).sum())
        activity = counts if activity is None else activity + counts
    assert activity is not None
    return Trial(price, error / len(x) / variance, activity.events_per_mac(model.program.encoding) or 0.0)


def _split(batches: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Samples to survey, and samples held out from it (from a handful, all serve for both)."""
    x = torch.cat(batches)
    if len(x) < 8:
        return x, x
    held = torch.arange(len(x)) % 4 == 3
    held &= held.cumsum(0) <= HELD_OUT
    return x[~held], x[held]
