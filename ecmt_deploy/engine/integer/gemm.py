"""Products of weights and payloads without rounding: in int8 where the processor has it, else in floats that are wide enough.

On a CPU with instructions for int8 (VNNI) a payload is taken apart into digits of 8 bits, and each digit meets the weights in
a product of int8 matrices with sums of 32 bits, which no sum of so many terms leaves: no rounding, in any order, and less time
than in float32. Elsewhere, and for wider weights or payloads, sums are taken in floats (:class:`Products`).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine.integer.exact import SINGLE
from ecmt_deploy.program import Program

#: where more of the rows than this take products in float64, all of a step do
WIDE_ROWS = 0.05
#: a norm that is summed in float32 may come out smaller by less than this share
_ROUNDING = 0.01
#: value of the upper digit, and the largest integer that two digits of -128 to 127 hold
DIGIT, TWO_DIGITS = 256, 127 * 256 + 127
#: sums of int32
WORD = 2**31 - 1


class Integers(NamedTuple):
    """What integers a stream may hold.

    Attributes
    ----------
    largest : the largest magnitude: of spikes that of a payload, else what the width holds
    common : a power of two that all of them are multiples of
    """

    largest: int
    common: int

    @classmethod
    def of(cls, program: Program, stream: str) -> Integers:
        """Those of a stream, from the nodes whose messages it is made of."""
        largest, common = [], []
        for name in program.emitters[stream]:
            node: Any = program.nodes[name]
            if node.emits == "spikes":
                largest.append(max(int(np.max(np.asarray(size) / node.unit)) for size in node.largest_spike))
                common.append(int(node.common_payload))
            else:
                largest.append(2 ** (int(node.format.state_bits) - 1))
                common.append(1)
        return cls(max(largest), min(common))


class Products(NamedTuple):
    """How sums of weights times operands are computed without rounding.

    A sum in float32 is exact, in whatever order it is taken, where no sum of some of its terms exceeds 2^24 times what all
    terms are multiples of. By the width of the payloads that may be known of all operands; else of each row by the sum of its
    magnitudes, times the largest weight. Other rows are computed in float64.

    Attributes
    ----------
    single : whether every sum is exact in float32
    most : the sum of magnitudes in a row up to which it is
    sums : largest magnitude of the whole sum of each output, (out,)
    digits : whether payloads may be taken apart into two digits, whose sums stay within 32 bits
    """

    single: bool
    most: float
    sums: np.ndarray
    digits: bool

    @classmethod
    def of(cls, weight: np.ndarray, operand: Integers) -> Products:
        """For integer weights (out, in)."""
        size = np.abs(weight.astype(np.float64))
        sums, exact, most = size.sum(axis=1), SINGLE * operand.common, max(float(size.max(initial=0)), 1.0)
        digits = most <= 128 and operand.largest <= TWO_DIGITS and bool((sums * 128 <= WORD).all())
        sums = sums * operand.largest
        return cls(bool((sums <= exact).all()), exact / most * (1 - _ROUNDING), sums, digits)

    def linear(self, x: Tensor, weight: Tensor, small: Tensor | None) -> Tensor:
        """Exact sums (rows, out) of x (rows, in) times ``weight`` (out, in), in whatever dtype holds them.

        ``small``: the weights as int8 (in, out), where digits are to be used.
        """
        if small is not None and x.numel():
            return self.in_digits(x, small)
        x = x.float()
        if self.single:
            return F.linear(x, weight)
        wide = x.abs().sum(dim=1) > self.most
        number = int(wide.count_nonzero())
        if number > WIDE_ROWS * len(wide):
            return F.linear(x.double(), weight.double())
        total = F.linear(x, weight)
        if number:
            total = total.double()
            total[wide] = F.linear(x[wide].double(), weight.double())
        return total

    def in_digits(self, x: Tensor, small: Tensor) -> Tensor:
        """The same by digits: int32 where that holds the sums, else float64."""
        lowest, highest = torch.aminmax(x)
        if lowest >= -DIGIT // 2 and highest < DIGIT // 2:
            return int8_matmul(x.to(torch.int8), small)
        upper = (x + DIGIT / 2).mul_(1 / DIGIT).floor_()
        lower = torch.sub(x, upper, alpha=DIGIT)
        low, high = (int8_matmul(digit.to(torch.int8), small) for digit in (lower, upper))
        if self.sums.max() + DIGIT / 2 <= WORD:
            return low.add_(high, alpha=DIGIT)
        return low.double().add_(high.double(), alpha=DIGIT)

    def matmul(self, weight: Tensor, x: Tensor) -> Tensor:
        """Exact sums of ``weight`` (.., out, in) times x (.., in, n), float32 where all are exact in it, else float64."""
        return weight.float() @ x.float() if self.single else weight.double() @ x.double()


def int8_matmul(x: Tensor, weight: Tensor) -> Tensor:
    """Products of int8 matrices (n, in) and (in, out), summed in int32."""
    if x.shape[1] == 1:  # torch 2.14 computes nothing where the matrix of one row is a transposed one
        return x.int() * weight.int()
    product: Tensor = torch._int_mm(x, weight)
    return product


@functools.cache
def int8_is_fast_and_exact() -> bool:
    """Whether this CPU multiplies matrices of int8 by instructions of its own, and exactly.

    Older processors sum pairs in 16 bits, which saturate: products of the largest integers tell.
    """
    fast = getattr(torch.cpu, "_is_vnni_supported", None)
    if fast is None or not hasattr(torch, "_int_mm") or not fast():
        return False
    rows, inner, columns = 33, 520, 40
    x = torch.full((rows, inner), 127, dtype=torch.int8)
    x[::2] = -128
    weight = torch.full((inner, columns), -128, dtype=torch.int8)
    weight[:, ::2] = 127
    return torch.equal(int8_matmul(x, weight), (x.double() @ weight.double()).int())
