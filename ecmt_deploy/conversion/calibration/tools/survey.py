"""What reaches each neuron, and how much the answer minds an error there.

The sensitivity S of an operand element is the mean squared derivative of the readout with respect to it, summed over the
readout's elements and divided by the readout's variance: an independent error of variance d there adds S d to the relative
squared error of the answer, to first order. It is measured without labels on the analog program, by one backward pass a
sample from a random combination of the readout's elements with coefficients +-1, whose expected square is that sum
(Hutchinson's estimator).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.answers import samples_at_once
from ecmt_deploy.engine import SpikingModel

#: operands of more elements a sample (attention over thousands of tokens) are measured with their rows pooled
POOLED_ABOVE = 1 << 20
#: a measured sensitivity counts as many samples as it has; the product of its row's and its channel's counts this many
PRIOR_SAMPLES = 8.0
SEED = 0


@dataclass(frozen=True)
class Survey:
    """What was seen at one neuron node; arrays have the operand's shape (its rows as one where they were pooled).

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
    """Running sums of one neuron node, updated in place: of a large model they need more memory than its weights."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.pooled = len(shape) > 1 and prod(shape) > POOLED_ABOVE
        if self.pooled:
            shape = (*shape[:-2], 1, shape[-1])
        self.count = 0
        self.x, self.squared_gradient = (torch.zeros(shape, dtype=torch.float64) for _ in range(2))
        self.low, self.high = (torch.full(shape, end, dtype=dtype) for end in (torch.inf, -torch.inf))

    def see(self, x: Tensor) -> None:
        """Operands (B, ...)."""
        x = x.detach()
        axes = (0, -2) if self.pooled else 0
        torch.minimum(self.low, x.amin(dim=axes).reshape(self.low.shape), out=self.low)
        torch.maximum(self.high, x.amax(dim=axes).reshape(self.high.shape), out=self.high)
        self.count += len(x)
        self._sum(self.x, x.double())

    def see_gradient(self, gradient: Tensor) -> None:
        """The readout's gradients with respect to operands that were seen, (B, ...); none where nothing depends on them."""
        self._sum(self.squared_gradient, gradient.double().square())

    def _sum(self, total: Tensor, values: Tensor) -> None:
        total += (values.mean(dim=-2, keepdim=True) if self.pooled else values).sum(dim=0)

    def survey(self, output_variance: float) -> Survey:
        """What was seen, in the dtype of the operand."""
        mean = self.x / self.count
        reach = torch.maximum(self.high - mean, mean - self.low)
        measured = self.squared_gradient / self.count / output_variance
        arrays = mean.numpy(), reach.numpy(), _steadied(measured.numpy(), self.count)
        return Survey(*(array.astype(self.low.numpy().dtype) for array in arrays))


def survey(engine: SpikingModel, x: Tensor, output_variance: float, progress: Callable[[int], None]) -> dict[str, Survey]:
    """What reaches every neuron of an analog program, whose neurons expect nothing, on samples shown to it.

    Parameters
    ----------
    x : samples (N, *input shape)
    output_variance : of the readout over the samples, summed over its elements
    progress : called with the number of samples seen
    """
    program, dtype = engine.program, getattr(torch, engine.program.dtype.name)
    sums = {name: _Sums(program.shapes[name], dtype) for name in program.neurons}
    coefficients = torch.Generator().manual_seed(SEED)

    def observe(name: str, operand: Tensor) -> None:
        sums[name].see(operand)
        if operand.requires_grad:  # summed as it comes: no gradient is kept
            operand.register_hook(sums[name].see_gradient)

    seen = 0
    for part in x.split(samples_at_once(program)):
        engine.backward(part, coefficients, observe)
        seen += len(part)
        progress(seen)
    return {name: sums.pop(name).survey(output_variance) for name in program.neurons}  # given up one after another


def _steadied(measured: np.ndarray, samples: int) -> np.ndarray:
    """A noisy sensitivity drawn towards the product of its row's and its channel's; exact zeros of either stay zero."""
    total = measured.mean()
    if measured.ndim < 2 or total == 0:
        return measured
    channel = measured.mean(axis=tuple(range(measured.ndim - 1)), keepdims=True)
    row = measured.mean(axis=-1, keepdims=True)
    steadied: np.ndarray = (samples * measured + PRIOR_SAMPLES * channel * row / total) / (samples + PRIOR_SAMPLES)
    return steadied
