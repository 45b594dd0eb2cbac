"""The integer nodes of the dialect: the nodes of :mod:`ecmt_deploy.program.nodes` in fixed point.

An analog stream is an array of integers with one power-of-two ``exponent``: value = integer * 2**exponent. Whatever a node
keeps or sends is ``state_bits`` wide, two's complement, and saturates at +-(2**(state_bits - 1) - 1); the one number below
that, -2**(state_bits - 1), is minus infinity (attention masks). A spike is an integer payload of at most ``payload_bits``;
weights have ``weight_bits``. Every node says its widths, and the arithmetic in between is bounded by them.

``docs/fixed_point.md`` specifies every operation; :mod:`ecmt_deploy.kernels.fixed` executes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import Any, ClassVar

import nir
import numpy as np

from ecmt_deploy.program import nodes as n

#: no constant of a requantisation is wider: |multiplier| < 2**15
MULTIPLIER_BITS = 16
#: a left shift may be at most this
MOST_LEFT_SHIFT = 32
#: ``fraction`` of an integer neuron is a multiple of one over this
FRACTION_STEPS = 256
#: sums that stay exact in double precision, in which they may be computed
EXACT_BITS = 53


def limit(bits: int) -> int:
    """Largest magnitude that ``bits`` hold: saturation is symmetric."""
    return int(2 ** (bits - 1) - 1)


def minus_infinity(bits: int) -> int:
    """The number that stands for minus infinity."""
    return int(-(2 ** (bits - 1)))


@dataclass(eq=False, kw_only=True)
class Fixed:
    """What every integer node says: the exponent of its stream, and the width of its state and stream."""

    exponent: int
    state_bits: int


@dataclass(eq=False, kw_only=True)
class Requantised(Fixed):
    """A node that ends with ``(a * multiplier) >> shift``, rounded, to reach the format of its stream."""

    multiplier: np.ndarray
    shift: np.ndarray


@dataclass(eq=False)
class FixedInput(Fixed, nir.Input):
    """The sample, quantised by whoever presents it: the nearest multiples of 2**exponent (ties to even)."""


@dataclass(eq=False)
class FixedConstant(Fixed, n.Constant):
    """Integers; -2**(state_bits - 1) is minus infinity."""


@dataclass(eq=False, kw_only=True)
class FixedLinear(Requantised, n.LastAxisLinear):
    """Integer weights (out, in) on the last axis; ``multiplier`` and ``shift`` (out,)."""

    weight_bits: int


@dataclass(eq=False, kw_only=True)
class FixedConv(Requantised, n.DialectNode):
    """Convolution of (C, length) or (C, H, W) with integer weights; ``multiplier`` and ``shift`` (out channels,)."""

    weight: np.ndarray
    stride: np.ndarray
    padding: np.ndarray
    dilation: np.ndarray
    groups: int
    weight_bits: int
    input_shape: ClassVar[None] = None  # a reshape of the operand is a node of its own


@dataclass(eq=False, kw_only=True)
class FixedScale(Requantised, n.DialectNode):
    """Elementwise requantisation: ``multiplier`` and ``shift`` broadcast to the operand."""


@dataclass(eq=False, kw_only=True)
class FixedAdd(Fixed, n.Add):
    """Sum of operands, each shifted from its exponent (``operand_exponents``) to the sum's."""

    operand_exponents: np.ndarray


@dataclass(eq=False, kw_only=True)
class FixedMean(Requantised, n.Mean):
    """Sum over ``axes``, requantised; ``multiplier`` and ``shift`` are single numbers."""


@dataclass(eq=False)
class FixedHold(Fixed, n.Hold):
    """Running sum of the operand."""


@dataclass(eq=False, kw_only=True)
class FixedMultiThreshold(Fixed, n.MultiThreshold):
    """Integer membrane. Bases are multiples of ``unit``, all in units of the membrane; a spike at level P = base << k is
    sent as the payload P / unit."""

    unit: np.ndarray
    payload_bits: int


@dataclass(eq=False, kw_only=True)
class FixedECM(Fixed, n.ECM):
    """Integer function; ``parameters`` hold its tables and constants, ``operand_exponents`` the formats it was made for."""

    operand_exponents: np.ndarray


@dataclass(eq=False, kw_only=True)
class FixedECMProduct(Fixed, n.ECMProduct):
    """Product of running sums. A payload of the left operand adds ``left_unit`` times itself to the left sum; for the
    product, the sums are shifted right by ``left_shift`` and ``right_shift`` to ``operand_bits``, and the result right by
    ``shift`` (left, where it is negative)."""

    left_unit: np.ndarray
    right_unit: np.ndarray
    left_shift: int
    right_shift: int
    operand_bits: int
    shift: int


@dataclass(eq=False)
class FixedReadout(Fixed, n.Readout):
    """Running sum, in rate coding divided by t; the readout is this integer times 2**exponent."""


FIXED: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        FixedInput, FixedConstant, FixedLinear, FixedConv, FixedScale, FixedAdd, FixedMean, FixedHold,
        FixedMultiThreshold, FixedECM,
        FixedECMProduct, FixedReadout,
    )
}  # fmt: skip


def exact_sum_bits(node: FixedLinear | FixedConv, operand_bits: int) -> int:
    """Bits that hold every sum of ``operand_bits`` wide operands times the node's weights."""
    fan_in = max(int(np.prod(node.weight.shape[1:])), 1)
    return int(operand_bits) + int(node.weight_bits) + ceil(log2(fan_in))
