"""The compensated product of two streams as a Lava process."""

from typing import Any

from ecmt_deploy.program import ops
from ecmt_deploy.targets.lava.processes.base import NodeProcess, Shape, models, per_element


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
    previous : Var; the term that the next step subtracts
    """

    inputs, state = ("left_in", "right_in"), ("accumulator_left", "accumulator_right", "previous")
    takes_spikes = True

    def __init__(
        self, *, shape_left: Shape, shape_right: Shape, product: str = "matmul", coding: str = "differential",
        left_initial: Any = 0.0, right_initial: Any = 0.0, **keywords: Any,
    ) -> None:  # fmt: skip
        if product not in ("matmul", "multiply") or coding not in ("differential", "rate"):
            raise ValueError(f"ECMProduct: {product!r} in coding {coding!r}; choose matmul or multiply, differential or rate")
        node = ops.ECMProduct(self.inputs, product, coding, per_element(left_initial), per_element(right_initial))
        super().__init__(node=node, shapes=[shape_left, shape_right], **keywords)


PyECMProductFloat, PyECMProductFixed = models(ECMProduct)
