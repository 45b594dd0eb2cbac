"""Tables and constants of the integer functions, for the exponents of operand and result.

They are computed once, here, and stand in the program: whoever runs it needs no exponential function.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, e, log2
from typing import Any

import numpy as np

from ecmt_deploy.errors import ConversionError
from ecmt_deploy.kernels.fixed.functions import NUMERATOR_BITS, OCTAVE_BITS, RECIPROCAL_BITS, TWO_OCTAVES_BITS
from ecmt_deploy.kernels.functions import evaluate
from ecmt_deploy.program import fixed as f
from ecmt_deploy.program.fixed_rules import TABLES, WITHOUT_INTEGER
from ecmt_deploy.quantization.formats import multiplier_and_shift, multipliers_and_shifts, to_integers

Parameters = dict[str, Any]
#: entries of an elementwise table, less one
SEGMENTS = 1024
_MANTISSA_BITS = 15


def parameters_for(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    """The parameters of the integer function.

    Parameters
    ----------
    function, given : the function and its parameters in the float program
    operands, result : exponents of operands and result
    magnitude : range of the operand
    bits : width of state
    shape : of the operand

    Raises
    ------
    ConversionError
        if the function has no integer form.
    """
    if function not in _MAKERS:
        why = WITHOUT_INTEGER.get(function, "nobody has written it")
        raise ConversionError(f"function {function} has no integer form: {why}; run the float program, or give it one")
    made = _MAKERS[function](function, given, operands, result, magnitude, bits, shape)
    return {key: value if isinstance(value, np.ndarray) else np.asarray(value, np.int64) for key, value in made.items()}


def _octave(power: float) -> np.ndarray:
    """x**power over [1, 2], largest entry between 2**15 and 2**16; its scale is :func:`_octave_scale`."""
    x = 1 + np.arange(2**OCTAVE_BITS + 1) / 2**OCTAVE_BITS
    return np.rint(x**power * 2 ** _octave_scale(power)).astype(np.int32)


def _octave_scale(power: float) -> int:
    return _MANTISSA_BITS + 1 - ceil(max(power, 0.0))


def _two_octaves(power: float, scale: int) -> np.ndarray:
    x = 1 + np.arange(3 * 2**TWO_OCTAVES_BITS + 1) / 2**TWO_OCTAVES_BITS
    return np.rint(x**power * 2**scale).astype(np.int32)


def _exponential(scale: int) -> np.ndarray:
    return np.rint(np.exp2(np.arange(2**OCTAVE_BITS + 1) / 2**OCTAVE_BITS) * 2**scale).astype(np.int32)


def _logarithm(exponent: int) -> tuple[int, int]:
    """Multiplier and shift from integers of ``exponent`` to the binary logarithm of their exponential, 16 bits behind
    the point."""
    return multiplier_and_shift(log2(e) * 2.0 ** (exponent + 16))


def _table(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    core, left, right = TABLES[function](given)
    reach = min(core, 4 * magnitude) or core
    segment = max(0, ceil(log2(2 * reach / SEGMENTS) - operands[0]))
    start = -(SEGMENTS // 2) << segment
    knots = np.ldexp(start + (np.arange(SEGMENTS + 1) << segment), operands[0])
    exact = evaluate(function, given, knots.astype(np.float64))
    slope = 2.0 ** (operands[0] - result)
    slopes = (left, right)
    if reach < core:  # operands are not expected out there: go on as the table ends
        slopes = tuple(np.diff(exact)[[0, -1]] / np.diff(knots)[[0, -1]])
    (lm, ls), (rm, rs) = (multiplier_and_shift(float(s) * slope) for s in slopes)
    return {
        "values": to_integers(exact, result, bits), "start": start, "segment_bits": segment, "left_multiplier": lm,
        "left_shift": ls, "right_multiplier": rm, "right_shift": rs,
    }  # fmt: skip


def _softmax(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    multiplier, shift = _logarithm(operands[0])
    mantissa, after = _exponential(NUMERATOR_BITS), RECIPROCAL_BITS + result
    return {"axis": int(given["axis"]), "multiplier": multiplier, "shift": shift, "mantissa": mantissa, "result_shift": after}


def _exp(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    multiplier, shift = _logarithm(operands[0])
    return {
        "multiplier": multiplier, "shift": shift, "mantissa": _exponential(_MANTISSA_BITS + 1),
        "result_shift": _MANTISSA_BITS + 1 + result,
    }  # fmt: skip


def _norm(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    if function == "group_norm":
        size = int(np.prod(shape)) // int(given["groups"])
        kept = {"groups": int(given["groups"])}
    else:
        size = int(np.prod(shape[len(shape) - int(given["normalized_axes"]) :]))
        kept = {"normalized_axes": int(given["normalized_axes"])}
    fraction = max(bits - 2 - ceil(log2(max(size, 2)) / 2), 0)  # no element exceeds sqrt(size)
    weight = np.asarray(given.get("weight", np.ones(())), np.float64)
    multiplier, shift = multipliers_and_shifts(weight * 2.0 ** (-fraction - result))
    bias = np.asarray(given.get("bias", np.zeros(())), np.float64)
    return {
        **kept, "epsilon": min(round(float(given["eps"]) * 2.0 ** (-2 * operands[0])), 2**48),
        "mantissa": _two_octaves(-0.5, _MANTISSA_BITS + 1), "fraction_bits": fraction, "weight": multiplier,
            "weight_shift": shift,
        "bias": to_integers(bias, result, bits),
    }  # fmt: skip


def _l2_norm(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    after = _MANTISSA_BITS + result - operands[0]
    return {"axis": int(given["axis"]), "mantissa": _two_octaves(0.5, _MANTISSA_BITS), "result_shift": after}


_EXPONENTS = {"sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0}


def _power(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    power = float(given["exponent"]) if function == "power" else _EXPONENTS[function]
    whole = power == int(power)
    sign = 0 if not whole else (1 if int(power) % 2 == 0 else -1)
    scale = _octave_scale(power)
    ratios = np.exp2(np.clip(power * (np.arange(32) + operands[0]) - scale - result, -62, 31 - _MANTISSA_BITS))
    multiplier, shift = multipliers_and_shifts(ratios)
    at_zero = f.limit(bits) if power < 0 else int(to_integers(0.0 if power > 0 else 1.0, result, bits))
    return {"mantissa": _octave(power), "multiplier": multiplier, "shift": shift, "at_zero": at_zero, "sign": sign}


def _divide(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    after = _octave_scale(-1.0) + result - operands[0] + operands[1]
    return {"mantissa": _octave(-1.0), "result_shift": after}


def _clamp(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    return {key: int(to_integers(float(given[key]), result, bits)) for key in ("low", "high")}


def _leaky_relu(
    function: str, given: Parameters, operands: list[int], result: int, magnitude: float, bits: int, shape: tuple[int, ...]
) -> Parameters:
    multiplier, shift = multiplier_and_shift(float(given["slope"]))
    return {"multiplier": multiplier, "shift": shift}


_MAKERS: dict[str, Callable[..., Parameters]] = {
    **dict.fromkeys(TABLES, _table),
    **dict.fromkeys((*_EXPONENTS, "power"), _power),
    **dict.fromkeys(("layer_norm", "rms_norm", "group_norm"), _norm),
    "softmax": _softmax,
    "l2_norm": _l2_norm,
    "exp": _exp,
    "divide": _divide,
    "clamp": _clamp,
    "leaky_relu": _leaky_relu,
    **dict.fromkeys(("relu", "abs"), lambda *given: {}),
}
