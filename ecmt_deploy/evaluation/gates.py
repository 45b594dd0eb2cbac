"""Where the operands of a network are gated, and how wide each gate is: the calibration of token gating.

A threshold means something else for every operand. Here a vector's is in proportion to sqrt(f / S), as the dead zones of a
program are (:mod:`~ecmt_deploy.conversion.calibration.tools.allocation`): f multiply-accumulates that an element causes, S what
the answer minds an error there, the mean squared gradient over the calibration frames. It is the strongest of those that were
tried, on clips of the bundled model and of one for Fashion-MNIST, most where few tokens matter to the answer. In the order in
which they lost, for equally good answers: the same with S and f of the whole operand; a threshold relative to the spread of
each operand, which is what ``tuned=False`` gives and closest to the published method; an absolute one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.streams import require_clip
from ecmt_deploy.program import Program

#: sensitivities are at least this share of the largest: what nothing depends on has a wide gate, not an infinite one, so that a
#: threshold of 0 sends it, too
LEAST_SENSITIVITY = 1e-16
#: gradients of so many random combinations of the readout are taken of every frame
COMBINATIONS = 2
SEED = 0


class Gate(NamedTuple):
    """Where one neuron's operand is gated.

    Attributes
    ----------
    axis : of the operand, along which the vector of a token lies; ``None``: of a single value
    scale : of the threshold of each vector, of the operand's shape with that axis as one, or broadcast to it
    """

    axis: int | None
    scale: Tensor


def calibrated(model: SpikingModel, frames: Tensor, tuned: bool = True) -> dict[str, Gate]:
    """The gate of every neuron, from frames as they will come.

    Parameters
    ----------
    frames : (F, B, *input_shape), two frames at least
    tuned : thresholds as above; otherwise relative to the spread of each operand. In both, 1 is about the spread

    Raises
    ------
    ConfigError
        if there is but one frame.
    """
    require_clip(model, frames)
    if len(frames) < 2:
        raise ConfigError("gates are calibrated on what changes between frames; give two frames at least")
    seen = {name: Seen(_axes(model.program, name)) for name in model.program.neurons}
    coefficients = torch.Generator().manual_seed(SEED)

    def follow(name: str, operand: Tensor) -> None:
        if operand.requires_grad:
            operand.register_hook(seen[name].add_gradient)

    for frame in frames:
        model.analog(frame, lambda name, operand: seen[name].add(operand.double()))
        for _ in range(COMBINATIONS if tuned else 0):
            model.backward(frame, coefficients, follow)
    scales = _tuned(model.program, seen) if tuned else {name: found.like(found.spread) for name, found in seen.items()}
    least = torch.finfo(torch.float64).tiny  # an infinite threshold is one also where nothing varied
    return {name: Gate(found.axis, scales[name].clamp_min(least)) for name, found in seen.items()}


def _tuned(program: Program, seen: Mapping[str, Seen]) -> dict[str, Tensor]:
    """sqrt(f / S) of every vector, in a unit in which the median of operands has its spread on average."""
    fans, minded = program.fan_outs, {name: found.sensitivity for name, found in seen.items()}
    least = LEAST_SENSITIVITY * max((float(s.max()) for s in minded.values()), default=0.0) or 1.0
    zones = {name: (fans[name] / s.clamp_min(least)).sqrt() for name, s in minded.items()}
    typical = [found.spread / (fans[name] / max(float(minded[name].mean()), least)) ** 0.5
               for name, found in seen.items() if fans[name]]  # fmt: skip
    unit = float(np.median(typical)) if typical else 1.0
    return {name: unit * zone for name, zone in zones.items()}


def _axes(program: Program, name: str) -> tuple[int, ...]:
    """Axes of the operand of a neuron along which the vectors of tokens may lie.

    Weights are summed over the channels, the last axis of a linear map, the first of a convolution. A product of matrices has
    tokens in rows, columns or both (attention), and only the data tells.
    """
    ndim, layers = len(program.shapes[name]), {program.nodes[taker].layer for taker in program.takers[name]}
    if ndim == 0:
        return ()
    if "convolution" in layers:
        return (0,)
    return (ndim - 1, ndim - 2) if layers == {"matmul"} else (ndim - 1,)


class Seen:
    """What is learnt about an operand, frame by frame.

    Parameters
    ----------
    axes : along which the vectors of its tokens may lie
    """

    def __init__(self, axes: Sequence[int]) -> None:
        self.axes, self.frames, self.backwards = axes, 0, 0
        self.total = self.squares = self.gradients = self.first = self.previous = torch.zeros((), dtype=torch.float64)
        self.concentration = [0.0 for _ in axes]

    def add(self, x: Tensor) -> None:
        """An operand (B, ...) of one frame of B clips."""
        if self.frames == 0:
            self.first = x
        else:
            for i, axis in enumerate(self.axes):
                change = rms(x - self.previous, axis)
                whole = float(change.square().mean())
                self.concentration[i] += float(change.mean()) ** 2 / whole if whole else 1.0
        moved = x - self.first  # sums of squares of what is far from zero would round away how it varies
        self.total, self.squares = self.total + moved, self.squares + moved.square()
        self.previous, self.frames = x, self.frames + 1

    def add_gradient(self, gradient: Tensor) -> None:
        """The readout's gradient (B, ...) with respect to the operand."""
        self.gradients, self.backwards = self.gradients + gradient.double().square().mean(dim=0), self.backwards + 1

    @property
    def axis(self) -> int | None:
        """The axis on which change gathers in the fewest vectors."""
        best = min(range(len(self.axes)), key=lambda i: self.concentration[i], default=None)
        return None if best is None else self.axes[best]

    @property
    def spread(self) -> float:
        """RMS distance from the mean over a clip."""
        variance = self.squares / self.frames - (self.total / self.frames).square()
        return max(float(variance.mean()), 0.0) ** 0.5

    @property
    def sensitivity(self) -> Tensor:
        """Mean squared gradient of every vector's elements, of the operand's shape with the axis as one."""
        if self.backwards == 0:  # nothing depends on it
            return self.like(0.0)
        mean: Tensor = self.gradients / self.backwards
        return mean if self.axis is None else mean.mean(dim=self.axis, keepdim=True)

    def like(self, value: float) -> Tensor:
        """A single value, where the operand is."""
        return torch.tensor(value, dtype=torch.float64, device=self.first.device)


def rms(x: Tensor, axis: int | None) -> Tensor:
    """RMS of x (B, ...) along an axis of the operand, which is kept as one."""
    return x.abs() if axis is None else x.square().mean(dim=axis + 1, keepdim=True).sqrt()
