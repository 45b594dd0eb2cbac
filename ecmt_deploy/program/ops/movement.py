"""What all wiring has in common: it moves values and masks alike, computes nothing, and sends nothing of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program.ops.base import Op, Shape, Work, fits, trait


class MovementKernel(Kernel):
    """Any wiring: it counts nothing."""

    def step(self, t: int, *operands: Stream) -> Stream:
        return self.advance(t, *operands)

    def advance(self, t: int, *operands: Stream) -> Stream:
        values, masks = zip(*operands, strict=True)
        return Stream(self.node.rewire(*values), self.node.rewire(*masks))


@dataclass(eq=False, repr=False)
class Movement(Op):
    """Base of wiring; in an integer program it is what it is in a float program, and has no number format of its own."""

    role = "movement"
    kernel = MovementKernel
    without_integer = "it moves integers as it moves floats"
    carries_masks = passes_image = takes_spikes = True

    rewire = trait("its stream from its operands, values or masks")

    @property
    def keeps_format(self) -> bool:
        return True

    def work(self, shape: Shape, *operands: Shape) -> Work:
        return Work()

    def copies(self, x: Shape, shape: Shape) -> tuple[int, int]:
        """How often an element of an operand is repeated, least and most."""
        return 1, 1


def axis_of(axis: int, shape: Shape) -> int:
    """An axis, counted from the front."""
    fits(-len(shape) <= axis < len(shape), f"axis {axis} of an operand of shape {shape}")
    return axis % len(shape)


def from_front(axis: int, ndim: int) -> int:
    """An axis counted from the front; one outside the operand is left for the shape rule to refuse."""
    return axis + ndim if -ndim <= axis < 0 else axis


def sizes(vector: np.ndarray) -> Shape:
    """A shape, from the vector of a node."""
    return tuple(vector.tolist())
