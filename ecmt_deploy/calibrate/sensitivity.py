"""What reaches each neuron, and how much the answer minds an error there.

The sensitivity S of an operand element is the mean squared derivative of the readout with respect to it, summed over the
readout's elements and divided by the readout's variance: an independent error of variance d there adds S d to the relative
squared error of the answer, to first order. It is measured without labels on the analog program, by one backward pass a
sample from a random combination of the readout's elements with coefficients +-1, whose expected square is that sum
(Hutchinson's estimator).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.graph import Program

#: operands of more elements a sample (attention over thousands of tokens) are measured with their rows pooled
POOLED_ABOVE = 1 << 20
#: a measured sensitivity counts as many samples as it has; the product of its row's and its channel's counts this many
PRIOR_SAMPLES = 8.0
#: a node alone may err this many times what its gradients say, and this much in any case
MISLED_BY, NEGLIGIBLE = 4.0, 1e-5
#: neurons computed at once (8 samples at most): bounds what a backward pass keeps
NEURONS_AT_ONCE = 1 << 25
MOST_SAMPLES = 8
SEED = 0


@dataclass(frozen=True)
class Survey:
    """What was seen at one neuron node; arrays have the operand's shape (its rows as one where they were pooled), float64.

    Attributes
    ----------
    expected : mean over samples
    reach : largest distance from ``expected``
    sensitivity : S, relative squared error of the readout per squared error; 0 where nothing depends on the element
    """

    expected: np.ndarray
    reach: np.ndarray
    sensitivity: np.ndarray


class _Sums:
    """Running sums of one neuron node."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.pooled = len(shape) > 1 and int(np.prod(shape)) > POOLED_ABOVE
        self.count = 0
        self.x: Tensor | float = 0.0
        self.squared_gradient: Tensor | float = 0.0
        self.low: Tensor | None = None
        self.high: Tensor | None = None

    def see(self, x: Tensor, gradient: Tensor | None) -> None:
        x = x.detach().double()
        squares = torch.zeros_like(x) if gradient is None else gradient.double() ** 2
        if self.pooled:
            low, high = x.amin(dim=(0, -2), keepdim=True)[0], x.amax(dim=(0, -2), keepdim=True)[0]
            x, squares = x.mean(dim=-2, keepdim=True), squares.mean(dim=-2, keepdim=True)
        else:
            low, high = x.amin(dim=0), x.amax(dim=0)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)
        self.count += len(x)
        self.x = self.x + x.sum(dim=0)
        self.squared_gradient = self.squared_gradient + squares.sum(dim=0)

    def survey(self, output_variance: float) -> Survey:
        assert isinstance(self.x, Tensor)
        assert isinstance(self.squared_gradient, Tensor)
        assert self.low is not None
        assert self.high is not None
        mean = self.x / self.count
        reach = torch.maximum(self.high - mean, mean - self.low)
        measured = self.squared_gradient / self.count / output_variance
        return Survey(mean.numpy(), reach.numpy(), _steadied(measured.numpy(), self.count))


def samples_at_once(program: Program) -> int:
    """How many samples of a program are computed together while calibrating."""
    neurons = sum(prod(program.shapes[name]) for name in program.neurons)
    return min(max(NEURONS_AT_ONCE // max(neurons, 1), 1), MOST_SAMPLES)


class Surveyor:
    """Measures every neuron's operand on samples shown to it.

    Parameters
    ----------
    program : the analog program, neurons without expectation
    """

    def __init__(self, program: Program) -> None:
        self.engine = SpikingModel(program)
        self._sums = {name: _Sums(program.shapes[name]) for name in program.neurons}
        self._coefficients = torch.Generator().manual_seed(SEED)

    def see(self, x: Tensor, progress: Callable[[int], None]) -> None:
        """Measure on more samples (N, ...); ``progress`` is called with the number of these seen."""
        seen = 0
        for part in x.split(samples_at_once(self.engine.program)):
            operands: dict[str, Tensor] = {}

            def observe(name: str, operand: Tensor, operands: dict[str, Tensor] = operands) -> None:
                if operand.requires_grad:
                    operand.retain_grad()
                operands[name] = operand

            self.engine.backward(part, self._coefficients, observe)
            for name, operand in operands.items():
                self._sums[name].see(operand, operand.grad)
            seen += len(part)
            progress(seen)

    def surveys(self, output_variance: float) -> dict[str, Survey]:
        """What was seen so far, by neuron name."""
        return {name: sums.survey(output_variance) for name, sums in self._sums.items()}


def underrated(
    model: SpikingModel, x: Tensor, answers: Tensor, surveys: dict[str, Survey], output_variance: float, timesteps: int
) -> dict[str, float]:
    """Nodes whose spikes alone change the answer far more than their gradients say, as behind a softmax that is saturated.

    Parameters
    ----------
    model : the spiking program, of which one neuron node spikes at a time
    x, answers : samples (B, ...) and their analog readouts (B, ...)

    Returns
    -------
    by node, the sensitivity that every element must have at least for the measured error to be expected
    """
    floors = {}
    for name, seen in surveys.items():
        readout, unsent = model.alone(name, x, timesteps)
        squares = unsent.double().pow(2).mean(dim=0).cpu().numpy()
        measured = float((readout.double() - answers).pow(2).sum()) / len(x) / output_variance
        excess = measured - MISLED_BY * float((squares * seen.sensitivity).sum())
        if excess > 0 and measured > NEGLIGIBLE:
            floors[name] = excess / float(squares.sum())
    return floors


def raised(surveys: dict[str, Survey], floors: dict[str, float]) -> dict[str, Survey]:
    """``surveys`` with sensitivities of at least ``floors``."""
    return {
        name: replace(seen, sensitivity=np.maximum(seen.sensitivity, floors.get(name, 0.0))) for name, seen in surveys.items()
    }


def _steadied(measured: np.ndarray, samples: int) -> np.ndarray:
    """A noisy sensitivity drawn towards the product of its row's and its channel's; exact zeros of either stay zero."""
    total = measured.mean()
    if measured.ndim < 2 or total == 0:
        return measured
    channel = measured.mean(axis=tuple(range(measured.ndim - 1)), keepdims=True)
    row = measured.mean(axis=-1, keepdims=True)
    steadied: np.ndarray = (samples * measured + PRIOR_SAMPLES * channel * row / total) / (samples + PRIOR_SAMPLES)
    return steadied
