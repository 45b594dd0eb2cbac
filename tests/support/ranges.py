"""Ranges of programs made by hand."""

from __future__ import annotations

import torch

from ecmt_deploy.conversion.converter import with_ranges
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program
from ecmt_deploy.testing.handmade import images


def ranged(program: Program) -> Program:
    """A program made by hand, with ranges as a conversion records them."""
    return with_ranges(SpikingModel(program), [torch.from_numpy(images(8, seed=1))]).program
