"""Where gradients mislead: nodes whose errors matter far more than the survey says, as behind a saturated softmax."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.answers import Answers
from ecmt_deploy.conversion.calibration.tools.survey import Survey
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program

#: neurons may err this many times what their gradients say, and this much in any case
MISLED_BY, NEGLIGIBLE = 4.0, 1e-5


def raised(seen: Survey, floor: float) -> Survey:
    """The same with a sensitivity of at least ``floor``."""
    return replace(seen, sensitivity=np.maximum(seen.sensitivity, floor)) if floor else seen


def misled(model: SpikingModel, answers: Answers, surveys: Mapping[str, Survey], timesteps: int) -> bool:
    """Whether a spiking program's answers are far worse than the gradients say, given what its neurons did not send."""
    error = foretold = 0.0
    for x, readouts in answers.parts(model.program):
        unsent = _Unsent(model.program, surveys, timesteps)
        error += float((model.watch(x, timesteps, unsent.observe)[-1].double() - readouts).square().sum())
        foretold += unsent.foretold
    return error / answers.variance > MISLED_BY * foretold


def underrated(model: SpikingModel, answers: Answers, surveys: Mapping[str, Survey], timesteps: int) -> dict[str, float]:
    """Nodes whose spikes alone change the answer far more than their gradients say.

    One neuron node of ``model`` spikes at a time, the others are the identity.

    Returns
    -------
    by node, the sensitivity that every element must have at least for the measured error to be expected
    """
    floors = {}
    for name, seen in surveys.items():
        error, squares = 0.0, np.zeros(())
        for x, readouts in answers.parts(model.program):
            readout, unsent = model.alone(name, x, timesteps)
            error += float((readout.double() - readouts).square().sum())
            squares = squares + unsent.double().square().sum(dim=0).cpu().numpy()
        measured = error / len(answers) / answers.variance
        excess = measured - MISLED_BY * float((squares * seen.sensitivity).sum()) / len(answers)
        if excess > 0 and measured > NEGLIGIBLE and squares.any():
            floors[name] = excess * len(answers) / float(squares.sum())
    return floors


class _Unsent:
    """Adds up what an error at each neuron, what it has not sent after the last step, is worth by gradients.

    Attributes
    ----------
    foretold : relative squared error of the readout, summed over samples
    """

    def __init__(self, program: Program, surveys: Mapping[str, Survey], timesteps: int) -> None:
        self.program, self.surveys, self.timesteps = program, surveys, timesteps
        self.foretold = 0.0
        takers = [program.operands[name][0] for name in surveys]
        self._left = {source: takers.count(source) for source in takers}  # neurons that have yet to take a stream
        self._sums: dict[str, Tensor] = {}
        self._seen: Counter[str] = Counter()

    def observe(self, name: str, value: Tensor) -> None:
        """The stream of a node at the next step, (B, *its shape)."""
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
