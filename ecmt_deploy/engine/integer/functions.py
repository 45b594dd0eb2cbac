"""Functions of integer programs on floats that hold integers: ``docs/fixed_point.md``, *Functions*, specifies each.

Operands come in the dtype of streams, and are left as they are; values may be of any float that holds them.

What is multiplied has at most 24 to 32 digits (an operand), or the 15 to 21 of a table or a multiplier; no intermediate of a
program that verification lets through has more than 53.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from ecmt_deploy.engine.integer.exact import SINGLE, Table, divided, highest_bit, normalised_mantissa, requantised, shifted
from ecmt_deploy.kernels.integers import FRACTION_BITS, limit, minus_infinity
from ecmt_deploy.program.functions.integer import BLOCK_BITS, MOST_LEFT, MOST_RIGHT, OCTAVE_BITS, TWO_OCTAVES_BITS
from ecmt_deploy.program.functions.sin import TURN_BITS
from ecmt_deploy.program.functions.softmax import RECIPROCAL_BITS

#: integers, arrays as float64, and tables
Parameters = Mapping[str, Any]
#: parameters that are read between their entries
TABLES = ("values", "mantissa")


def clear_shift(x: Tensor, right: Tensor) -> Tensor:
    """A right shift, limited to what leaves anything."""
    return shifted(x, right.clamp(-MOST_LEFT, MOST_RIGHT))


def interpolate(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """A table, piecewise linear, and straight lines outside."""
    values, start, segment = p["values"], p["start"], p["segment_bits"]
    end = start + ((len(values.low) - 1) << segment)
    narrow = max(-start, end) <= SINGLE // 2  # so that positions are exact in whatever streams are
    own = x if narrow else x.double()
    y: Tensor = values.at(own.clamp(start, end - 1).sub_(start), segment)
    lowest, highest = torch.aminmax(x)
    if lowest < start:
        wide = x.double()
        y = torch.where(x < start, values.low[0] + requantised(wide - start, p["left_multiplier"], p["left_shift"]), y)
    if highest >= end:
        wide = x.double()
        y = torch.where(x >= end, values.low[-1] + requantised(wide - end, p["right_multiplier"], p["right_shift"]), y)
    return y


def in_octave(p: Parameters, x: Tensor) -> tuple[Tensor, Tensor]:
    """Table value of the mantissa of positive ``x``, and its whole exponent (int64)."""
    highest = highest_bit(x)
    return p["mantissa"].at(normalised_mantissa(x, highest, OCTAVE_BITS), FRACTION_BITS), highest


def power(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """The mantissa's power by table, the exponent's by a multiplier of its own."""
    x = x.double()
    mantissa, highest = in_octave(p, x.abs().clamp_(min=1))
    y = requantised(mantissa, p["multiplier"][highest], p["shift"][highest])
    return torch.where(x == 0, float(p["at_zero"]), torch.where(x < 0, p["sign"] * y, y))


def divide(p: Parameters, bits: int, x: Tensor, y: Tensor) -> Tensor:
    """x / y."""
    x, y = x.double(), y.double()
    mantissa, highest = in_octave(p, y.abs().clamp_(min=1))
    quotient = clear_shift(x * mantissa, highest + p["result_shift"])
    return torch.where(y == 0, x.sign() * 2.0 ** (bits - 1), torch.where(y < 0, -quotient, quotient))


def power_of_two(p: Parameters, z: Tensor) -> tuple[Tensor, Tensor]:
    """2**(z / 2**16) of float64 integers as table value and whole exponent."""
    whole = (z * 2.0**-FRACTION_BITS).floor_()
    return p["mantissa"].at(z - whole * 2.0**FRACTION_BITS, FRACTION_BITS - OCTAVE_BITS), whole


def exponential(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """exp x."""
    mantissa, whole = power_of_two(p, requantised(x.double(), p["multiplier"], p["shift"]))
    return clear_shift(mantissa, p["result_shift"] - whole)


def logarithm(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """log x: that of the mantissa by table, and the whole exponent."""
    x = x.double()
    fraction, highest = in_octave(p, x.clamp(min=1))
    z = (highest.double() * 2.0**FRACTION_BITS).add_(fraction).add_(p["offset"])
    return torch.where(x > 0, requantised(z, p["multiplier"], p["shift"]), -float(limit(bits)))


def sine(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """sin x: one turn by table."""
    turns = requantised(x.double(), p["multiplier"], p["shift"])
    position = turns - (turns * 2.0**-FRACTION_BITS).floor_() * 2.0**FRACTION_BITS
    return p["values"].at(position, FRACTION_BITS - TURN_BITS)


def softmax(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """exp(x) / sum exp(x).

    Numerators have 21 digits: all about them is float32. Below 2**-62 none is left, so that exponents may end there.
    """
    axis = p["axis"]
    z = requantised((x - x.amax(dim=axis, keepdim=True)).double(), p["multiplier"], p["shift"])
    z = z.clamp_(min=-float(MOST_RIGHT << FRACTION_BITS)).to(torch.int32)
    octave: Table = p["mantissa"]
    mantissa = (
        octave.every(FRACTION_BITS - OCTAVE_BITS).index_select(0, (z & ((1 << FRACTION_BITS) - 1)).flatten()).view(z.shape)
    )
    exponent = (z >> FRACTION_BITS).add_(127).bitwise_left_shift_(23).view(torch.float32)
    numerator = mantissa.mul_(exponent).add_(0.5).floor_()
    if x.amin() == minus_infinity(bits):
        numerator.masked_fill_(x == minus_infinity(bits), 0)
    total = numerator.sum(dim=axis, keepdim=True, dtype=torch.float64)
    reciprocal = torch.where(total > 0, (2.0**RECIPROCAL_BITS / total.clamp(min=1)).floor_(), 0)
    return (numerator * (reciprocal * 2.0 ** -p["result_shift"])).add_(0.5).floor_()


def masked_softmax(p: Parameters, bits: int, x: Tensor, allowed: Tensor) -> Tensor:
    """exp(x) / sum exp(x) of what is allowed, as :func:`softmax`."""
    axis, kept = p["axis"], allowed > 0
    kept, x = torch.broadcast_tensors(kept, x)
    largest = torch.where(kept, x, -(2.0**31)).amax(dim=axis, keepdim=True)
    mantissa, whole = power_of_two(p, requantised(torch.where(kept, x - largest, 0).double(), p["multiplier"], p["shift"]))
    numerator = torch.where(kept, shifted(mantissa, (-whole).clamp(max=MOST_RIGHT)), 0)
    total = numerator.sum(dim=axis, keepdim=True)
    reciprocal = (2.0**RECIPROCAL_BITS / total.clamp(min=1)).floor_()
    weights = (numerator * reciprocal * 2.0 ** -p["result_shift"]).add_(0.5).floor_()
    return torch.where(total > 0, weights, float(p["empty"]))


def inside(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """Whether x lies between two bounds, as ``one`` or 0."""
    return ((x >= p["low"]) & (x <= p["high"])).double() * p["one"]


def argmax(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """Where the first maximum over an axis is, in units of ``one``."""
    is_largest = x == x.amax(dim=p["axis"], keepdim=True)
    return is_largest.to(torch.int8).argmax(dim=p["axis"], keepdim=True).double() * p["one"]


def cumulative_sum(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """Sums of what came so far along an axis."""
    return clear_shift(x.double().cumsum(dim=p["axis"]), torch.tensor(p["shift"], device=x.device))


def root(values: Table, v: Tensor) -> tuple[Tensor, Tensor]:
    """Table value at v / 4**j, between 1 and 4, and j (int64); ``v`` positive."""
    even = highest_bit(v) >> 1
    return values.at(normalised_mantissa(v, 2 * even, TWO_OCTAVES_BITS), FRACTION_BITS), even


def block(x: Tensor, axes: tuple[int, ...], at_least: int) -> tuple[Tensor, Tensor]:
    """Rows shifted so that their largest element (or ``at_least``) has BLOCK_BITS bits, and the shift of each row (int64)."""
    right = highest_bit(x.abs().amax(dim=axes, keepdim=True).clamp_(min=at_least)) + 1 - BLOCK_BITS
    return shifted(x, right), right


def normalised(p: Parameters, c: Tensor, axes: tuple[int, ...], mean_of: int) -> Tensor:
    """c / sqrt(mean(c^2) + eps) with ``fraction_bits`` behind the point."""
    squares, right = block(c, axes, isqrt(p["epsilon"]))
    total = squares.mul_(squares).sum(dim=axes, keepdim=True)
    variance = divided(total, mean_of) + shifted(torch.full_like(total, p["epsilon"]), 2 * right)
    mantissa, even = root(p["mantissa"], variance.clamp(min=1))
    result = clear_shift(c * mantissa, even + right + (FRACTION_BITS - p["fraction_bits"]))
    return torch.where(variance > 0, result, 0)


def _affine(p: Parameters, y: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
    """weight y + bias in integers; arrays are brought to ``shape`` where one is given."""
    multiplier, shift, bias = (
        a.reshape(shape) if shape and isinstance(a, Tensor) else a for a in (p["weight"], p["weight_shift"], p["bias"])
    )
    return requantised(y, multiplier, shift).add_(bias)


def _trailing(p: Parameters) -> tuple[int, ...]:
    return tuple(range(-p["normalized_axes"], 0))


def layer_norm(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """(x - mean) / sqrt(var + eps), then weight and bias."""
    axes, x = _trailing(p), x.double()
    size = _size(x, axes)
    centred = x - divided(x.sum(dim=axes, keepdim=True), size)
    return _affine(p, normalised(p, centred, axes, size))


def rms_norm(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + eps), then weight and bias."""
    axes, x = _trailing(p), x.double()
    return _affine(p, normalised(p, x, axes, _size(x, axes)))


