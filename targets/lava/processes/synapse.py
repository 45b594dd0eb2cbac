"""Token-wise synapses as a Lava process."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from ecmt_deploy.program import ops
from ecmt_deploy.targets.lava.processes.base import NodeModel, NodeProcess, Shape, shape_of


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
    """

    takes_spikes = True

    def __init__(
        self, *, weights: Any, tokens: Shape = (), name: str | None = None, log_config: LogConfig | None = None
    ) -> None:
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 2:
            raise ValueError(f"TokenLinear: weights of shape {weights.shape}, expected (out, in)")
        leading = shape_of(tokens, "TokenLinear") if np.size(tokens) else ()
        shape = (*leading, weights.shape[1])
        self._prepare(node=ops.LastAxisLinear(weights), shapes=[shape], name=name, log_config=log_config)

    def _connect(self) -> None:
        site = self.proc_params["site"]
        self.s_in, self.a_out = InPort(shape=site.operand_shapes[0]), OutPort(shape=site.shape)


class _Model(NodeModel):
    ports, out = ("s_in",), "a_out"


@implements(proc=TokenLinear, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyTokenLinearFloat(_Model):
    """Floating-point model of :class:`TokenLinear`."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


@implements(proc=TokenLinear, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyTokenLinearFixed(_Model):
    """Integer model of :class:`TokenLinear`."""

    dtype = np.int32
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
