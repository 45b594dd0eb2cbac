"""What follows from tokens, masks and constants alone: such a stream is exact, and needs no neuron."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from ecmt_deploy.program.ops import Op


class Exact(IntEnum):
    """What an exact stream holds; the larger the narrower, and ``NO`` for one that is not exact."""

    NO = 0
    VALUES = 1
    INTEGERS = 2
    BITS = 3


def exact_values(values: np.ndarray) -> Exact:
    """What constants hold."""
    if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        return Exact.VALUES
    return Exact.BITS if ((values == 0) | (values == 1)).all() else Exact.INTEGERS


def exact_of(node: Op, sources: Sequence[Exact]) -> Exact:
    """What the stream of a node holds whose operands hold ``sources``; of a function no more is known than that it is exact."""
    held = min(sources, default=Exact.NO)
    if not held or node.every_step or node.role in ("synapse", "neuron"):
        return Exact.NO
    if node.role in ("movement", "product"):
        return held
    if node.role == "arithmetic" and node.layer == "elements":  # a sum, or a scale
        return min(held, Exact.INTEGERS, exact_values(np.asarray(getattr(node, "scale", 1))))
    return Exact.VALUES
