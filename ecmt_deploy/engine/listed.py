"""Convolutions that list their windows: tap by tap, each of them where it stands on an element."""

from __future__ import annotations

import torch
from torch import Tensor

from ecmt_deploy.engine.base import runs
from ecmt_deploy.engine.synapses import Conv
from ecmt_deploy.program import ops


@runs(ops.ListedConvolution)
class ListedConv(Conv):
    """No more is computed than true taps: a transposed convolution has many windows of few elements."""

    places: Tensor
    under: Tensor

    def set_windows(self) -> None:
        by_tap = torch.from_numpy(self.node.windows.T.copy())  # (taps, places)
        tap, places = (by_tap >= 0).nonzero(as_tuple=True)
        self.counts: list[int] = tap.bincount(minlength=len(by_tap)).tolist()
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("under", by_tap[tap, places], persistent=False)

    def convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        flat, by_tap = x.flatten(2), weight.unflatten(0, (self.groups, -1)).movedim(-1, 0)
        total = x.new_zeros(len(x), self.groups, by_tap.shape[2], len(self.node.windows))
        for kernel, places, under in zip(by_tap, self.places.split(self.counts), self.under.split(self.counts), strict=True):
            taken = flat.index_select(2, under).unflatten(1, (self.groups, -1))
            total = total.index_add(3, places, kernel @ taken)
        return total.flatten(1, 2).unflatten(2, self.shape[1:])
