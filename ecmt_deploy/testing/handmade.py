"""Programs made by hand, and the samples that they take."""

from __future__ import annotations

from typing import Any, NamedTuple

import nir
import numpy as np

from ecmt_deploy.program import Program, Provenance, ops, verify

PROVENANCE = Provenance(tool_version="test")


class Case(NamedTuple):
    """A program, samples (N, *input_shape) and a number of steps."""

    program: Program
    inputs: np.ndarray
    timesteps: int


def program(nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]]) -> Program:
    """The verified program of these nodes and edges, without an origin."""
    return verify(nodes, edges, PROVENANCE)


def neuron(
    shape: tuple[int, ...] = (), base: float = 0.1, rule: str = "nearest", levels: int = 6, ratio: float = 1.1
) -> ops.MultiThreshold:
    """A neuron whose positive bases are ``base``, and whose negative ones are ``ratio`` times that."""
    return ops.MultiThreshold(np.full(shape, base), np.full(shape, base * ratio), levels, rule, 0.74)


def cell(shape: tuple[int, ...] = (), rule: str = "nearest") -> ops.MultiThreshold:
    """A neuron whose bases are no round numbers: sums of products of those lie exactly on thresholds, where the order of a sum
    decides, as it does not with bases from data."""
    return neuron(shape, float(np.sqrt(0.0103)), rule, ratio=float(np.sqrt(1.21 + 1 / 97)))


def graded(shape: tuple[int, ...] = ()) -> ops.Graded:
    """A graded neuron, its base no round number for the same reason."""
    return ops.Graded(np.full(shape, float(np.sqrt(0.0103))), 6)


