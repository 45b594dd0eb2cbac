"""What reaches each neuron, and how much the answer minds an error there.

The sensitivity S of an operand element is the mean squared derivative of the readout with respect to it, summed over the
readout's elements and divided by the readout's variance: an independent error of variance d there adds S d to the relative
squared error of the answer, to first order. It is measured without labels on the analog program, by one backward pass a
sample from a random combination of the readout's elements with coefficients +-1, whose expected square is that sum
(Hutchinson's estimator).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.config import MEMORY_BYTES
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program
from ecmt_deploy.program import nodes as n

#: operands of more elements a sample (attention over thousands of tokens) are measured with their rows pooled
POOLED_ABOVE = 1 << 20
#: a measured sensitivity counts as many samples as it has; the product of its row's and its channel's counts this many
PRIOR_SAMPLES = 8.0
#: neurons may err this many times what their gradients say, and this much in any case
MISLED_BY, NEGLIGIBLE = 4.0, 1e-5
#: samples computed at once, at most
MOST_SAMPLES = 8
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


def samples_at_once(program: Program) -> int:
    """How many samples of a program are computed together while calibrating: as many as a backward pass has room for, which
    keeps every stream, and at least one."""
    streams = sum(prod(program.shapes[name]) for name, node in program.nodes.items() if not isinstance(node, n.WIRING))
    return min(max(MEMORY_BYTES // (streams * program.dtype.itemsize), 1), MOST_SAMPLES)


class Surveyor:
    """Measures every neuron's operand on samples shown to it.

    Parameters
    ----------
    program : the analog program, neurons without expectation
    """

    def __init__(self, program: Program) -> None:
        self.engine = SpikingModel(program)
        dtype = getattr(torch, program.dtype.name)
        self._sums = {name: _Sums(program.shapes[name], dtype) for name in program.neurons}
        self._coefficients = torch.Generator().manual_seed(SEED)

    def see(self, x: Tensor, progress: Callable[[int], None]) -> None:
        """Measure on more samples (N, ...); ``progress`` is called with the number of these seen."""

        def observe(name: str, operand: Tensor) -> None:
            self._sums[name].see(operand)
            if operand.requires_grad:  # summed as it comes: no gradient is kept
                operand.register_hook(self._sums[name].see_gradient)

        seen = 0
        for part in x.split(samples_at_once(self.engine.program)):
            self.engine.backward(part, self._coefficients, observe)
            seen += len(part)
            progress(seen)

    def surveys(self, output_variance: float) -> dict[str, Survey]:
        """What was seen, by neuron name. The sums behind it are given up one after another: no more can be seen."""
        return {name: self._sums.pop(name).survey(output_variance) for name in list(self._sums)}


def raised(seen: Survey, floor: float) -> Survey:
    """The same with a sensitivity of at least ``floor``."""
    return replace(seen, sensitivity=np.maximum(seen.sensitivity, floor)) if floor else seen


def misled(
    model: SpikingModel, x: Tensor, answers: Tensor, surveys: Mapping[str, Survey], output_variance: float, timesteps: int
) -> bool:
    """Whether the answers of a spiking program are far worse than gradients say, from what its neurons did not send.

    Parameters
    ----------
    model : the spiking program
    x, answers : samples (B, ...) and their analog readouts (B, ...)
    """
    error = foretold = 0.0
    for part, expected in zip(*(values.split(samples_at_once(model.program)) for values in (x, answers)), strict=True):
        unsent = _Unsent(model.program, surveys, timesteps)
        outputs = model.watch(part, timesteps, unsent.observe)
        error += float((outputs[-1].double() - expected).square().sum())
        foretold += unsent.foretold
    return error / output_variance > MISLED_BY * foretold


class _Unsent:
    """Adds up what an error at each neuron, what it has not sent after the last step, is worth by gradients."""

    def __init__(self, program: Program, surveys: Mapping[str, Survey], timesteps: int) -> None:
        self.program, self.surveys, self.timesteps = program, surveys, timesteps
        self.foretold = 0.0  # summed over samples
        takers = [program.operands[name][0] for name in surveys]
        self._left = {source: takers.count(source) for source in takers}  # neurons that have yet to take a stream
        self._sums: dict[str, Tensor] = {}
        self._seen: Counter[str] = Counter()

    def observe(self, name: str, value: Tensor) -> None:
        """The stream of a node, step after step."""
        if name not in self._left and name not in self.surveys:
            return
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._seen[name] += 1
        if name in self.surveys and self._seen[name] == self.timesteps:
            (source,) = self.program.operands[name]
            initial = torch.from_numpy(self.program.nodes[name].initial_membrane)
            unsent = initial + self._sums[source] - self._sums.pop(name)
            self.foretold += float((unsent.double().square() * torch.from_numpy(self.surveys[name].sensitivity)).sum())
            self._left[source] -= 1
            if not self._left[source]:
                del self._sums[source]


def underrated(
    model: SpikingModel, x: Tensor, answers: Tensor, surveys: Mapping[str, Survey], output_variance: float, timesteps: int
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
        error, squares = 0.0, np.zeros(())
        for part, expected in zip(*(values.split(samples_at_once(model.program)) for values in (x, answers)), strict=True):
            readout, unsent = model.alone(name, part, timesteps)
            error += float((readout.double() - expected).square().sum())
            squares = squares + unsent.double().square().sum(dim=0).cpu().numpy()
        measured = error / len(x) / output_variance
        excess = measured - MISLED_BY * float((squares * seen.sensitivity).sum()) / len(x)
        if excess > 0 and measured > NEGLIGIBLE and squares.any():
            floors[name] = excess * len(x) / float(squares.sum())
    return floors


def _steadied(measured: np.ndarray, samples: int) -> np.ndarray:
    """A noisy sensitivity drawn towards the product of its row's and its channel's; exact zeros of either stay zero."""
    total = measured.mean()
    if measured.ndim < 2 or total == 0:
        return measured
    channel = measured.mean(axis=tuple(range(measured.ndim - 1)), keepdims=True)
    row = measured.mean(axis=-1, keepdims=True)
    steadied: np.ndarray = (samples * measured + PRIOR_SAMPLES * channel * row / total) / (samples + PRIOR_SAMPLES)
    return steadied
