"""What values reach each neuron: the analog program runs on calibration samples and every neuron's operand is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.lower import Lowered, Site

#: percentile of the data at which the paper puts its smallest level (and 100 minus it for the negative side)
PAPER_PERCENTILE = 99.0
#: values kept per neuron node for percentiles: an even stride through the data, so the estimate is deterministic
SAMPLED_VALUES = 1 << 20


@dataclass
class Statistics:
    """What was seen at one neuron node.

    Attributes
    ----------
    largest : largest magnitude, shape of the operand with every axis but the channel axis of size 1 (all of size 1 if there is
        none)
    percentiles : (low, high), the percentiles 1 and 99 of the values
    """

    largest: np.ndarray
    percentiles: tuple[float, float]


class _Observer:
    """Running statistics of one neuron node."""

    def __init__(self, site: Site, batches: int) -> None:
        self.site = site
        self.largest: Tensor | None = None
        self.kept: list[Tensor] = []
        self.quota = max(SAMPLED_VALUES // batches, 1)

    def see(self, x: Tensor) -> None:
        axes = [axis for axis in range(x.ndim) if axis == 0 or axis - 1 != self.site.channel_axis]
        largest = x.abs().amax(dim=axes, keepdim=True)[0]
        self.largest = largest if self.largest is None else torch.maximum(self.largest, largest)
        flat = x.flatten()
        self.kept.append(flat[:: max(len(flat) // self.quota, 1)].float().cpu())

    def statistics(self) -> Statistics:
        assert self.largest is not None
        values = torch.cat(self.kept).numpy()
        low, high = np.percentile(values, [100 - PAPER_PERCENTILE, PAPER_PERCENTILE])
        return Statistics(self.largest.cpu().numpy(), (float(low), float(high)))


def calibrate(
    lowered: Lowered, batches: Iterable[Tensor], progress: Callable[[int], None] | None = None
) -> dict[str, Statistics]:
    """Measure every neuron's operand.

    Parameters
    ----------
    lowered : the analog program
    batches : tensors (B, C, H, W)
    progress : called with the number of samples seen

    Returns
    -------
    statistics by neuron name
    """
    batches = list(batches)
    engine = SpikingModel(lowered.program)
    observers = {name: _Observer(site, len(batches)) for name, site in lowered.sites.items()}
    seen = 0
    for batch in batches:
        engine.analog(batch, observe=lambda name, x: observers[name].see(x))
        seen += len(batch)
        if progress:
            progress(seen)
    return {name: observer.statistics() for name, observer in observers.items()}
