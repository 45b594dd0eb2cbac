"""Where gradients mislead: nodes whose errors matter far more than the survey says, as behind a saturated softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.answers import Answers
from ecmt_deploy.conversion.calibration.tools.survey import Survey
from ecmt_deploy.engine import SpikingModel

#: neurons may err this many times what their gradients say, and this much in any case
MISLED_BY, NEGLIGIBLE = 4.0, 1e-5


def misled(model: SpikingModel, answers: Answers, surveys: Mapping[str, Survey], timesteps: int) -> bool:
    """Whether a spiking program's answers are far worse than gradients say, given what its neurons have not sent by the end."""
    nodes, error, foretold = model.program.nodes, 0.0, 0.0
    operands = {name: model.program.operands[name][0] for name in surveys}
    for x, readouts in answers.parts(model.program):
        sums: dict[str, Any] = dict.fromkeys((*operands, *operands.values()), 0.0)  # of streams (B, *shape), over the steps

        def observe(name: str, value: Tensor, sums: dict[str, Any] = sums) -> None:
            if name in sums:
                sums[name] = sums[name] + value

        error += _squared_error(model.watch(x, timesteps, observe)[-1], readouts)
        for name, seen in surveys.items():
            unsent = torch.from_numpy(nodes[name].initial_membrane) + sums[operands[name]] - sums[name]
            foretold += float((unsent.double().square() * torch.from_numpy(seen.sensitivity)).sum())
    return error / answers.variance > MISLED_BY * foretold


def underrated(model: SpikingModel, answers: Answers, surveys: Mapping[str, Survey], timesteps: int) -> dict[str, float]:
    """Nodes whose spikes alone, all other neurons being the identity, change the answer far more than their gradients say.

    Returns
    -------
    by node, the sensitivity that every element must have at least for the measured error to be expected
    """
    floors, count = {}, len(answers.x)
    for name, seen in surveys.items():
        error, squares = 0.0, np.zeros(())
        for x, readouts in answers.parts(model.program):
            readout, unsent = model.alone(name, x, timesteps)
            error += _squared_error(readout, readouts)
            squares = squares + unsent.double().square().sum(dim=0).cpu().numpy()
        measured = error / count / answers.variance
        excess = measured - MISLED_BY * float((squares * seen.sensitivity).sum()) / count
        if excess > 0 and measured > NEGLIGIBLE and squares.any():
            floors[name] = excess * count / float(squares.sum())
    return floors


def _squared_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).square().sum())
