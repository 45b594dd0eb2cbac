"""Where each neuron's smallest level goes, for a price per synaptic event.

A dead zone of D at an element with sensitivity S lets pass an error that grows as S D^2, and each halving of D costs about
one more spike for every few bits, that is f synaptic events, f being how many weights one spike reaches. Where the sum of
error and priced events is least, S D^2 is the same multiple of f everywhere, the smallest level at D = sqrt(price f / S):
reverse water-filling, as in rate-distortion theory. One number, the price, so trades the accuracy of the whole program
against its events, and elements on which nothing depends (S = 0: the patch tokens after the last attention of a class-token
model) fall silent.

The levels of a neuron are its channel's base times powers of two, so that weights can absorb the base; the dead zone of an
element is its lowest level.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecmt_deploy.conversion.calibration.tools.survey import Survey
from ecmt_deploy.program import ops


def silent_price(surveys: Mapping[str, Survey], fan_outs: Mapping[str, float]) -> float:
    """A price that no event is worth: every dead zone is four times as wide as anything that was seen reaches."""
    wide = [(16 * seen.reach.astype(float) ** 2 * seen.sensitivity).max() / fan_outs[name] for name, seen in surveys.items()]
    return float(max(wide))


def dead_zones(seen: Survey, fan_out: float, price: float) -> np.ndarray:
    """Width D of the dead zone of every element, infinite where nothing depends on it.

    Parameters
    ----------
    seen : what reaches the neuron
    fan_out : synaptic events per spike
    price : relative squared error of the readout that one synaptic event is worth
    """
    with np.errstate(divide="ignore"):
        zones: np.ndarray = np.sqrt(price * fan_out / seen.sensitivity.astype(float))
    return zones


def by_channel(array: np.ndarray, channel_axis: int | None, reduce: np.ufunc) -> np.ndarray:
    """An array reduced along all axes but that of its channels, kept as size 1."""
    others = tuple(axis for axis in range(array.ndim) if axis != channel_axis)
    reduced: np.ndarray = reduce.reduce(array, axis=others, keepdims=True)
    return reduced


#: a channel that varies by no more of what the widest does is always the same, but for rounding
SAME = 1e-6


def reaches(seen: Survey, channel_axis: int | None) -> np.ndarray:
    """The largest distance from what is expected in every channel; one that is always the same counts as the widest."""
    reach = by_channel(seen.reach, channel_axis, np.maximum)
    return np.where(reach > SAME * reach.max(), reach, float(reach.max()) or 1.0)


def level_neuron(
    seen: Survey, fan_out: float, price: float, channel_axis: int | None, limit: int, fraction: float, initial: np.ndarray
) -> ops.MultiThreshold:
    """A multi-threshold neuron for a price: bases per channel, the lowest level per element.

    Parameters
    ----------
    seen, fan_out, price : as of :func:`dead_zones`
    channel_axis : axis of the operand along which bases may differ, or ``None`` for one base
    limit : most levels it may have
    fraction : c of rule ``nearest``
    initial : its initial membrane, in the dtype of the program
    """
    zone, reach = dead_zones(seen, fan_out, price), reaches(seen, channel_axis)
    base = by_channel(zone, channel_axis, np.minimum)
    base = np.where(np.isfinite(base), base, reach)  # nothing depends on the channel: it is silent, whatever its base
    base = np.maximum(base, reach / 2.0 ** (limit - 1)).astype(initial.dtype)
    levels = int(np.clip(np.ceil(np.log2((reach / base).max())) + 1, 1, limit))
    with np.errstate(divide="ignore"):
        lowest = np.clip(np.rint(np.log2(np.maximum(zone / base, 1.0))), 0, levels)
    return ops.MultiThreshold(base, base.copy(), levels, "nearest", fraction, lowest.astype(np.int8), initial)


#: what a payload of one is worth in dead zones: about the smallest error for the fewest bits
COARSE = 1.0
#: payloads of fewer bits send a value in parts, one a step; longer ones lose more to what layers behind make of the first part
PARTED_BELOW = 6
#: payloads reach this much further than what was seen: what is clipped is lost where there is but one step
HEADROOM = 2.0
#: significant bits of a base: few enough for sums of payloads times bases to be exact
BASE_BITS = 8


def graded_neuron(
    seen: Survey, fan_out: float, price: float, channel_axis: int | None, most_bits: int, steps: int, initial: np.ndarray
) -> ops.Graded:
    """A graded neuron for a price: bases per channel, the smallest payload per element.

    Rounding to a base b adds S b^2 / 12 at every element that fires, so that a channel's base is relative to the dead zone that
    its mean sensitivity has: finer ones cost payload bits and hardly an error less.

    Parameters
    ----------
    seen, fan_out, price : as of :func:`dead_zones`
    channel_axis, initial : as of :func:`level_neuron`
    most_bits : most bits of a payload
    steps : steps T of an inference
    """
    zone, reach = dead_zones(seen, fan_out, price), reaches(seen, channel_axis)
    with np.errstate(divide="ignore"):
        typical = 1 / np.sqrt(by_channel(1 / np.square(zone), channel_axis, np.add) / (zone.size / reach.size))
    furthest, parts = HEADROOM * reach, steps if most_bits < PARTED_BELOW else 1
    base = np.clip(COARSE * typical, furthest / (parts * (2.0 ** (most_bits - 1) - 1)), reach)
    mantissa, exponent = np.frexp(base)
    base = np.ldexp(np.ceil(np.ldexp(mantissa, BASE_BITS)), exponent - BASE_BITS)
    bits = int(np.clip(np.ceil(np.log2(np.rint((furthest / base).max()) + 1)) + 1, 2, most_bits))
    least = np.clip(np.rint(zone / base + 0.5), 1, 2 ** (bits - 1))
    return ops.Graded(base.astype(initial.dtype), bits, least.astype(np.int16 if bits < 16 else np.int32), initial)
