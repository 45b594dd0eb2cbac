"""Calibration samples with the analog answers that spiking programs are measured against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, prod

import torch
from torch import Tensor

from ecmt_deploy.config import MEMORY_BYTES
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.program import Program

#: samples computed at once, at most
MOST_SAMPLES = 8


def samples_at_once(program: Program) -> int:
    """Samples computed together while calibrating: as many as a backward pass, which keeps every stream, has room for."""
    streams = sum(prod(program.shapes[name]) for name, node in program.nodes.items() if node.role != "movement")
    return min(max(MEMORY_BYTES // (streams * program.dtype.itemsize), 1), MOST_SAMPLES)


def analog_readouts(engine: SpikingModel, x: Tensor) -> Tensor:
    """What the analog program answers to samples (N, *input shape): (N, *output shape), float64."""
    return torch.cat([engine.analog(part).double() for part in x.split(samples_at_once(engine.program))])


def readout_variance(readouts: Tensor) -> float:
    """Variance of readouts (N, *output shape) over the samples, summed over their elements.

    Raises
    ------
    ConversionError
        if it is zero or no number.
    """
    variance = float(((readouts - readouts.mean(dim=0)) ** 2).sum()) / len(readouts)
    if not 0 < variance < inf:
        raise ConversionError(
            f"the readout varies by {variance:g} over the {len(readouts)} calibration samples; "
            "expected samples that the model answers differently, with finite values"
        )
    return variance


@dataclass(frozen=True)
class Answers:
    """Samples x (N, *input shape), their analog readouts (N, *output shape), and the variance that errors are relative to."""

    x: Tensor
    readouts: Tensor
    variance: float

    def __getitem__(self, samples: slice) -> Answers:
        return Answers(self.x[samples], self.readouts[samples], self.variance)

    def parts(self, program: Program) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples and readouts, as many at a time as are computed together."""
        together = samples_at_once(program)
        return zip(self.x.split(together), self.readouts.split(together), strict=True)
