"""Token-wise synapses as a Lava process."""

from typing import Any

import numpy as np

from ecmt_deploy.program import ops
from ecmt_deploy.targets.lava.processes.base import NodeProcess, Shape, models, shape_of


class TokenLinear(NodeProcess):
    """The same dense connections for every token: ``a_out[..., :] = weights @ s_in[..., :]``, within the same time step.

    Parameters
    ----------
    weights : array (out, in)
        Weights of one token.
    tokens : tuple(int) or int
        Leading axes of the operand, for example ``(197,)`` or 197; empty for a single vector.
    name, log_config : optional
        As in any Lava process.

    Attributes
    ----------
    s_in : InPort of (*tokens, in)
    a_out : OutPort of (*tokens, out)
    remainder : Var of (*tokens, out); what the rounding of an integer node that carries leaves for the next step, in units of
        2**-shift of its last place. Any other node rounds nothing or keeps nothing, and it is zero
    """

    inputs, state, takes_spikes = ("s_in",), ("remainder",), True

    def __init__(self, *, weights: Any, tokens: Shape = (), **keywords: Any) -> None:
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 2:
            raise ValueError(f"TokenLinear: weights of shape {weights.shape}, expected (out, in)")
        leading = shape_of(tokens, "TokenLinear") if np.size(tokens) else ()
        shape = (*leading, weights.shape[1])
        super().__init__(node=ops.LastAxisLinear(weights), shapes=[shape], **keywords)


PyTokenLinearFloat, PyTokenLinearFixed = models(TokenLinear)
