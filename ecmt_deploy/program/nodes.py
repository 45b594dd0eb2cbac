"""The nodes of the dialect: what a spiking program is made of.

Standard NIR nodes are used where their meaning is exact (``Input``, ``Output``, ``Linear`` on a vector, ``Conv1d`` and
``Conv2d`` with a zero bias, ``Scale`` of the same shape). The dataclasses here are the rest. A node carries no shape of its
operands: shapes follow from the graph (:mod:`ecmt_deploy.program.shapes`), so a file cannot contradict itself.

``docs/format.md`` specifies the meaning of every node for those who write another reader.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import nir
import numpy as np

CODINGS = ("rate", "differential")
SCHEDULES = ("every", "first")
RULES = ("paper", "nearest")
PRODUCTS = ("matmul", "multiply")
#: an initial state of zero, in the smallest floating dtype, so that it widens no program
NOTHING = np.zeros((), np.float16)


@dataclass(eq=False)
class DialectNode(nir.NIRNode):
    """Base of the dialect's own nodes; ``input_type`` and ``output_type`` are filled in when the graph is verified."""

    #: how many operands: ``None`` means one or more, named in order in the field ``operands``
    arity: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        self.input_type: dict[str, Any] = {}
        self.output_type: dict[str, Any] = {}


# --- wiring: moves values, computes nothing ---------------------------------------------------------------------------


@dataclass(eq=False)
class Reshape(DialectNode):
    """Row-major reshape of the operand to ``shape`` (int64 vector)."""

    shape: np.ndarray


@dataclass(eq=False)
class Permute(DialectNode):
    """Reorder the axes: output axis ``i`` is operand axis ``axes[i]`` (int64 vector)."""

    axes: np.ndarray


@dataclass(eq=False)
class Slice(DialectNode):
    """Elements ``start, start + step, ... < stop`` of one axis."""

    axis: int
    start: int
    stop: int
    step: int


@dataclass(eq=False)
class Take(DialectNode):
    """Elements ``indices`` (int64 vector) of one axis, in that order: rolls, flips and table look-ups by constant index."""

    axis: int
    indices: np.ndarray


@dataclass(eq=False)
class Expand(DialectNode):
    """Broadcast the operand to ``shape`` (int64 vector), NumPy's rules."""

    shape: np.ndarray


@dataclass(eq=False)
class Pad(DialectNode):
    """Zeros around the operand: ``widths`` is (axes, 2), before and after. A value other than zero is an added constant."""

    widths: np.ndarray


@dataclass(eq=False)
class Concat(DialectNode):
    """Join the operands, in order, along ``axis``."""

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]
    axis: int


# --- linear in the activation -----------------------------------------------------------------------------------------


@dataclass(eq=False)
class LastAxisLinear(DialectNode):
    """``y[..., o] = sum_i weight[o, i] x[..., i]``: one weight matrix (out, in), shared by every row of the operand."""

    weight: np.ndarray


@dataclass(eq=False)
class BroadcastScale(DialectNode):
    """``y = scale * x``, ``scale`` broadcast to the operand's shape."""

    scale: np.ndarray


@dataclass(eq=False)
class Add(DialectNode):
    """Sum of the operands, from the left; all of one shape."""

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]


@dataclass(eq=False)
class Mean(DialectNode):
    """Mean over ``axes`` (int64 vector), which stay as size 1 where ``keepdims``."""

    axes: np.ndarray
    keepdims: bool


# --- sources and state ------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Constant(DialectNode):
    """A value that does not depend on the input, emitted at every step or only at the first (``schedule``)."""

    arity: ClassVar[int | None] = 0
    value: np.ndarray
    schedule: str


@dataclass(eq=False)
class Hold(DialectNode):
    """``y_t = x_1 + .. + x_t``: repeats at every step what entered at the first. Rate coding puts it behind the encoding."""


