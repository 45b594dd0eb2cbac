"""A program that takes tokens, a mask and values, made by hand, and its samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import nir
import numpy as np

from ecmt_deploy.kernels import kernels, present
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.inputs import Inputs, NamedInput
from ecmt_deploy.quantization import quantize
from ecmt_deploy.testing.handmade import cell, graded, program

WORDS, LENGTH, WIDTH = 11, 5, 4
INPUTS = Inputs(
    (
        NamedInput("input_ids", (LENGTH,), "tokens", WORDS),
        NamedInput("attention_mask", (LENGTH,), "mask"),
        NamedInput("traits", (3,)),
    )
)


def named_inputs(coding: str, seed: int = 0) -> Program:
    """Rows of a table and values, normalised, through a layer; what the mask leaves of it, averaged: 2 classes.

    The mask is exact: it takes no neuron, and what is computed of it alone is computed once.
    """
    r = np.random.default_rng(seed)
    rate = coding == "rate"
    nodes: dict[str, nir.NIRNode] = {
        **{i.name: ops.Input({"input": np.array(i.shape)}, holds=i.holds, limit=i.limit) for i in INPUTS},
        "words": ops.Embedding(r.normal(size=(WORDS, WIDTH))),
        "turned": ops.Take(0, np.array([4, 3, 2, 1, 0])),
        "positions": ops.Embedding(r.normal(size=(WORDS, WIDTH))),
        "encode": ops.LastAxisLinear(r.normal(size=(WIDTH, 3))),
        "wide": ops.Expand(np.array([LENGTH, WIDTH])),
        "sum": ops.Add(("words", "positions", "wide")),
        "norm": ops.ECM(("held",), "layer_norm", coding, {"eps": np.asarray(1e-6), "normalized_axes": np.asarray(1)}),
        "norm.neuron": graded((WIDTH,)),
        "layer": ops.LastAxisLinear(r.normal(size=(WIDTH, WIDTH))),
        "layer.neuron": cell(),
        "column": ops.Reshape(np.array([LENGTH, 1])),
        "masked": ops.ECMProduct(("layer.neuron", "mask.held"), "multiply", coding),
        "mean": ops.Mean(np.array([0]), False),
        "share": ops.Mean(np.array([0]), True),
        "some": ops.ECM(("share",), "clamp", "differential", {"low": np.asarray(0.1), "high": np.asarray(1.0)}),
        "over": ops.ECM(("some",), "reciprocal", "differential", {}),
        "mean.neuron": cell(),
        "scaled": ops.ECMProduct(("over.held", "mean.neuron"), "multiply", coding),
        "scaled.neuron": cell(),
        "head": ops.LastAxisLinear(r.normal(size=(2, WIDTH))),
        "readout": ops.Readout(coding),
        "output": nir.Output(output_type={"output": np.array([2])}),
    }
    edges = [
        ("input_ids", "words"), ("input_ids", "turned"), ("turned", "positions"), ("traits", "encode"), ("encode", "wide"),
        ("words", "sum"), ("positions", "sum"), ("wide", "sum"), ("sum", "held"), ("held", "norm"), ("norm", "norm.neuron"),
        ("norm.neuron", "layer"), ("layer", "layer.neuron"), ("attention_mask", "column"), ("column", "mask.held"),
        ("layer.neuron", "masked"), ("mask.held", "masked"), ("masked", "mean"), ("attention_mask", "share"),
        ("share", "some"), ("some", "over"), ("over", "over.held"), ("mean", "mean.neuron"), ("over.held", "scaled"),
        ("mean.neuron", "scaled"), ("scaled", "scaled.neuron"), ("scaled.neuron", "head"), ("head", "readout"),
        ("readout", "output"),
    ]  # fmt: skip
    for name, shape in (("held", (LENGTH, WIDTH)), ("mask.held", (LENGTH, 1)), ("over.held", (1,))):
        nodes[name] = ops.Hold() if rate else ops.Reshape(np.array(shape))
    return program(nodes, edges)


def integer_named_inputs(coding: str, seed: int = 0) -> Program:
    """The integer program of :func:`named_inputs` for the default chip; ranges of its streams are those of samples."""
    made, x, ranges = named_inputs(coding, seed), samples(16, seed), dict[str, float]()
    with np.errstate(all="ignore"):
        for sample in x:
            running: dict[str, Any] = dict(kernels(made, np.dtype(np.float64), identity_neurons=True))
            present(made, running, sample)
            streams: dict[str, Any] = {}
            for name, one in running.items():
                streams[name] = one.step(1, *(streams[source] for source in made.operands[name]))
                ranges[name] = max(ranges.get(name, 0.0), float(np.abs(streams[name].value).max()))
    measured = replace(made, provenance=msgspec.structs.replace(made.provenance, ranges=ranges))
    return quantize(measured, None, 4)


def samples(count: int, seed: int = 0) -> np.ndarray:
    """Packed samples (count, 13) of :func:`named_inputs`, float32, each with one token at least."""
    r = np.random.default_rng(seed)
    mask = r.integers(0, 2, size=(count, LENGTH))
    mask[:, 0] = 1
    ids, traits = r.integers(0, WORDS, size=(count, LENGTH)), r.normal(size=(count, 3))
    return INPUTS.pack({"input_ids": ids, "attention_mask": mask, "traits": traits.astype(np.float32)})
