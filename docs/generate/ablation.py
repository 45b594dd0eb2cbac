"""What each part of preset ``accurate`` is worth: the error at T = 4 without it, for the same events per MAC.

    python -m docs.generate.ablation          bundled model, test split; writes the table in docs/accurate.md

Every variant is given the same budget of events on the calibration samples, and measured on the test split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from docs.generate.documents import put
from ecmt_deploy import data, models
from ecmt_deploy.conversion.calibration.accurate import Accurate
from ecmt_deploy.conversion.calibration.tools import trials
from ecmt_deploy.conversion.calibration.tools.survey import Survey
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.engine import SpikingModel

DOCUMENT = Path(__file__).parents[2] / "docs" / "accurate.md"
STEPS, BUDGETS = 4, (0.5, 1.0)


def pooled(seen: Survey, keep: tuple[int, ...]) -> Survey:
    """Sensitivities averaged over all axes but ``keep`` (counted from the end)."""
    shape = seen.sensitivity.shape
    axes = tuple(i for i in range(len(shape)) if i - len(shape) not in keep)
    mean = seen.sensitivity.mean(axis=axes, keepdims=True)
    return replace(seen, sensitivity=np.broadcast_to(mean, shape).copy())


def unexpected(seen: Survey) -> Survey:
    """As if nothing were expected."""
    return replace(seen, expected=np.zeros_like(seen.expected), reach=seen.reach + np.abs(seen.expected))


def one_expectation(seen: Survey) -> Survey:
    """One expected value a channel, the same for every token."""
    if seen.expected.ndim < 2:
        return seen
    mean = np.broadcast_to(seen.expected.mean(axis=tuple(range(seen.expected.ndim - 1)), keepdims=True), seen.expected.shape)
    return replace(seen, expected=mean.copy(), reach=seen.reach + np.abs(seen.expected - mean))


VARIANTS: dict[str, tuple[Callable[[Survey], Survey], float, bool]] = {
    "as it is": (lambda seen: seen, 0.74, True),
    "no expectation": (unexpected, 0.74, True),
    "expectation a channel, not a token": (one_expectation, 0.74, True),
    "sensitivity a channel, not a token": (lambda seen: pooled(seen, (-1,)), 0.74, True),
    "sensitivity a node": (lambda seen: pooled(seen, ()), 0.74, True),
    "a spike costs the same everywhere": (lambda seen: seen, 0.74, False),
    "c = 0.68": (lambda seen: seen, 0.68, True),
    "c = 0.80": (lambda seen: seen, 0.80, True),
}


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(2)
    model = models.load("zoo:vit_digits")
    drawn = data.calibration("digits", preprocessing=model.preprocessing, n_samples=64, n_classes=10)
    dataset = data.evaluation("digits", preprocessing=model.preprocessing, exclude=drawn.record, n_classes=10)
    x = torch.from_numpy(dataset.arrays()[0])
    with torch.no_grad():
        answers = model.module(x)
    variance = float((answers - answers.mean(0)).pow(2).sum(1).mean())
    surveys, fan_outs = trials.Surveyor.surveys, trials.fan_outs
    lines = [
        f"| variant | {' | '.join(f'error at {b:g} events per MAC' for b in BUDGETS)} |",
        "|---" * (len(BUDGETS) + 1) + "|",
    ]
    for name, (changed, fraction, priced) in VARIANTS.items():
        trials.Surveyor.surveys = lambda self, v, f=changed: {k: f(s) for k, s in surveys(self, v).items()}
        trials.fan_outs = lambda p, priced=priced: {k: f if priced else 64.0 for k, f in fan_outs(p).items()}
        preset = type("Variant", (Accurate,), {"fraction": fraction})
        cells = []
        for budget in BUDGETS:
            spiking = convert(model.module, torch.from_numpy(drawn.x), preset(budget=budget, timesteps=STEPS))
            cells.append(f"{_error(spiking, x, answers) / variance:.1e} ({_events(spiking, x):.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    put(DOCUMENT, "ablation", lines)


def _error(spiking: SpikingModel, x: torch.Tensor, answers: torch.Tensor) -> float:
    return float((spiking(x, STEPS)[-1] - answers).pow(2).sum(1).mean())


def _events(spiking: SpikingModel, x: torch.Tensor) -> float:
    _, activity = spiking.count(x, STEPS)
    return activity.events_per_mac(spiking.program.encoding) or 0.0


if __name__ == "__main__":
    main()
