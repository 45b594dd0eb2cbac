"""Programs for prices per synaptic event, and what comes of them: how far their answers are off, and how many events they take.

The answer of a sample is off by a distance: that of the readout after T steps from the analog one, relative to the spread of
the analog readouts. The mean distance is what is judged: the mean of its squares hangs on the one or two worst samples, and
so on which samples were drawn.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf, isclose, prod
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.allocation import silent_price
from ecmt_deploy.conversion.calibration.tools.answers import MOST_SAMPLES, Answers, analog_readouts, readout_variance
from ecmt_deploy.conversion.calibration.tools.correction import RIDGES, corrected
from ecmt_deploy.conversion.calibration.tools.expectation import with_expectations
from ecmt_deploy.conversion.calibration.tools.misleading import misled, underrated
from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.conversion.calibration.tools.survey import Survey, survey
from ecmt_deploy.conversion.calibration.tools.together import together
from ecmt_deploy.conversion.lowering import Lowered
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program, ops

#: error of the readout, relative to its variance, that the first price is a guess for
FIRST_ERROR = 5e-5
#: a price in the middle of what budgets come to, in first guesses
MIDDLING = 30.0
#: a distance from which on what neurons keep back can be told apart, and the factor between prices that are tried for it
TELLING, FURTHER = 0.03, 5.0
#: samples on which programs are measured, at most
MANY = 64
#: so many samples tell how many events there are, which corrections hardly change
ROUGHLY = 8
#: samples whose means differ by less say the same
ALIKE = 0.02
SEED = 0


class Tuned(Protocol):
    """A preset whose programs follow from a price."""

    @property
    def timesteps(self) -> int:
        """Steps T that programs are measured for."""

    @property
    def corrects(self) -> bool:
        """Whether what dead zones keep back is made up for: in what sensitivities say of a node as a whole, and by weights."""

    def neuron(self, seen: Survey, fan_out: float, price: float, channel_axis: int | None, initial: np.ndarray) -> ops.Op:
        """The neuron for a price per synaptic event; parameters as of :func:`.allocation.level_neuron`."""


@dataclass(frozen=True)
class Trial:
    """A price, and what came of it.

    Attributes
    ----------
    price : relative squared error that one synaptic event is worth
    distances : of every sample that was measured (N,)
    events_per_mac : synaptic events after T steps
    """

    price: float
    distances: np.ndarray
    events_per_mac: float

    @property
    def distance(self) -> float:
        """The mean distance; infinite where a readout is no number."""
        mean = float(self.distances.mean())
        return mean if mean < inf else inf

    def __add__(self, other: Trial) -> Trial:
        """The same on these samples and on others."""
        weights = len(self.distances), len(other.distances)
        events = float(np.average([self.events_per_mac, other.events_per_mac], weights=weights))
        return Trial(self.price, np.concatenate([self.distances, other.distances]), events)

    def agrees(self, other: Trial) -> bool:
        """Whether both say nearly the same."""
        pairs = (self.distance, other.distance), (self.events_per_mac, other.events_per_mac)
        return all(isclose(a, b, rel_tol=ALIKE) for a, b in pairs)


class Trials:
    """Programs for prices, made from one survey of samples ``x`` (N, *input shape) and measured on some of them.

    Attributes
    ----------
    good, poor : mean distances after T steps: below the first nobody will notice
    answers : the samples that programs are measured on, with their analog readouts
    examples : other samples (N, *input shape), from which corrections of weights are learnt; none where there are none
    fan_outs : synaptic events per spike, by neuron
    first_price : a first guess
    number : programs that were measured
    ridge : of the corrections, that which comes nearest on samples that they are not learnt from
    """

    good, poor = 0.007, 0.05

    def __init__(self, lowered: Lowered, x: Tensor, preset: Tuned, progress: Callable[[str, int], None]) -> None:
        self.lowered, self.preset = lowered, preset
        self.number, self._measured, self._progress = 0, 0, progress
        program, engine = lowered.program, SpikingModel(lowered.program)
        variance = readout_variance(analog_readouts(engine, x))
        self.use(survey(engine, x, variance, lambda samples: progress("calibrate", samples)))
        # in an order of no meaning: the first few stand for all
        self._x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(SEED))]
        judged = -(-len(x) // 2) if preset.corrects else len(x)
        self.examples = self._x[judged:][:MANY]
        self.answers = self.judged(engine, self._x[:judged][:MANY], variance)
        self.fan_outs = program.fan_outs
        # what is expected does not depend on the price: it is folded in once
        neurons: dict[str, Any] = {name: program.nodes[name] for name in self.surveys}
        for name, seen in self.surveys.items():
            neurons[name] = replace(neurons[name], initial_membrane=-seen.expected.astype(program.dtype))
        self.base = with_expectations(program, neurons)
        dense = sum(fan * prod(program.shapes[name]) for name, fan in self.fan_outs.items())
        self.first_price = FIRST_ERROR / max(dense, 1.0)
        self.ridge = inf
        if preset.corrects:
            self._see_together()
        if len(self.examples):
            self.ridge = self._best_ridge()

    def _see_together(self) -> None:
        """Raise sensitivities by how much more the answer minds what the neurons of a node keep back together."""
        made, surveys = SpikingModel(self.uncorrected(self._telling_price())), self.surveys.items()
        found = together(made, self._x[:MANY], self.preset.timesteps, lambda samples: self._progress("calibrate", samples))
        self.use({name: replace(seen, sensitivity=seen.sensitivity * found[name]) for name, seen in surveys})

    def judged(self, engine: SpikingModel, x: Tensor, variance: float) -> Answers:
        """What programs are measured on: samples x, with the answers of the analog ``engine``."""
        return Answers(x, analog_readouts(engine, x), variance)

    def use(self, surveys: Mapping[str, Survey]) -> None:
        """Make programs by these surveys from now on."""
        self.surveys = surveys
        self._trials: dict[tuple[float, int], Trial] = {}  # of programs by them

    def final(self, price: float) -> Program:
        """The program for a price, its corrections learnt from all samples."""
        return self._corrected(self.uncorrected(price), self._x[: 2 * MANY])

    def program(self, price: float) -> Program:
        """The program for a price, as it is measured."""
        return self._corrected(self.uncorrected(price), self.examples)

    def _corrected(self, program: Program, examples: Tensor) -> Program:
        if not len(self.examples) or self.ridge == inf:
            return program
        # of more samples less is luck: the same ridge is a smaller one beside what they add up to
        return corrected(program, examples, self.preset.timesteps, self.ridge * len(self.examples) / len(examples))

    def _telling_price(self) -> float:
        """A price at which enough is kept back to be told apart."""
        price = MIDDLING * self.first_price
        while self._apart(price) < max(TELLING, self.good) and price < silent_price(self.surveys, self.fan_outs):
            price *= FURTHER
        return price

    def _best_ridge(self) -> float:
        """The ridge whose corrections come nearest, at a price at which they matter."""
        price, distances = self._telling_price(), {}
        for self.ridge in RIDGES:
            distances[self.ridge] = self._apart(price)
        return min(distances, key=distances.__getitem__)

    def _apart(self, price: float) -> float:
        """The distance of the program for a price, on all samples that programs are measured on."""
        self.number += 1
        return self._measure(SpikingModel(self.program(price)), price, 0, len(self.answers.x)).distance

    def uncorrected(self, price: float) -> Program:
        """The program for a price, its weights as they are."""
        neurons = {}
        for name, seen in self.surveys.items():
            axis, initial = self.lowered.channel_axes[name], self.base.nodes[name].initial_membrane
            neurons[name] = self.preset.neuron(seen, self.fan_outs[name], price, axis, initial)
        return with_nodes(self.base, neurons)

    def attempt(self, price: float, samples: int) -> Trial:
        """Measure the program for a price, once: on so many samples, or on half of them if these say the same as a quarter."""
        if (price, samples) not in self._trials:
            program = self.program(price) if samples > ROUGHLY else self.uncorrected(price)
            model, most = SpikingModel(program), min(samples, len(self.answers.x))
            trial = self._measure(model, price, 0, -(-most // 4))
            for end in (-(-most // 2), most):
                before, trial = trial, trial + self._measure(model, price, len(trial.distances), end)
                if before.agrees(trial):
                    break
            self._trials[price, samples] = trial
            self.number += 1
        return self._trials[price, samples]

    def _measure(self, model: SpikingModel, price: float, begin: int, end: int) -> Trial:
        """On samples ``begin`` to ``end``."""
        counted, answers = [], self.answers[begin:end]
        for x, _ in answers.parts(model.program):
            counted.append(model.count(x, self.preset.timesteps))
            self._measured += len(x)
            self._progress("tune", self._measured)
        readouts = torch.cat([outputs[-1] for outputs, _ in counted]).double()
        distances = (readouts - answers.readouts).flatten(1).norm(dim=1) / answers.variance**0.5
        activity = functools.reduce(operator.add, (activity for _, activity in counted))
        return Trial(price, distances.numpy(), activity.events_per_mac(model.program.encoding) or 0.0)

    def misleading(self, price: float) -> dict[str, float]:
        """Nodes whose gradients mislead, with the sensitivities that they have at least; none where all errors are foretold."""
        model = SpikingModel(self.program(price))
        judged = self.answers[:MOST_SAMPLES], self.surveys, self.preset.timesteps
        return underrated(model, *judged) if misled(model, *judged) else {}
