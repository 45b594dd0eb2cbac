"""Graded neurons as a Lava process."""

from typing import Any

import numpy as np

from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program import ops
from ecmt_deploy.program.ops.graded import LEAST_BITS, MOST_BITS
from ecmt_deploy.targets.lava.processes.base import NodeProcess, Shape, models, per_element, whole


class Graded(NodeProcess):
    """A layer of graded neurons: one spike carries the rounded membrane.

    At every step

        v = v + a_in
        n = v / base to the nearest integer, ties to even, clipped to +-(2**(payload_bits - 1) - 1)
        where abs(n) >= least, s_out = n * base; elsewhere 0
        v = v - s_out

    so that the spikes so far and the membrane are together what came in.

    Parameters
    ----------
    shape : tuple(int) or int
        Number and topology of the neurons.
    base : float or array, broadcast to ``shape``
        What a payload of one is worth, positive.
    payload_bits : int
        Width of a payload, sign included, 2 to 16.
    least : int or array, broadcast to ``shape``
        The smallest payload that fires: the dead zone is (least - 1/2) base wide on either side. At least 1, at most
        2**(payload_bits - 1), which is silence.
    initial_membrane : float or array, broadcast to ``shape``
        Membrane before the first step.
    reset_interval : int, optional
        Steps of one inference: the membrane is reset before every ``reset_interval``-th step. Never by default.
    name, log_config : optional
        As in any Lava process.

    Attributes
    ----------
    a_in : InPort of ``shape``
    s_out : OutPort of ``shape``; the spikes with their size, in the ``fixed_pt`` model their payloads; 0 where there is none
    v : Var of ``shape``; the membrane after the spikes left it

    Example
    -------
    >>> neurons = Graded(shape=(197, 192), base=0.01, payload_bits=8, least=2)
    >>> monitor = Monitor()
    >>> monitor.probe(neurons.s_out, num_steps=1)
    """

    output, state = "s_out", ("v",)

    def __init__(
        self, *, shape: Shape, base: Any, payload_bits: int = 8, least: Any = 1, initial_membrane: Any = 0.0, **keywords: Any
    ) -> None:
        bases, smallest = per_element(base), np.asarray(least)
        known = LEAST_BITS <= whole(payload_bits) <= MOST_BITS and smallest.dtype.kind in "iu"
        if not (known and (bases > 0).all() and ((smallest >= 1) & (smallest <= limit(payload_bits) + 1)).all()):
            raise ValueError(
                f"Graded: payloads of {payload_bits} bits of at least {least} with bases {base}; expected {LEAST_BITS} to "
                f"{MOST_BITS} bits, whole numbers of 1 to 2**(payload_bits - 1) as least, positive bases"
            )
        node = ops.Graded(bases, whole(payload_bits), smallest.astype(np.int32), per_element(initial_membrane))
        super().__init__(node=node, shapes=[shape], **keywords)


PyGradedFloat, PyGradedFixed = models(Graded)
