"""Programs tuned for streams: judged on the frames of a clip, with state kept, by what a frame takes once the stream runs.

A dead zone that is right for pictures, which are computed from nothing, is not the one for increments. What the answer minds
(sensitivities), what is expected and what weights correct still come from pictures: of those there are many, and of clips few,
so that what a token of one clip minds is luck. The price is what the clip decides, and the gate at the input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.answers import Answers, analog_readouts
from ecmt_deploy.conversion.calibration.tools.trials import ROUGHLY, Trial, Trials, Tuned
from ecmt_deploy.conversion.calibration.tools.tuning import tuned
from ecmt_deploy.conversion.lowering import Lowered
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError, plural
from ecmt_deploy.program import Program
from ecmt_deploy.program.gate import Gate

#: frames of a clip that are used, at most, and of each of the streams that it is cut into, at least
MOST_FRAMES, LEAST_FRAMES = 64, 16
#: how far answers may be off behind the gate, of how far they are without it: what it changes adds up in squares, and so it is
#: about a third of what dead zones do
HARDLY = 1.05
#: a sensor's noise hardly ever makes a patch differ by this many times what it mostly does
NOISE = 2.0
#: thresholds of the gate that are told apart
THRESHOLDS = 16


def tuned_program(
    lowered: Lowered,
    x: Tensor,
    frames: Tensor | None,
    preset: Tuned,
    budget: float | None,
    progress: Callable[[str, int], None],
) -> Program:
    """The program of the best price; of one for streams, its provenance holds the threshold of its gate.

    Parameters
    ----------
    x : pictures (N, *input shape)
    frames : frames of a clip in order (F, *input shape), three at least, to tune it for streams; ``None`` for pictures

    Raises
    ------
    ConversionError
        if the budget cannot be met, or the network's answer does not change over the clip.
    """
    if frames is None:
        return tuned(Trials(lowered, x, preset, progress), budget)
    trials = ClipTrials(lowered, x, frames, preset, progress)
    made = tuned(trials, budget)
    gate = trials.gate(SpikingModel(made))
    config = dict(made.provenance.config or {}) | {"gate": gate, "stream_frames": len(trials.answers.x)}
    return replace(made, provenance=msgspec.structs.replace(made.provenance, config=config))


class ClipTrials(Trials):
    """Programs for prices, made from a survey of pictures and measured on a clip, cut into streams that run side by side.

    What is good is what a clip's answers are good for: about 0.995 as cosine with the network's, both centred over the clip.

    Attributes
    ----------
    segments : (F, B, *input shape), the frames of B streams
    """

    good, poor = 0.1, 0.25

    def __init__(
        self, lowered: Lowered, x: Tensor, frames: Tensor, preset: Tuned, progress: Callable[[str, int], None]
    ) -> None:
        frames = frames[:MOST_FRAMES]
        if len(frames) < 3:
            raise ConversionError(
                f"a clip of {plural(len(frames), 'frame')} says nothing of what changes; expected three or more"
            )
        streams = max(len(frames) // LEAST_FRAMES, 1)
        length = len(frames) // streams
        self.segments = frames[: streams * length].unflatten(0, (streams, length)).transpose(0, 1)
        super().__init__(lowered, x, preset, progress)

    def judged(self, engine: SpikingModel, x: Tensor, variance: float) -> Answers:
        readouts = analog_readouts(engine, self.segments.flatten(0, 1))
        spread = float((readouts - readouts.mean(dim=0)).square().sum()) / len(readouts)
        if not spread > 0:
            raise ConversionError(
                f"the network's answer varies by {spread:g} over the clip's {len(readouts)} frames; expected a clip in which "
                "something changes that it minds"
            )
        return Answers(self.segments.flatten(0, 1), readouts, spread)

    def attempt(self, price: float, samples: int) -> Trial:
        if (price, samples) not in self._trials:
            program = self.program(price) if samples > ROUGHLY else self.uncorrected(price)
            self._trials[price, samples] = self._measure(SpikingModel(program), price, 0, len(self.answers.x))
            self.number += 1
        return self._trials[price, samples]

    def _measure(self, model: SpikingModel, price: float, begin: int, end: int) -> Trial:
        readouts, events = self._streamed(model, 0.0)
        expected = self.answers.readouts.unflatten(0, self.segments.shape[:2])
        distances = (readouts - expected)[1:].flatten(2).norm(dim=2).flatten() / self.answers.variance**0.5
        return Trial(price, distances.numpy(), events)

    def _streamed(self, model: SpikingModel, gate: float) -> tuple[Tensor, float]:
        """Answers (F, B, ...), and events per MAC of all frames but the first."""
        with model.stream(self.preset.timesteps, gate, cuts=False) as stream:
            answers = []
            for frame in self.segments:
                answers.append(stream.push(frame))
                self._measured += len(frame)
                self._progress("tune", self._measured)
            return torch.stack(answers).double(), stream.activity.since(1).events_per_mac(model.program.encoding) or 0.0

    def gate(self, model: SpikingModel) -> float:
        """The largest threshold at the input with which the answers are hardly further from the network's than by dead zones
        alone; or what keeps the clip's noise out, where that is more and changes the answers by no more than what is good, or
        than dead zones do. 0 where there is none of either.

        Noise is what most patches differ by from frame to frame, where something moves in few of them.
        """
        own, _ = self._streamed(model, 0.0)
        expected = self.answers.readouts.unflatten(0, self.segments.shape[:2])
        allowed = HARDLY * _apart(own, expected)
        differences = _differences(model.program, self.segments.numpy())
        candidates = _thresholds(differences)
        low, high = -1, len(candidates)  # the last that was found good, the first that was not
        while high - low > 1:
            middle = (low + high) // 2
            answers, _ = self._streamed(model, float(candidates[middle]))
            low, high = (middle, high) if _apart(answers, expected) <= allowed else (low, middle)
        found = float(candidates[low]) if low >= 0 else 0.0
        noise = NOISE * float(np.median(differences))
        if noise > found:
            answers, _ = self._streamed(model, noise)
            if _apart(answers, own) <= max(_apart(own, expected), self.good * self.answers.variance**0.5):
                return noise
        return found


def _apart(answers: Tensor, others: Tensor) -> float:
    """Mean distance of answers (F, B, ...) from others, the first frame's left out."""
    return float((answers - others)[1:].flatten(2).norm(dim=2).mean())


def _differences(program: Program, segments: np.ndarray) -> np.ndarray:
    """What every patch differs by between two frames, root mean square."""
    gate = Gate(program, 0.0, cuts=False)
    return np.concatenate([gate.differences(after, before).ravel() for before, after in pairwise(segments)])


def _thresholds(differences: np.ndarray) -> np.ndarray:
    """Thresholds from below the smallest to above most of the differences of a patch between two frames."""
    found = differences[differences > 0]
    return np.geomspace(found.min() / 2, 2 * np.quantile(found, 0.9), THRESHOLDS) if found.size else np.zeros(0)