@dataclass(eq=False)
class MultiThreshold(DialectNode):
    """Multi-threshold neuron with levels ``positive_base * 2**k`` and ``negative_base * 2**k``, k = 0 .. levels - 1.

    The bases broadcast to the operand's shape: scalar, or one per channel. ``rule`` says when a level fires:
    ``paper`` at ``P_k - p/2``, ``nearest`` at ``fraction * P_k`` (``fraction`` is ignored under ``paper``). Levels below
    ``lowest_level`` (integers, broadcast to the operand) never fire: a dead zone of each neuron's own; with ``lowest_level`` =
    ``levels`` a neuron is silent. ``initial_membrane`` (broadcast) is the membrane before t = 1: with minus the value expected
    of the operand there, the spikes tell what was not expected, and the consumers add the expectation.
    """

    positive_base: np.ndarray
    negative_base: np.ndarray
    levels: int
    rule: str
    fraction: float
    lowest_level: np.ndarray = field(default_factory=lambda: np.zeros((), np.int8))
    initial_membrane: np.ndarray = field(default_factory=lambda: NOTHING)


@dataclass(eq=False)
class ECM(DialectNode):
    """Expectation compensation around a nonlinear ``function`` (see :mod:`ecmt_deploy.program.functions`)."""

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]
    function: str
    coding: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class ECMProduct(DialectNode):
    """Expectation compensation of a product of two streams: ``matmul`` (batched over leading axes) or ``multiply``.

    ``left_initial`` and ``right_initial`` (broadcast to the operands) are the accumulators before t = 1: what was expected of
    operands whose spikes tell the rest. Zero in rate coding.
    """

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]
    product: str
    coding: str
    left_initial: np.ndarray = field(default_factory=lambda: NOTHING)
    right_initial: np.ndarray = field(default_factory=lambda: NOTHING)


@dataclass(eq=False)
class Readout(DialectNode):
    """The answer after every step: the mean of what came (``rate``) or its sum (``differential``)."""

    coding: str


WIRING = (Reshape, Permute, Slice, Take, Expand, Pad, Concat)
LINEAR = (nir.Linear, LastAxisLinear, nir.Conv1d, nir.Conv2d)
SCALING = (nir.Scale, BroadcastScale)
DIALECT: dict[str, type[DialectNode]] = {
    cls.__name__: cls
    for cls in (
        *WIRING, LastAxisLinear, BroadcastScale, Add, Mean, Constant, Hold, MultiThreshold, ECM, ECMProduct, Readout
    )
}  # fmt: skip
STANDARD: dict[str, type[nir.NIRNode]] = {
    cls.__name__: cls for cls in (nir.Input, nir.Output, nir.Linear, nir.Conv1d, nir.Conv2d, nir.Scale)
}


def operand_names(node: nir.NIRNode) -> tuple[str, ...] | None:
    """Names of a node's operands in order, or ``None`` where its single incoming edge says it."""
    return getattr(node, "operands", None)


def input_shape(node: nir.Input) -> tuple[int, ...]:
    """Shape of one sample as the ``Input`` node declares it."""
    return tuple(int(n) for n in np.atleast_1d(node.input_type["input"]))


def output_shape(node: nir.Output) -> tuple[int, ...]:
    """Shape of one readout as the ``Output`` node declares it."""
    return tuple(int(n) for n in np.atleast_1d(node.output_type["output"]))


def thresholds(node: MultiThreshold, base: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """``(level, threshold)`` of one side of a neuron, from the smallest level up, in the dtype of ``base``.

    Source: ECMT (ACM MM 2024), and the rule ``nearest``: a level fires at ``P_k - g_k`` with ``g_k = p/2``
    (``paper``) or ``g_k = (1 - c) P_k`` (``nearest``, c = ``fraction``).
    """
    pairs = []
    for k in range(int(node.levels)):
        level = base * base.dtype.type(2.0**k)
        margin_free = level * base.dtype.type(node.fraction) if node.rule == "nearest" else level - base / 2
        pairs.append((level, margin_free))
    return pairs