def group_norm(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """Channels in groups, each standardised, then weight and bias per channel."""
    grouped = x.double().reshape(len(x), p["groups"], -1)
    size = grouped.shape[2]
    centred = grouped - divided(grouped.sum(dim=2, keepdim=True), size)
    return _affine(p, normalised(p, centred, (2,), size).reshape(x.shape), (-1, *[1] * (x.ndim - 2)))


def _size(x: Tensor, axes: tuple[int, ...]) -> int:
    size = 1
    for axis in axes:
        size *= x.shape[axis]
    return size


def l2_norm(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """sqrt(sum x^2) over an axis, kept as size 1."""
    rows, right = block(x.double(), (p["axis"],), 1)
    squares = rows.mul_(rows).sum(dim=p["axis"], keepdim=True)
    mantissa, even = root(p["mantissa"], squares.clamp(min=1))
    return torch.where(squares > 0, clear_shift(mantissa, p["result_shift"] - even - right), 0)


def maximum(p: Parameters, bits: int, x: Tensor, y: Tensor) -> Tensor:
    """max(x, y), each brought to the exponent of the result; minus infinity stays what it is."""
    masked = minus_infinity(bits)
    return torch.maximum(*(
        torch.where(operand == masked, masked, shifted(operand.double(), max(p[key], -MOST_LEFT)))
        for operand, key in ((x, "x_shift"), (y, "y_shift"))
    ))  # fmt: skip


def leaky_relu(p: Parameters, bits: int, x: Tensor) -> Tensor:
    """x where it is positive, a multiple of it elsewhere."""
    return torch.where(x > 0, x.double(), requantised(x.double(), p["multiplier"], p["shift"]))


#: the value of every function, not yet saturated, from parameters, width of the operands, and operands (b, ...); axes of
#: parameters are counted from the back
INTEGER: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(
        ("gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "hard_swish", "hard_sigmoid", "erf", "softplus"), interpolate
    ),
    **dict.fromkeys(("sqrt", "rsqrt", "reciprocal", "power"), power),
    "relu": lambda p, bits, x: x.clamp(min=0),
    "abs": lambda p, bits, x: x.abs(),
    "clamp": lambda p, bits, x: x.clamp(p["low"], p["high"]),
    "leaky_relu": leaky_relu,
    "exp": exponential,
    "log": logarithm,
    "sin": sine,
    "softmax": softmax,
    "masked_softmax": masked_softmax,
    "inside": inside,
    "argmax": argmax,
    "cumulative_sum": cumulative_sum,
    "divide": divide,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "l2_norm": l2_norm,
    "max": lambda p, bits, x: x.amax(dim=p["axis"], keepdim=True),
    "maximum": maximum,
}
