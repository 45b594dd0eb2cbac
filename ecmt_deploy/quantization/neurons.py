"""Neurons and synapses in integers: bases as small integers times a unit, the unit folded into the 8-bit weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.kernels.formats import requantisations, to_integers
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program import ops
from ecmt_deploy.program.ops import Op
from ecmt_deploy.program.ops.multi_threshold import FRACTION_STEPS

#: bases that differ more than this from a ratio of small integers are refused
RATIO_TOLERANCE = 0.06


def integer_neuron(
    name: str, node: ops.MultiThreshold, exponent: int, state_bits: int, payload_bits: int
) -> ops.MultiThreshold:
    """The neuron in units of its membrane.

    Where both bases are equal a payload is +-2**k; where they differ, it is a small integer per side times 2**k, the pair
    whose ratio is nearest to theirs.

    Raises
    ------
    ConfigError
        if the levels do not fit the payload.
    """
    most = limit(payload_bits) >> (int(node.levels) - 1)
    if most < 1:
        raise ConfigError(
            f"node {name}: {node.levels} levels do not fit payloads of {payload_bits} bits; convert with "
            f"--levels {payload_bits - 1}"
        )
    p, m = np.broadcast_arrays(node.positive_base.astype(np.float64), node.negative_base.astype(np.float64))
    a, b = _ratio(name, p, m, most)
    unit = np.maximum(np.rint(np.ldexp(np.sqrt((p / a) * (m / b)), -exponent)), 1).astype(np.int64)
    unit = np.minimum(unit, limit(state_bits) // np.maximum(a, b))
    return replace(
        node,
        positive_base=np.asarray(a * unit, np.int32),
        negative_base=np.asarray(b * unit, np.int32),
        levels=int(node.levels),
        fraction=min(max(round(float(node.fraction) * FRACTION_STEPS), FRACTION_STEPS // 2), FRACTION_STEPS - 1)
        / FRACTION_STEPS,
        initial_membrane=to_integers(node.initial_membrane, exponent, state_bits),
        format=ops.Payload(
            unit=np.asarray(unit, np.int32), payload_bits=payload_bits, exponent=exponent, state_bits=state_bits
        ),
    )


def integer_graded(name: str, node: ops.Graded, exponent: int, state_bits: int, payload_bits: int) -> ops.Graded:
    """The graded neuron in units of its membrane: its base is a whole number of them, at least one.

    What a spike takes from the membrane and what its consumers add is this base, so rounding it loses nothing; it moves dead
    zone and clip, by half a unit in a base.

    Raises
    ------
    ConfigError
        if its payload is wider than the chip's.
    """
    if node.payload_bits > payload_bits:
        raise ConfigError(
            f"node {name}: payloads have {node.payload_bits} bits, and {payload_bits} are allowed; convert with "
            f"--payload-bits {payload_bits}"
        )
    base = np.rint(np.ldexp(node.base.astype(np.float64), -exponent)).clip(1, limit(state_bits))
    return replace(
        node,
        base=np.asarray(base, np.int32),
        payload_bits=int(node.payload_bits),
        initial_membrane=to_integers(node.initial_membrane, exponent, state_bits),
        format=ops.NumberFormat(exponent=exponent, state_bits=state_bits),
    )


def _ratio(name: str, p: np.ndarray, m: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Integers a, b of at most ``most`` with a / b nearest to p / m."""
    if (p == m).all():
        return np.ones(p.shape, np.int64), np.ones(p.shape, np.int64)
    large = np.arange(1, min(most, 255) + 1)
    ratio = np.minimum(p, m) / np.maximum(p, m)
    small = np.maximum(np.rint(ratio[..., None] * large), 1)
    error = np.abs(small / large / ratio[..., None] - 1)
    best = error.argmin(axis=-1)
    found = np.take_along_axis(error, best[..., None], -1)[..., 0].max()
    if found > RATIO_TOLERANCE:
        raise ConfigError(
            f"node {name}: its two bases have no ratio of integers up to {most} (the nearest is {100 * found:.0f} % off); "
            "convert with fewer --levels"
        )
    chosen_small, chosen_large = np.take_along_axis(small, best[..., None], -1)[..., 0].astype(np.int64), large[best]
    return np.where(p >= m, chosen_large, chosen_small), np.where(p >= m, chosen_small, chosen_large)


def integer_synapses(
    node: Any, unit: np.ndarray, live: np.ndarray, exponents: tuple[int, int], widths: tuple[int, int], largest: float | None,
    carries: bool,
) -> Op:  # fmt: skip
    """A weight node with 8-bit weights, one scale per output.

    Parameters
    ----------
    node : linear or convolution
    unit : (in,) what a payload of one is worth on each input channel, in units of the operand's exponent
    live : (in,) whether the channel ever fires; others do not set the scale
    exponents : of the operand and of the result
    widths : weight bits and state bits
    largest : range of the result with its headroom, where the operand spikes
    carries : whether what rounding leaves is kept for the next step
    """
    (operand, result), (weight_bits, state_bits) = exponents, widths
    weight = node.weight.astype(np.float64)
    groups = int(getattr(node, "groups", 1))
    out, per_group = weight.shape[:2]
    # channel of input i of output o, in its group
    channel = (np.arange(out) // (out // groups))[:, None] * per_group + np.arange(per_group)
    shape = (out, per_group, *([1] * (weight.ndim - 2)))
    folded = np.ldexp(weight * (unit[channel] * live[channel]).reshape(shape), operand)
    rest = tuple(range(1, weight.ndim))
    scale = np.abs(folded).max(axis=rest, keepdims=True) / limit(weight_bits)
    if largest is not None:  # the sum saturates at the width of state: it must hold what the stream may
        scale = np.where(scale > 0, np.maximum(scale, largest / limit(state_bits)), 0)
    integers = np.rint(np.divide(folded, scale, out=np.zeros_like(folded), where=scale > 0))
    multiplier, shift = requantisations(np.ldexp(scale.reshape(out), -result))
    format = ops.Weighted(
        weight_bits=weight_bits, multiplier=multiplier, shift=shift, carries=carries, exponent=result, state_bits=state_bits
    )
    weights = integers.astype(np.int8 if weight_bits <= 8 else np.int16)
    if node.layer == "convolution":
        bias = {"bias": np.zeros(out, np.int8)} if "bias" in node.fields else {}
        made: Op = replace(node, weight=weights, format=format, **bias)
        return made
    return ops.LastAxisLinear(weights, format=format)


def integer_embedding(node: ops.Embedding, exponents: tuple[int, int], widths: tuple[int, int]) -> ops.Embedding:
    """A look-up with weights of few bits, one scale per column; arguments as of :func:`integer_synapses`."""
    (operand, result), (weight_bits, state_bits) = exponents, widths
    weight = node.weight.astype(np.float64)
    scale = np.abs(weight).max(axis=0) / limit(weight_bits)
    integers = np.rint(np.divide(weight, scale, out=np.zeros_like(weight), where=scale > 0))
    multiplier, shift = requantisations(np.ldexp(scale, -result))
    format = ops.LookedUp(
        weight_bits=weight_bits, multiplier=multiplier, shift=shift, exponent=result, state_bits=state_bits,
        operand_exponents=np.array([operand]),
    )  # fmt: skip
    return replace(node, weight=integers.astype(np.int8 if weight_bits <= 8 else np.int16), format=format)
