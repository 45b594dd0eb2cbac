"""Masks of changed elements, and the counts that follow from them and from spikes (``docs/format.md``, *Counts*)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tests.support.recount.floats import Floats, taps, wire
from tests.support.recount.integers import Integers
from tests.support.recount.reading import LINEAR, NEURONS, WEIGHTS, WIRING, File, Node

Array = np.ndarray
#: under which kind what is no function is counted in ``ecm_ops``
KINDS = {
    "Add": "add", "Scale": "scale", "BroadcastScale": "scale", "Mean": "mean", "Hold": "hold", "Readout": "readout",
    "ECMProduct": "product_readout",
}  # fmt: skip


def recount(file: File, x: Array, timesteps: int) -> list[dict[str, Counter[str]]]:
    """Run samples, and count.

    Parameters
    ----------
    x : (samples, *input shape), in floating point; integer programs quantise them

    Returns
    -------
    At every step t = 1..T the counts of every node, over all samples. Those of functions are under ``ecm_ops.KIND``.
    """
    steps = [{name: Counter() for name in file.nodes} for _ in range(timesteps)]
    for sample in x:
        engine = Integers(file) if any(node.format for node in file.nodes.values()) else Floats()
        for t in range(1, timesteps + 1):
            _step(file, engine, sample, t, steps[t - 1])
    return steps


def _step(file: File, engine: Any, sample: Array, t: int, counts: dict[str, Counter[str]]) -> None:
    values: dict[str, Array] = {}
    masks: dict[str, Array] = {}
    for name, node in file.nodes.items():
        xs, changed = [values[s] for s in node.reads], [masks[s] for s in node.reads]
        engine.clipped = 0
        if node.type == "Input":
            part = _part(file, name, sample)
            y = engine.sample(node, part) if t == 1 else np.zeros(part.shape, np.int64 if node.format else np.float64)
        else:
            y = engine.emit(name, node, t, xs)
        mask = _mask(node, t, y, changed, xs)
        if t == 1 and name not in file.spiking:  # of analog streams everything is news then
            mask = np.ones(y.shape, bool)
        if node.format and node.type in ("ECM", "ECMProduct"):  # what an output could not carry follows, and is an event
            mask = mask | row(y != 0)
        values[name], masks[name] = y, mask
        found = counts[name]
        found.update(_counted(file, name, t, xs, changed, y, mask))
        found["saturations"] += engine.clipped


def _part(file: File, name: str, sample: Array) -> Array:
    """What a sample has of an input: several stand one after another, in the order of their names."""
    inputs = sorted(other for other, node in file.nodes.items() if node.type == "Input")
    if len(inputs) == 1:
        return sample
    shapes = {other: tuple(file.nodes[other].fields["shape"].tolist()) for other in inputs}
    start = sum(int(np.prod(shapes[other])) for other in inputs[: inputs.index(name)])
    return sample[start : start + int(np.prod(shapes[name]))].reshape(shapes[name])


def row(mask: Array) -> Array:
    """Whole rows in which an element is."""
    return np.broadcast_to(mask.any(axis=-1, keepdims=True), mask.shape) if mask.ndim else mask


def coupled(node: Node, ndim: int) -> tuple[int, ...]:
    """Axes that an evaluation of a function takes together: those it couples, and the row."""
    axes, p = {ndim - 1} if ndim else set(), node.fields["parameters"]
    if node.fields["function"] in ("softmax", "l2_norm", "max"):
        axes.add(int(p["axis"]) % ndim)
    if node.fields["function"] == "group_norm":
        axes |= set(range(ndim))
    if "normalized_axes" in p:
        axes |= set(range(ndim - int(p["normalized_axes"]), ndim))
    return tuple(sorted(axes))


def evaluated(node: Node, changed: list[Array]) -> Array:
    """Elements at which a function is evaluated."""
    mask = np.logical_or.reduce(np.broadcast_arrays(*changed))
    if node.fields["coding"] == "rate":
        return np.ones(mask.shape, bool)
    return np.broadcast_to(mask.any(axis=coupled(node, mask.ndim), keepdims=True), mask.shape)


def _mask(node: Node, t: int, y: Array, changed: list[Array], xs: list[Array]) -> Array:
    """Changed elements of a stream."""
    if node.type in ("Input", "Embedding"):
        return np.full(y.shape, t == 1)
    if node.type == "Constant":
        return np.full(y.shape, t == 1 or node.fields["schedule"] == "every")
    if node.type in NEURONS:
        return y != 0
    if node.type in WIRING:
        return wire(node, changed)
    if node.type == "Hold" or (node.type in ("ECM", "ECMProduct", "Readout") and node.fields["coding"] == "rate"):
        return np.ones(y.shape, bool)
    if node.type in ("Add", "Scale", "BroadcastScale"):
        return np.logical_or.reduce([np.broadcast_to(mask, y.shape) for mask in changed])
    if node.type in LINEAR:
        return np.broadcast_to(changed[0].any(axis=-1, keepdims=True), y.shape)
    if node.type in WEIGHTS:
        groups = int(node.fields["groups"])
        fed = [part.any(axis=(0, -1)) for part in np.split(taps(node, changed[0]), groups)]
        return np.repeat(np.stack(fed), y.shape[0] // groups, axis=0)
    if node.type == "Mean":
        return row(changed[0].any(axis=tuple(int(a) for a in node.fields["axes"]), keepdims=bool(node.fields["keepdims"])))
    if node.type == "ECM":
        reached = evaluated(node, changed)
        reduced = tuple(axis for axis in range(y.ndim) if y.shape[axis] != reached.shape[axis])
        return row(reached.any(axis=reduced, keepdims=True))
    if node.type == "ECMProduct":
        if node.fields["product"] == "multiply":
            return row(np.broadcast_to(changed[0] | changed[1], y.shape))
        # an event reaches its row of the left operand, its column of the right one: of the result, every row
        reached = changed[0].any(axis=-1, keepdims=True) | changed[1].any(axis=-2, keepdims=True)
        return row(np.broadcast_to(reached, y.shape))
    assert node.type in ("Readout", "Output"), f"the recount does not know {node.type}"
    return row(changed[0])


def _taps_met(node: Node, mask: Array) -> int:
    """Weights that elements of an operand meet: of a linear map all of their column, of a convolution its true taps."""
    outputs = node.fields["weight"].shape[0]
    if node.type in LINEAR:
        return int(mask.sum()) * outputs
    return int(taps(node, mask).sum()) * (outputs // int(node.fields["groups"]))


def _counted(file: File, name: str, t: int, xs: list[Array], changed: list[Array], y: Array, mask: Array) -> Counter[str]:
    node, found = file.nodes[name], Counter[str]()
    spiking = [source in file.spiking for source in node.reads]
    if node.type in NEURONS:
        fired = y != 0
        active = int((row(changed[0]) | fired).sum())
        found.update(spikes=int(fired.sum()), messages=int(fired.sum()))
        found.update(neuron_updates_active=active, neuron_updates_idle=y.size - active)
    elif node.type not in (*WIRING, "Output"):
        found["analog_messages"] = int(mask.sum())
    if node.type in WEIGHTS:
        dense = _taps_met(node, np.ones(xs[0].shape, bool))
        if t == 1:
            found["dense_macs"] = file.network_macs.get(name, dense)
        if spiking[0]:
            found["synops"] = _taps_met(node, xs[0] != 0)
        else:
            found["macs"] = _taps_met(node, changed[0]) if name in file.encoding else dense
    if node.type == "ECMProduct":
        inner = xs[0].shape[-1] if node.fields["product"] == "matmul" else 1
        dense = y.size * inner
        if t == 1:
            found["dense_macs"] = file.network_macs.get(name, dense)
        for operand, spikes in zip(xs, spiking, strict=True):
            if spikes:
                found["synops"] += int((operand != 0).sum()) * (dense // operand.size)
        found["macs"] += dense * _products(file, node, t)
    if node.type == "ECM":
        found[f"ecm_ops.{node.fields['function']}"] = int(evaluated(node, changed).sum())
    elif node.type in KINDS:
        found[f"ecm_ops.{KINDS[node.type]}"] = _elements(node, changed, mask)
    return found


def _products(file: File, node: Node, t: int) -> int:
    """How many times all products of analog operands are formed at a step: of one that is exact at the first alone, and then
    with what the other's sum held before, or with another that is exact."""
    every = sum(source not in file.spiking | file.exact for source in node.reads)
    if t > 1:
        return every
    held = [bool(np.any(node.fields[side])) for side in ("right_initial", "left_initial")]
    exact = [source in file.exact for source in node.reads]
    return every + int(all(exact) or any(e and h for e, h in zip(exact, held, strict=True)))


def _elements(node: Node, changed: list[Array], mask: Array) -> int:
    """Elements that what is no function evaluates."""
    if node.type == "Mean":
        return int(row(changed[0]).sum())
    if node.type in ("Add", "Scale", "BroadcastScale"):  # what an event reached; a sum of n takes n - 1 additions
        return int(np.logical_or.reduce(changed).sum()) * max(len(changed) - 1, int(node.type != "Add"))
    return int(mask.sum())
