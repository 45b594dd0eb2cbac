"""Integers in floats, exactly; ``docs/fixed_point.md`` names the operations alike.

A float32 holds every integer up to 2^24, a float64 every one up to 2^53, and a sum, difference or product whose exact value
it holds is computed without rounding, in any order. So streams and state of up to 24 bits are float32 arrays, wider ones and
products are float64, and only what may not fit there is int64. A shift to the right is a product with a power of two, which
changes no digit, and ``floor``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ecmt_deploy.kernels.integers import FRACTION_BITS
from ecmt_deploy.program import Program

#: integers up to these are exact
SINGLE, DOUBLE = 2**24, 2**53
#: exponent of one in the bits of a float64, and where it stands
_BIAS, _EXPONENT = 1023, 52


def stream_dtype(program: Program) -> torch.dtype:
    """Floats that hold every stream and every state of an integer program: two of their integers add exactly."""
    formats = [node.format for node in program.nodes.values() if node.format is not None]
    widest = max((int(form.state_bits) for form in formats), default=0)
    return torch.float32 if widest <= 24 else torch.float64


def power_of_two(exponent: Tensor) -> Tensor:
    """2**exponent in float64, of integers (int64) from -1022 to 1023, by their bits."""
    return ((exponent + _BIAS) << _EXPONENT).view(torch.float64)


def shifted(x: Tensor, right: int | Tensor) -> Tensor:
    """``x / 2**right`` to the nearest integer, halves up; ``right`` is one integer, or float64 integers that broadcast."""
    if isinstance(right, Tensor):
        return (x * power_of_two(-right.long())).add_(0.5).floor_()
    return (x * 2.0**-right).add_(0.5).floor_() if right > 0 else x * 2.0**-right


def requantised(x: Tensor, multiplier: int | Tensor, shift: int | Tensor) -> Tensor:
    """``x * multiplier / 2**shift`` to the nearest integer, halves up."""
    if isinstance(multiplier, Tensor) or isinstance(shift, Tensor):
        return shifted(x * multiplier, shift)
    return (x * (multiplier * 2.0**-shift)).add_(0.5).floor_()


def divided(x: Tensor, divisor: int) -> Tensor:
    """``x / divisor`` to the nearest integer, halves up.

    A quotient that is no integer is further from the next one than rounding takes it, as long as 2 x + divisor is below 2^53.
    """
    return x if divisor == 1 else ((2 * x + divisor) / (2 * divisor)).floor_()


def highest_bit(x: Tensor) -> Tensor:
    """Position of the highest one of positive float64 integers, floor(log2 x), as int64; -1 for zero."""
    return ((x.view(torch.int64) >> _EXPONENT) - _BIAS).clamp_(min=-1)


class Table:
    """A table, its entries and the steps between them, which is read between entries.

    Parameters
    ----------
    low, step : (n,) and (n - 1,) float64
    """

    def __init__(self, low: Tensor, step: Tensor) -> None:
        self.low, self.step = low, step
        self._every: Tensor | None = None

    def at(self, position: Tensor, bits: int) -> Tensor:
        """Linear interpolation, float64: ``position`` (integers in floats) counts entries in units of 2**-bits."""
        place = (position * 2.0**-bits).floor_()
        index = place.to(torch.int32).flatten()
        fraction = torch.sub(position, place, alpha=2.0**bits).double()
        rise = self.step.index_select(0, index).view(position.shape)
        rise = rise.mul_(fraction).mul_(2.0**-bits).add_(0.5).floor_()
        return rise.add_(self.low.index_select(0, index).view(position.shape))

    def every(self, bits: int) -> Tensor:
        """What :meth:`at` says at every position, in float32."""
        if self._every is None:
            positions = torch.arange(len(self.step) << bits, dtype=torch.float64, device=self.low.device)
            self._every = self.at(positions, bits).float()
        return self._every


def normalised_mantissa(x: Tensor, highest: Tensor, segments_bits: int) -> Tensor:
    """Positive ``x`` as mantissa minus one, in segments of 2**-segments_bits of an octave with ``FRACTION_BITS`` behind."""
    bits = segments_bits + FRACTION_BITS
    return (x * power_of_two(bits - highest)).floor_().sub_(2.0**bits)