def every_node(coding: str, seed: int = 0) -> Program:
    """A program with every type of node, small enough to follow by hand: image (2, 4, 4) to 3 classes."""
    r = np.random.default_rng(seed)
    differential = coding == "differential"
    initial: dict[str, Any] = {}
    if differential:
        initial = {"left_initial": r.normal(size=(2, 1, 2)), "right_initial": r.normal(size=(2, 2, 9))}
    expecting = cell((2,))
    expecting.lowest_level, expecting.initial_membrane = np.array([1, 0], np.int8), np.array([-0.2, 0.3])
    zoned = graded((4, 1))
    zoned.least, zoned.initial_membrane = np.array([[1], [3], [2], [32]], np.int16), np.linspace(-0.3, 0.3, 9)
    conv2d = nir.Conv2d((4, 4), r.normal(size=(4, 2, 2, 2)), (2, 2), (1, 1), (1, 1), 1, np.zeros(4))
    grouped = nir.Conv2d((3, 3), r.normal(size=(4, 2, 3, 3)), (1, 1), (1, 1), (1, 1), 2, np.zeros(4))
    conv1d = nir.Conv1d(9, r.normal(size=(4, 4, 2)), 2, 1, 1, 1, np.zeros(4))
    listed = np.random.default_rng((seed, 1)).normal(size=(4, 2, 2))
    schedule = "first" if differential else "every"
    mask = np.where(np.eye(9, dtype=bool), -np.inf, 0.0)[None].repeat(2, axis=0)
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input(input_type={"input": np.array([2, 4, 4])}),
        "encode": conv2d,
        "bias": ops.Constant(r.normal(size=(4, 3, 3)), schedule),
        "add": ops.Add(("start", "bias")),
        "spread.neuron": cell((4, 1, 1)),
        "spread": grouped,
        "tokens": ops.Reshape(np.array([4, 9])),
        "line.neuron": zoned,
        "line": conv1d,
        "line.pad": ops.Pad(np.array([[0, 0], [1, 3]])),
        "both": ops.Add(("tokens", "line.pad")),
        "fold.neuron": graded((4, 1)),
        "fold": ops.ListedConvolution(listed, np.array([range(9), [3, -1, 0, 8, -1, 2, 2, 7, 6]]).T.copy(), np.array([9]), 2),
        "turn": ops.Permute(np.array([1, 0])),
        "norm": ops.ECM(("turn",), "layer_norm", coding, {
            "eps": np.asarray(1e-6), "normalized_axes": np.asarray(1), "weight": r.normal(size=4), "bias": r.normal(size=4)}),
        "qk.neuron": cell((4,), rule="paper"),
        "qk": ops.LastAxisLinear(r.normal(size=(4, 4))),
        "heads": ops.Reshape(np.array([9, 2, 2])),
        "q": ops.Permute(np.array([1, 0, 2])),
        "k": ops.Permute(np.array([1, 2, 0])),
        "q.scale": ops.BroadcastScale(np.array(0.7)),
        "q.neuron": cell(),
        "k.neuron": cell(),
        "scores": ops.ECMProduct(("q.neuron", "k.neuron"), "matmul", coding, **initial),
        "mask": ops.Constant(mask, schedule),
        "masked": ops.Add(("scores", "mask")),
        "softmax": ops.ECM(("masked",), "softmax", coding, {"axis": np.asarray(2)}),
        "softmax.neuron": graded(),
        "values": ops.ECMProduct(("softmax.neuron", "q.neuron"), "matmul", coding),
        "gate.neuron": cell(),
        "gated": ops.ECMProduct(("gate.neuron", "gate.neuron"), "multiply", coding),
        "length": ops.ECM(("gated",), "l2_norm", coding, {"axis": np.asarray(1)}),
        "long": ops.ECM(("length",), "clamp", coding, {"low": np.asarray(0.1), "high": np.asarray(1e6)}),
        "unit": ops.ECM(("gated", "long"), "divide", coding, {}),
        "swap": ops.Take(1, np.array([3, 1, 1, 0, 8])),
        "part": ops.Slice(1, 0, 5, 2),
        "wide": ops.Expand(np.array([2, 5, 2])),
        "first": ops.Slice(1, 0, 1, 1),
        "scaled": nir.Scale(r.normal(size=(2, 5, 2))),
        "joined": ops.Concat(("scaled", "part"), 1),
        "mean": ops.Mean(np.array([0, 1]), False),
        "act": ops.ECM(("mean",), "gelu", coding, {}),
        "head.neuron": expecting,
        "head": nir.Linear(r.normal(size=(3, 2))),
        "last.neuron": graded(),
        "last": ops.CorrectedLinear(np.eye(3)[[1, 2, 0]], np.linspace(-0.5, 0.75, 9, dtype=np.float16).reshape(3, 3)),
        "readout": ops.Readout(coding),
        "output": nir.Output(output_type={"output": np.array([3])}),
    }  # fmt: skip
    edges = [
        ("input", "encode"), ("start", "add"), ("bias", "add"), ("add", "spread.neuron"), ("spread.neuron", "spread"),
        ("spread", "tokens"), ("tokens", "line.neuron"), ("line.neuron", "line"), ("line", "line.pad"), ("tokens", "both"),
        ("line.pad", "both"), ("both", "fold.neuron"),
        ("fold.neuron", "fold"), ("fold", "turn"), ("turn", "norm"), ("norm", "qk.neuron"), ("qk.neuron", "qk"),
        ("qk", "heads"), ("heads", "q"), ("heads", "k"), ("q", "q.scale"), ("q.scale", "q.neuron"), ("k", "k.neuron"),
        ("q.neuron", "scores"), ("k.neuron", "scores"), ("scores", "masked"), ("mask", "masked"), ("masked", "softmax"),
        ("softmax", "softmax.neuron"), ("softmax.neuron", "values"), ("q.neuron", "values"), ("values", "gate.neuron"),
        ("gate.neuron", "gated"), ("gated", "length"), ("length", "long"), ("gated", "unit"), ("long", "unit"),
        ("unit", "swap"), ("unit", "first"), ("first", "wide"), ("wide", "scaled"), ("swap", "part"), ("scaled", "joined"),
        ("part", "joined"), ("joined", "mean"), ("mean", "act"), ("act", "head.neuron"), ("head.neuron", "head"),
        ("head", "last.neuron"), ("last.neuron", "last"), ("last", "readout"), ("readout", "output"),
    ]  # fmt: skip
    if coding == "rate":
        nodes["start"] = ops.Hold()
        edges.append(("encode", "start"))
    else:  # no Hold: what entered once has entered
        nodes["start"] = ops.Reshape(np.array([4, 3, 3]))
        edges.append(("encode", "start"))
    return program(nodes, edges)


def images(count: int, seed: int = 0) -> np.ndarray:
    """Normal random samples (count, 2, 4, 4), float32, as :func:`every_node` and the transformer take them."""
    return np.random.default_rng(seed).normal(size=(count, 2, 4, 4)).astype(np.float32)
