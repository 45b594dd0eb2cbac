"""Expectation compensation of softmax, layer norm and GELU as Lava processes."""

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
from ecmt_deploy.targets.lava.processes.base import NodeModel, NodeProcess, Shape, per_element, shape_of


class ExpectationCompensation(NodeProcess):
    """Base of the processes that wrap a function f of one operand.

    With X_t the sum of what came so far, they send, in ``differential`` coding, ``f(X_t) - f(X_{t-1})`` (f(X_0) := 0); in
    ``rate`` coding ``t f(X_t / t) - (t-1) f(X_{t-1} / (t-1))``. Either way what was sent so far adds up to the function of
    what came.

    Attributes
    ----------
    a_in, a_out : InPort, OutPort of ``shape``
    accumulator : Var of ``shape``; X_t
    previous : Var of ``shape``; the term that the next step subtracts
    """

    state = {"accumulator": 0, "previous": None}

    def _function(
        self, function: str, parameters: dict[str, Any], shape: Shape, coding: str, reset_interval: int | None,
        name: str | None, log_config: LogConfig | None,
    ) -> None:  # fmt: skip
        if coding not in ("differential", "rate"):
            raise ValueError(f"{type(self).__name__}: coding is {coding!r}; choose differential or rate")
        node = ops.ECM(("a_in",), function, coding, parameters)
        self._prepare(node=node, shapes=[shape], reset_interval=reset_interval, name=name, log_config=log_config)

    def _connect(self) -> None:
        site = self.proc_params["site"]
        self.a_in, self.a_out = InPort(shape=site.operand_shapes[0]), OutPort(shape=site.shape)


class ECMSoftmax(ExpectationCompensation):
    """Softmax over an axis, compensated; see :class:`ExpectationCompensation` for ports and variables.

    Parameters
    ----------
    shape : tuple(int) or int
        Shape of the operand and of the result.
    axis : int
        Axis over which the result sums to one.
    coding : str
        ``differential`` or ``rate``.
    reset_interval : int, optional
        Steps of one inference; state is zeroed before every ``reset_interval``-th step. Never by default.
    name, log_config : optional
        As in any Lava process.
    """

    def __init__(
        self, *, shape: Shape, axis: int = -1, coding: str = "differential", reset_interval: int | None = None,
        name: str | None = None, log_config: LogConfig | None = None,
    ) -> None:  # fmt: skip
        axes = len(shape_of(shape, "ECMSoftmax"))
        if not -axes <= axis < axes:
            raise ValueError(f"ECMSoftmax: axis is {axis}, expected one of the {axes} axes of {shape}")
        self._function("softmax", {"axis": np.asarray(axis % axes)}, shape, coding, reset_interval, name, log_config)


class ECMLayerNorm(ExpectationCompensation):
    """Layer norm over the last axis, compensated; see :class:`ExpectationCompensation` for ports and variables.

    Parameters
    ----------
    shape : tuple(int) or int
        Shape of the operand and of the result.
    weight, bias : array of shape[-1], optional
        Applied after the normalisation.
    eps : float
        Added to the variance.
    coding, reset_interval, name, log_config
        As in :class:`ECMSoftmax`.
    """

    def __init__(
        self, *, shape: Shape, weight: Any = None, bias: Any = None, eps: float = 1e-6, coding: str = "differential",
        reset_interval: int | None = None, name: str | None = None, log_config: LogConfig | None = None,
    ) -> None:  # fmt: skip
        parameters: dict[str, Any] = {"eps": np.asarray(eps), "normalized_axes": np.asarray(1)}
        parameters |= {k: per_element(v) for k, v in (("weight", weight), ("bias", bias)) if v is not None}
        self._function("layer_norm", parameters, shape, coding, reset_interval, name, log_config)


class ECMGELU(ExpectationCompensation):
    """GELU, compensated; see :class:`ExpectationCompensation` for ports and variables.

    Parameters
    ----------
    shape : tuple(int) or int
        Shape of the operand and of the result.
    approximate : str
        ``none`` for the error function, ``tanh`` for the usual approximation.
    coding, reset_interval, name, log_config
        As in :class:`ECMSoftmax`.
    """

    def __init__(
        self, *, shape: Shape, approximate: str = "none", coding: str = "differential",
        reset_interval: int | None = None, name: str | None = None, log_config: LogConfig | None = None,
    ) -> None:  # fmt: skip
        functions = {"none": "gelu", "tanh": "gelu_tanh"}
        if approximate not in functions:
            raise ValueError(f"ECMGELU: approximate is {approximate!r}; choose none or tanh")
        self._function(functions[approximate], {}, shape, coding, reset_interval, name, log_config)


class _Model(NodeModel):
    ports, out = ("a_in",), "a_out"
    shows = {"accumulator": ("accumulators", 0), "previous": ("previous", None)}


class _Float(_Model):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    accumulator: np.ndarray = LavaPyType(np.ndarray, float)
    previous: np.ndarray = LavaPyType(np.ndarray, float)


class _Fixed(_Model):
    dtype = np.int32
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    accumulator: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    previous: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)


@implements(proc=ECMSoftmax, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyECMSoftmaxFloat(_Float):
    """Floating-point model of :class:`ECMSoftmax`."""


@implements(proc=ECMSoftmax, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyECMSoftmaxFixed(_Fixed):
    """Integer model of :class:`ECMSoftmax`."""


@implements(proc=ECMLayerNorm, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyECMLayerNormFloat(_Float):
    """Floating-point model of :class:`ECMLayerNorm`."""


@implements(proc=ECMLayerNorm, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyECMLayerNormFixed(_Fixed):
    """Integer model of :class:`ECMLayerNorm`."""


@implements(proc=ECMGELU, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyECMGELUFloat(_Float):
    """Floating-point model of :class:`ECMGELU`."""


@implements(proc=ECMGELU, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyECMGELUFixed(_Fixed):
    """Integer model of :class:`ECMGELU`."""
