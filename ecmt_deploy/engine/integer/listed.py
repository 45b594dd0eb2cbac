"""Convolutions of integer programs that list their windows: laid out side by side, then products as of any other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine.base import runs
from ecmt_deploy.engine.integer.synapses import Conv
from ecmt_deploy.engine.listed import ListedConv as FloatListedConv
from ecmt_deploy.program import Program, ops


@runs(ops.ListedConvolution, integers=True)
class ListedConv(Conv, FloatListedConv):
    """Kernels (out, in / groups, taps)."""

    windows: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.register_buffer("windows", torch.from_numpy(self.node.windows.T.ravel()), persistent=False)  # (taps * places,)

    def laid_out(self, x: Tensor) -> Tensor:
        padded = F.pad(x.flatten(2), (0, 1))  # a window that lists -1 sees the zero at the end
        taken = padded[..., self.windows].unflatten(2, (-1, len(self.node.windows)))
        return taken.flatten(1, 2)
