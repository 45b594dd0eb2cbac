"""The bases of preset ``paper``, as published.

Source: *Towards High-performance Spiking Transformers from ANN to SNN Conversion* (Huang et al., ACM MM 2024): the smallest
level at the 99th percentile of the operand (the 1st for the negative side), averaged over the calibration batches; fixed
bases for softmax outputs, and for the second layer of an MLP with GELU.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from torch import Tensor

from ecmt_deploy.calibrate.neurons import finite, largest_or_one, producer, with_nodes
from ecmt_deploy.calibrate.percentiles import Tails
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.lower import Lowered

PERCENTILE = 99.0
#: (positive, negative) base by the function whose output the neuron takes
FIXED_BASES = {"softmax": (0.0125, 0.0125), "gelu": (0.25, 0.08), "gelu_tanh": (0.25, 0.08)}


def published(lowered: Lowered, batches: list[Tensor], config: ConvertConfig, progress: Callable[[str, int], None]) -> Program:
    """``lowered`` with the bases of the paper; see :func:`ecmt_deploy.calibrate.calibrate`.

    A batch that does not fit into the engine's memory budget is computed in parts; its percentiles are those of the whole.

    Raises
    ------
    ConversionError
        if NaN or infinity reaches a neuron.
    """
    program, recipe = lowered.program, config.recipe
    fixed = {name: FIXED_BASES[kind] for name in program.neurons if (kind := _function(program, name)) in FIXED_BASES}
    measured = [name for name in program.neurons if name not in fixed]
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in measured}
    largest = dict.fromkeys(measured, 0.0)
    engine, samples = SpikingModel(program), 0
    for batch in batches:
        tails = {name: Tails(len(batch) * prod(program.shapes[name]), PERCENTILE) for name in measured}

        def observe(name: str, x: Tensor, tails: dict[str, Tails] = tails) -> None:
            if name in tails:
                tails[name].see(x)
                largest[name] = max(largest[name], finite(name, float(x.abs().max())))

        for part in batch.split(engine.plan(len(batch), 1)[0]):
            engine.analog(part, observe)
        for name, values in tails.items():
            seen[name].append(values.percentiles())
        samples += len(batch)
        progress("calibrate", samples)
    bases = fixed | {name: _percentiles(name, seen[name], largest[name]) for name in measured}
    dtype = program.dtype
    return with_nodes(program, {
        name: n.MultiThreshold(*(np.asarray(b, dtype) for b in both), config.level_limit, recipe.rule, recipe.fraction)
        for name, both in bases.items()
    })  # fmt: skip


def _function(program: Program, name: str) -> str:
    """The function whose output reaches a neuron through wiring alone, or nothing."""
    node = program.nodes[producer(program, name)]
    return str(node.function) if isinstance(node, n.ECM) else ""


def _percentiles(name: str, batches: list[tuple[float, float]], largest: float) -> tuple[float, float]:
    """Bases from (low, high) of every batch, and the largest magnitude of all.

    A side that the data never uses takes the other side's base: its neurons may still have to correct an overshoot.
    """
    low, high = np.mean(batches, axis=0)
    p, m = max(float(high), 0.0), max(-float(low), 0.0)
    fallback = max(p, m) or largest_or_one(name, largest)
    return p or fallback, m or fallback
