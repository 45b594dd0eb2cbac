"""Expectation compensation of softmax, layer norm and GELU as Lava processes."""

from typing import Any

import numpy as np

from ecmt_deploy.program import ops
from ecmt_deploy.targets.lava.processes.base import NodeProcess, Shape, models, per_element, shape_of


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

    state = ("accumulator", "previous")

    def __init__(self, function: str, parameters: dict[str, Any], shape: Shape, coding: str, **keywords: Any) -> None:
        if coding not in ("differential", "rate"):
            raise ValueError(f"{type(self).__name__}: coding is {coding!r}; choose differential or rate")
        super().__init__(node=ops.ECM(self.inputs, function, coding, parameters), shapes=[shape], **keywords)


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

    def __init__(self, *, shape: Shape, axis: int = -1, coding: str = "differential", **keywords: Any) -> None:
        axes = len(shape_of(shape, "ECMSoftmax"))
        if not -axes <= axis < axes:
            raise ValueError(f"ECMSoftmax: axis is {axis}, expected one of the {axes} axes of {shape}")
        super().__init__("softmax", {"axis": np.asarray(axis % axes)}, shape, coding, **keywords)


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
        **keywords: Any,
    ) -> None:  # fmt: skip
        parameters: dict[str, Any] = {"eps": np.asarray(eps), "normalized_axes": np.asarray(1)}
        parameters |= {k: per_element(v) for k, v in (("weight", weight), ("bias", bias)) if v is not None}
        super().__init__("layer_norm", parameters, shape, coding, **keywords)


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

    def __init__(self, *, shape: Shape, approximate: str = "none", coding: str = "differential", **keywords: Any) -> None:
        functions = {"none": "gelu", "tanh": "gelu_tanh"}
        if approximate not in functions:
            raise ValueError(f"ECMGELU: approximate is {approximate!r}; choose none or tanh")
        super().__init__(functions[approximate], {}, shape, coding, **keywords)


PyECMSoftmaxFloat, PyECMSoftmaxFixed = models(ECMSoftmax)
PyECMLayerNormFloat, PyECMLayerNormFixed = models(ECMLayerNorm)
PyECMGELUFloat, PyECMGELUFixed = models(ECMGELU)
