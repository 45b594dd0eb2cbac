"""Multi-threshold neurons as a Lava process."""

from typing import Any

import numpy as np

from ecmt_deploy.program import ops
from ecmt_deploy.targets.lava.processes.base import NodeProcess, Shape, models, per_element, whole


class MultiThreshold(NodeProcess):
    """A layer of multi-threshold neurons.

    Levels are ``P_k = positive_base * 2**k`` and ``M_k = negative_base * 2**k``, k = 0 .. levels - 1. At every step

        v = v + a_in
        the largest k with v >= threshold of P_k fires s_out = +P_k, else the largest k with -v >= that of M_k fires -M_k
        v = v - s_out

    so that the spikes so far and the membrane are together what came in.

    Parameters
    ----------
    shape : tuple(int) or int
        Number and topology of the neurons.
    positive_base, negative_base : float or array, broadcast to ``shape``
        Smallest level of each side, positive. ``negative_base`` is ``positive_base`` unless said.
    levels : int
        Levels of each side, 1 to 32.
    rule : str
        ``nearest``: level k fires at ``fraction * P_k``; ``paper``: at ``P_k - positive_base / 2``.
    fraction : float
        See ``rule``; in [0.5, 1), and not dyadic.
    lowest_level : int or array, broadcast to ``shape``
        Levels below it never fire.
    initial_membrane : float or array, broadcast to ``shape``
        Membrane before the first step.
    reset_interval : int, optional
        Steps of one inference: the membrane is reset before every ``reset_interval``-th step. Never by default.
    name, log_config : optional
        As in any Lava process.

    Attributes
    ----------
    a_in : InPort of ``shape``
    s_out : OutPort of ``shape``; the spikes with their size, 0 where there is none
    v : Var of ``shape``; the membrane after the spikes left it

    Example
    -------
    >>> neurons = MultiThreshold(shape=(197, 192), positive_base=0.1, levels=6, reset_interval=4)
    >>> monitor = Monitor()
    >>> monitor.probe(neurons.s_out, num_steps=4)

    Notes
    -----
    Source: Huang et al., *Towards High-performance Spiking Transformers from ANN to SNN Conversion*, ACM MM 2024.
    """

    output, state = "s_out", ("v",)

    def __init__(
        self, *, shape: Shape, positive_base: Any, negative_base: Any = None, levels: int = 8, rule: str = "nearest",
        fraction: float = 0.74, lowest_level: Any = 0, initial_membrane: Any = 0.0, **keywords: Any,
    ) -> None:  # fmt: skip
        positive = per_element(positive_base)
        negative = positive if negative_base is None else per_element(negative_base)
        known = rule in ("nearest", "paper") and 1 <= whole(levels) <= 32
        if not (known and (positive > 0).all() and (negative > 0).all()):
            raise ValueError(
                f"MultiThreshold: rule {rule!r} and {levels} levels with bases {positive_base} and {negative_base}; "
                "expected rule nearest or paper, 1 to 32 levels, positive bases"
            )
        node = ops.MultiThreshold(
            positive, negative, levels, rule, fraction, np.asarray(lowest_level, np.int8), per_element(initial_membrane)
        )
        super().__init__(node=node, shapes=[shape], **keywords)


PyMultiThresholdFloat, PyMultiThresholdFixed = models(MultiThreshold)
