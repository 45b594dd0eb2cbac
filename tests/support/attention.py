"""Scores of attention, small enough to place by hand."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np

from ecmt_deploy.program import Program, ops
from ecmt_deploy.testing.handmade import neuron, program


def attention(heads: int = 2, tokens: int = 4, inner: int = 3, softmax: bool = True) -> Program:
    """Q K^T of two layers' spikes, and a softmax over keys."""
    width = heads * inner
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(input_type={"input": np.array([tokens, width])})}
    edges, layer = [], ops.LastAxisLinear(np.ones((width, width)))
    for letter, axes in (("q", [1, 0, 2]), ("k", [1, 2, 0])):
        nodes |= {letter: layer, f"{letter}.heads": ops.Reshape(np.array([tokens, heads, inner])),
                  f"{letter}.turn": ops.Permute(np.array(axes)), f"{letter}.neuron": neuron()}  # fmt: skip
        names = ["input", letter, f"{letter}.heads", f"{letter}.turn", f"{letter}.neuron", "scores"]
        edges += list(pairwise(names))
    nodes["scores"] = ops.ECMProduct(("q.neuron", "k.neuron"), "matmul", "rate")
    end = "scores"
    if softmax:
        nodes["softmax"], end = ops.ECM(("scores",), "softmax", "rate", {"axis": np.asarray(2)}), "softmax"
        edges.append(("scores", "softmax"))
    nodes |= {"readout": ops.Readout("rate"), "output": nir.Output(output_type={"output": np.array([heads, tokens, tokens])})}
    return program(nodes, [*edges, (end, "readout"), ("readout", "output")])
