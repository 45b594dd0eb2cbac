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
from math import prod

import numpy as np

from ecmt_deploy.conversion.calibration.tools.survey import Survey
from ecmt_deploy.program import Program, ops


def fan_outs(program: Program) -> dict[str, float]:
    """Synaptic events that one spike causes, on average over the elements of each neuron node (padding excluded)."""
    events = dict.fromkeys(program.nodes, 0.0)  # of an event at every element of the node's stream
    for name, sources in reversed(list(program.operands.items())):
        for source in sources:
            if program.nodes[name].role in ("synapse", "product"):
                events[source] += program.work(name).dense_macs
            elif program.nodes[name].role == "movement":
                total = sum(prod(program.shapes[s]) for s in sources)
                events[source] += events[name] * prod(program.shapes[source]) / total
    return {name: events[name] / prod(program.shapes[name]) for name in program.neurons}


def silent_price(surveys: Mapping[str, Survey], fan_outs: Mapping[str, float]) -> float:
    """A price that no event is worth: every dead zone is four times as wide as anything that was seen reaches."""
    wide = [(16 * seen.reach.astype(float) ** 2 * seen.sensitivity).max() / fan_outs[name] for name, seen in surveys.items()]
    return float(max(wide))


def allocate(
    seen: Survey, fan_out: float, price: float, channel_axis: int | None, limit: int, fraction: float, initial: np.ndarray
) -> ops.MultiThreshold:
    """A neuron for a price.

    Parameters
    ----------
    seen : what reaches it
    fan_out : synaptic events per spike
    price : relative squared error of the readout that one synaptic event is worth
    channel_axis : axis of the operand along which bases may differ, or ``None`` for one base
    limit : most levels it may have
    fraction : c of rule ``nearest``
    initial : its initial membrane, in the dtype of the program
    """
    with np.errstate(divide="ignore"):
        zone = np.sqrt(price * fan_out / seen.sensitivity.astype(float))
    others = tuple(axis for axis in range(zone.ndim) if axis != channel_axis)
    reach = seen.reach.max(axis=others, keepdims=True)
    reach = np.where(reach > 0, reach, float(reach.max()) or 1.0)  # an operand that is always the same needs no level at all
    base = zone.min(axis=others, keepdims=True)
    base = np.where(np.isfinite(base), base, reach)  # nothing depends on the channel: it is silent, whatever its base
    base = np.maximum(base, reach / 2.0 ** (limit - 1)).astype(initial.dtype)
    levels = int(np.clip(np.ceil(np.log2((reach / base).max())) + 1, 1, limit))
    with np.errstate(divide="ignore"):
        lowest = np.clip(np.rint(np.log2(np.maximum(zone / base, 1.0))), 0, levels)
    return ops.MultiThreshold(base, base.copy(), levels, "nearest", fraction, lowest.astype(np.int8), initial)
