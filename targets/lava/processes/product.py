"""The compensated product of two streams as a Lava process."""

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
from ecmt_deploy.targets.lava.processes.base import NodeModel, NodeProcess, Shape, per_element


class ECMProduct(NodeProcess):
    """The product of two streams, compensated: attention scores and values.

    With A_t, B_t the sums of what came so far, it sends ``a_t B_t + A_{t-1} b_t`` in ``differential`` coding and
    ``A_t B_t / t - A_{t-1} B_{t-1} / (t-1)`` in ``rate`` coding.

    Parameters
    ----------
    shape_left, shape_right : tuple(int) or int
        Shapes of the operands.
    product : str
        ``matmul``, batched over leading axes, or ``multiply``, with broadcasting.
    coding : str
        ``differential`` or ``rate``.
    left_initial, right_initial : float or array, broadcast to the operands
        Sums before the first step; zero in rate coding.
    reset_interval : int, optional
        Steps of one inference; state is reset before every ``reset_interval``-th step. Never by default.
    name, log_config : optional
        As in any Lava process.

    Attributes
    ----------
    left_in, right_in : InPort of ``shape_left``, ``shape_right``
    a_out : OutPort
    accumulator_left, accumulator_right : Var of ``shape_left``, ``shape_right``; A_t and B_t
    """

    state = {"accumulator_left": 0, "accumulator_right": 1}
    takes_spikes = True

    def __init__(
        self, *, shape_left: Shape, shape_right: Shape, product: str = "matmul",
        coding: str = "differential", left_initial: Any = 0.0, right_initial: Any = 0.0, reset_interval: int | None = None,
        name: str | None = None, log_config: LogConfig | None = None,
    ) -> None:  # fmt: skip
        if product not in ("matmul", "multiply") or coding not in ("differential", "rate"):
            raise ValueError(f"ECMProduct: {product!r} in coding {coding!r}; choose matmul or multiply, differential or rate")
        node = ops.ECMProduct(("left_in", "right_in"), product, coding, per_element(left_initial), per_element(right_initial))
        self._prepare(
            node=node, shapes=[shape_left, shape_right], reset_interval=reset_interval, name=name, log_config=log_config
        )

    def _connect(self) -> None:
        site = self.proc_params["site"]
        self.left_in, self.right_in = (InPort(shape=shape) for shape in site.operand_shapes)
        self.a_out = OutPort(shape=site.shape)


class _Model(NodeModel):
    ports, out = ("left_in", "right_in"), "a_out"
    shows = {"accumulator_left": ("a", None), "accumulator_right": ("b", None)}


@implements(proc=ECMProduct, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyECMProductFloat(_Model):
    """Floating-point model of :class:`ECMProduct`."""

    left_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    right_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    accumulator_left: np.ndarray = LavaPyType(np.ndarray, float)
    accumulator_right: np.ndarray = LavaPyType(np.ndarray, float)


@implements(proc=ECMProduct, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyECMProductFixed(_Model):
    """Integer model of :class:`ECMProduct`."""

    dtype = np.int32
    left_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    right_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    accumulator_left: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    accumulator_right: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
