"""The line to beat: with how few bits is the same network, plainly quantised, as accurate as the program?

Plain quantisation here: every operand that has a neuron in the program is rounded to integers of b bits, symmetric, and
everything else, weights too, stays as it is. One scale a tensor follows from the largest magnitude over the calibration
samples, which the program keeps, or from a smaller one that rounds the first batch with the least squared error; one a
channel, where linear layers can absorb it, from the largest of the first batch. Of all three the one that agrees most often
on the evaluated samples counts, which is in the network's favour. A program in the basis of its principal components needs
another program of the same model, in whose basis its network is quantised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.door import ProgramLike
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.score import Baseline
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program import Program

#: widths that are tried, the fewest first
LEAST_BITS, MOST_BITS = 2, 16
#: by neuron, the largest magnitude of its operand, or that of each of its channels
Clips = Mapping[str, float | Tensor]
#: shares of the largest magnitude beyond which values may be clipped
SHARES: tuple[float, ...] = tuple(2.0 ** (-k / 2) for k in range(9))


def fewest_bits(
    model: SpikingModel,
    batches: Callable[[], Iterable[Tensor]],
    first: Tensor,
    agreeing: int,
    n_samples: int,
    gather: Callable[[Any], list[Any]] = lambda found: [found],
    progress: Callable[[int], None] = lambda bits: None,
) -> Baseline:
    """The fewest bits with which the network agrees with its unquantised self as often as the program does.

    Parameters
    ----------
    model : the program
    batches : gives this process's samples, (B, *input_shape) on the device, as often as it is called
    first : samples that clips are chosen on, the same on every process
    agreeing, n_samples : on how many of all samples the program agrees
    gather : what every process has found
    progress : called with the number of bits that is about to be tried

    Raises
    ------
    ConfigError
        if the program has no ranges.
    """
    largest = largest_operands(model.program)
    channels = largest_channels(model, first, largest)
    expected = [model.analog(x).argmax(dim=-1) for x in batches()]
    shares: dict[int, float] = {}
    for bits in range(LEAST_BITS, MOST_BITS + 1):
        progress(bits)
        ways: list[Clips] = [largest, least_error(model, first, largest, bits), channels]
        found = _agreeing(model, batches(), expected, ways, bits)
        best = max(sum(counts) for counts in zip(*gather(found), strict=True))
        shares[bits] = best / n_samples
        if best >= agreeing:
            return Baseline(bits, shares)
    return Baseline(None, shares)


def network_of(model: SpikingModel, network: ProgramLike | None) -> SpikingModel:
    """The model whose network is quantised: ``network``, a program of the same weights, or the model's own.

    Raises
    ------
    ConfigError
        if the program is written in another basis than its network, or ``network`` is of other weights, or has no ranges.
    """
    own = model.program.provenance
    if network is None and (own.config or {}).get("basis"):
        raise ConfigError(
            "the program is in the basis of its principal components, in which plain quantisation is another; give a program of"
            " the same model in its own basis, for example of preset accurate, with --network FILE"
        )
    found = model if network is None else load(network).to(model.device)
    if found.program.provenance.weights_sha256 != own.weights_sha256:
        raise ConfigError("network is a program of other weights; expected one of the same model")
    largest_operands(found.program)
    return found


def largest_operands(program: Program) -> dict[str, float]:
    """Largest magnitude of every neuron's operand over the calibration samples."""
    ranges = program.provenance.ranges or {}
    operands = {name: program.operands[name][0] for name in program.neurons}
    if missing := [name for name, operand in operands.items() if operand not in ranges]:
        raise ConfigError(
            f"the program does not say how large the operand of {missing[0]} was over the calibration samples, from which plain"
            " quantisation follows; convert the model anew"
        )
    return {name: ranges[operand] for name, operand in operands.items()}


def largest_channels(model: SpikingModel, x: Tensor, largest: Mapping[str, float]) -> Clips:
    """The same of every channel (last axis) on samples ``x`` where linear layers alone take the operand; others as given."""
    clips = dict[str, float | Tensor](largest)

    def observe(name: str, operand: Tensor) -> None:
        if model.program.feeds_linear_alone(name):
            clips[name] = operand.abs().flatten(0, -2).amax(dim=0)

    model.analog(x, observe)
    return clips


def quantised(x: Tensor, clip: float | Tensor, bits: int) -> Tensor:
    """``x`` rounded to the nearest of 2**bits - 1 multiples of one base, the largest of which is ``clip`` (one, or one for each
    channel); ties to even."""
    most = limit(bits)
    clip = torch.as_tensor(clip, dtype=x.dtype, device=x.device)
    base = torch.where(clip > 0, clip, 1.0) / most
    return (x / base).round().clamp(-most, most) * base


def answer(model: SpikingModel, x: Tensor, clips: Clips, bits: int) -> Tensor:
    """Readouts (B, classes) of the network whose operands are rounded to so many bits, clipped at ``clips``."""
    return model.analog(x, passing=lambda name, operand: quantised(operand, clips[name], bits))


def least_error(model: SpikingModel, x: Tensor, largest: Mapping[str, float], bits: int) -> dict[str, float]:
    """For every neuron's operand the clip, a share of its largest magnitude, with the least squared error on samples ``x``."""
    clips: dict[str, float] = {}

    def observe(name: str, operand: Tensor) -> None:
        errors = [(quantised(operand, largest[name] * share, bits) - operand).square().mean() for share in SHARES]
        clips[name] = largest[name] * SHARES[int(torch.stack(errors).argmin())]

    model.analog(x, observe)
    return clips


def _agreeing(
    model: SpikingModel, batches: Iterable[Tensor], expected: Sequence[Tensor], ways: Sequence[Clips], bits: int
) -> list[int]:
    """Samples on which the quantised network agrees, for every way to clip."""
    found = np.zeros(len(ways), np.int64)
    for x, classes in zip(batches, expected, strict=True):
        for i, clips in enumerate(ways):
            found[i] += int((answer(model, x, clips, bits).argmax(dim=-1) == classes).sum())
    return [int(count) for count in found]
