"""The equations of float programs (``docs/format.md``): what a node emits at step t."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.support.recount.reading import LINEAR, WIRING, Node

Array = np.ndarray


def wire(node: Node, xs: list[Array]) -> Array:
    """What wiring makes of its operands, values or masks."""
    f, x = node.fields, xs[0]
    if node.type == "Reshape":
        return x.reshape([int(n) for n in f["shape"]])
    if node.type == "Expand":
        return np.broadcast_to(x, [int(n) for n in f["shape"]])
    if node.type == "Permute":
        return x.transpose([int(n) for n in f["axes"]])
    if node.type == "Slice":
        picked = [slice(None)] * x.ndim
        picked[int(f["axis"])] = slice(int(f["start"]), int(f["stop"]), int(f["step"]))
        return x[tuple(picked)]
    if node.type == "Take":
        return np.take(x, f["indices"].astype(int), axis=int(f["axis"]))
    if node.type == "Pad":
        return np.pad(x, f["widths"].astype(int))
    return np.concatenate(xs, axis=int(f["axis"]))


def taps(node: Node, x: Array) -> Array:
    """Elements of ``x`` (C, *space) under every tap of every output position: (C, *positions, taps), zero in the padding."""
    axes = x.ndim - 1
    if node.type == "ListedConvolution":
        places, shape = node.fields["windows"], node.fields["shape"].tolist()
        taken = x.reshape(len(x), -1)[:, places] * (places >= 0)
        return taken.reshape(len(x), *shape, -1)
    stride, padding, dilation = (np.broadcast_to(node.fields[k], axes).astype(int) for k in ("stride", "padding", "dilation"))
    for axis in range(axes):
        size, kernel = x.shape[1 + axis], node.fields["weight"].shape[2 + axis]
        out = (size + 2 * padding[axis] - dilation[axis] * (kernel - 1) - 1) // stride[axis] + 1
        at = np.arange(out)[:, None] * stride[axis] - padding[axis] + np.arange(kernel) * dilation[axis]
        inside = (at >= 0) & (at < size)
        taken = np.take(x, np.where(inside, at, 0), axis=1 + axis)  # the axis becomes (positions, taps)
        taken = np.where(inside.reshape([*[1] * (1 + axis), *at.shape, *[1] * (taken.ndim - 3 - axis)]), taken, 0)
        x = np.moveaxis(taken, 2 + axis, -1)
    return x.reshape(*x.shape[: 1 + axes], -1)


def weighted(node: Node, x: Array) -> Array:
    """Weights times an operand."""
    weight = node.fields["weight"]
    weight = weight.astype(np.float64 if weight.dtype.kind == "f" else np.int64)
    if node.type in LINEAR:
        return x @ weight.T
    groups = int(node.fields["groups"])
    out = []
    for kernels, windows in zip(np.split(weight, groups), np.split(taps(node, x), groups), strict=True):
        out.append(np.einsum("oct,c...t->o...", kernels.reshape(*kernels.shape[:2], -1), windows))
    return np.concatenate(out)


def normalised(x: Array, axes: tuple[int, ...], eps: float, centre: bool) -> Array:
    """Layer norm (``centre``) or RMS norm, without weight and bias."""
    c = x - x.mean(axis=axes, keepdims=True) if centre else x
    return c / np.sqrt((c * c).mean(axis=axes, keepdims=True) + eps)


def coupling(p: dict[str, Any], name: str, x: Array, *others: Array) -> Array:
    """Functions that couple the elements of an axis or of a group."""
    if name == "group_norm":
        parts = x.reshape(int(p["groups"]), -1)
        y = normalised(parts, (1,), float(p["eps"]), True).reshape(x.shape)
        each = (-1, *[1] * (x.ndim - 1))
        return y * np.reshape(p.get("weight", 1.0), each) + np.reshape(p.get("bias", 0.0), each)
    if name in ("layer_norm", "rms_norm"):
        y = normalised(x, tuple(range(-int(p["normalized_axes"]), 0)), float(p["eps"]), name == "layer_norm")
        return y * p.get("weight", 1.0) + p.get("bias", 0.0)
    axis = int(p["axis"])
    if name == "l2_norm":
        return np.sqrt((x * x).sum(axis=axis, keepdims=True))
    if name == "max":
        return np.sort(x, axis=axis).take([-1], axis=axis)
    if name == "masked_softmax":
        (mask,) = others
        x = np.where(np.broadcast_to(mask, x.shape) == 1, x, -np.inf)
        largest = x.max(axis=axis, keepdims=True)
        total = np.exp(x - largest).sum(axis=axis, keepdims=True)
        return np.where(np.isinf(largest), p["empty"], np.exp(x - largest) / total)
    e = np.exp(x - x.max(axis=axis, keepdims=True))  # softmax
    return e / e.sum(axis=axis, keepdims=True)


_erf = np.vectorize(math.erf, otypes=[np.float64])
_ELEMENTWISE: dict[str, Any] = {
    "abs": lambda p, x: np.abs(x),
    "clamp": lambda p, x: np.minimum(np.maximum(x, p["low"]), p["high"]),
    "divide": lambda p, x, y: x / y,
    "erf": lambda p, x: _erf(x),
    "exp": lambda p, x: np.exp(x),
    "gelu": lambda p, x: x * (1 + _erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda p, x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "hard_sigmoid": lambda p, x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "hard_swish": lambda p, x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "leaky_relu": lambda p, x: np.where(x > 0, x, p["slope"] * x),
    "log": lambda p, x: np.log(x),
    "maximum": lambda p, x, y: np.where(x > y, x, y),
    "power": lambda p, x: x ** p["exponent"],
    "reciprocal": lambda p, x: 1 / x,
    "relu": lambda p, x: np.maximum(x, 0),
    "rsqrt": lambda p, x: 1 / np.sqrt(x),
    "sigmoid": lambda p, x: 1 / (1 + np.exp(-x)),
    "silu": lambda p, x: x / (1 + np.exp(-x)),
    "sin": lambda p, x: np.sin(x),
    "softplus": lambda p, x: np.where(x > p["threshold"], x, np.logaddexp(0, x)),
    "sqrt": lambda p, x: np.sqrt(x),
    "tanh": lambda p, x: np.tanh(x),
}


def function(name: str, p: dict[str, Any], *xs: Array) -> Array:
    """A function at its operands."""
    with np.errstate(all="ignore"):  # exp(-x) may be infinite on the way to 0
        if name in _ELEMENTWISE:
            return np.asarray(_ELEMENTWISE[name](p, *xs))
        return coupling(p, name, *xs)


def fire(node: Node, v: Array) -> Array:
    """What a neuron of membrane ``v`` sends; that leaves the membrane."""
    f = node.fields
    if node.type == "Graded":
        p, most = f["base"].astype(np.float64), 2 ** (int(f["payload_bits"]) - 1) - 1
        n = np.clip(np.rint(v * (1 / p)), -most, most)  # rint: ties to even
        return np.where(np.abs(n) >= f["least"], n * p, 0.0)
    spikes, rule = np.zeros_like(v), f["rule"]
    for sign, base in ((-1, f["negative_base"].astype(np.float64)), (1, f["positive_base"].astype(np.float64))):
        for k in range(int(f["levels"])):  # upwards, so that the largest that fires remains
            level = base * 2.0**k
            threshold = level - base / 2 if rule == "paper" else float(f["fraction"]) * level
            spikes = np.where((sign * v >= threshold) & (k >= f["lowest_level"]), sign * level, spikes)
    return spikes


class Floats:
    """A program's nodes at work on one sample: state by node."""

    #: integers clipped at a node in the latest step: none here
    clipped = 0

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {}

    def sample(self, node: Node, x: Array) -> Array:
        """A sample as it enters."""
        return np.asarray(x, np.float64)

    def emit(self, name: str, node: Node, t: int, xs: list[Array]) -> Array:
        """y_t of any node but ``Input``."""
        state, f = self.state.setdefault(name, {}), node.fields
        if node.type in WIRING:
            return wire(node, xs)
        if node.type == "Embedding":
            rows = f["weight"].astype(np.float64)
            return rows[xs[0].astype(int)] if t == 1 else np.zeros((*xs[0].shape, rows.shape[1]))
        if node.type == "Constant":
            value = f["value"].astype(np.float64)
            return value if t == 1 or f["schedule"] == "every" else np.zeros_like(value)
        if node.type == "Output":
            return xs[0]
        if node.type == "Add":
            total = xs[0]
            for x in xs[1:]:
                total = total + x
            return total
        if node.type == "Mean":
            return xs[0].mean(axis=tuple(int(a) for a in f["axes"]), keepdims=bool(f["keepdims"]))
        if node.type in ("Scale", "BroadcastScale"):
            return xs[0] * f["scale"].astype(np.float64)
        if node.type in ("Hold", "Readout"):
            state["sum"] = state.get("sum", 0.0) + xs[0]
            return state["sum"] / t if f.get("coding") == "rate" else state["sum"]
        if "membrane" in state or node.type in ("MultiThreshold", "Graded"):
            v = state.get("membrane", f["initial_membrane"].astype(np.float64)) + xs[0]
            spikes = fire(node, v)
            state["membrane"] = v - spikes
            return spikes
        if node.type == "ECM":
            return self._compensated(node, state, t, xs)
        if node.type == "ECMProduct":
            return self._product(node, state, t, xs)
        return weighted(node, xs[0])

    def _compensated(self, node: Node, state: dict[str, Any], t: int, xs: list[Array]) -> Array:
        totals = state["sums"] = [total + x for total, x in zip(state.get("sums", [0.0] * len(xs)), xs, strict=True)]
        steps = t if node.fields["coding"] == "rate" else 1
        term = steps * function(node.fields["function"], node.fields["parameters"], *(total / steps for total in totals))
        before, state["term"] = state.get("term", 0.0), term
        return term - before

    def _product(self, node: Node, state: dict[str, Any], t: int, xs: list[Array]) -> Array:
        f = node.fields
        multiply = np.matmul if f["product"] == "matmul" else np.multiply
        a, b = state.get("left", f["left_initial"] + 0.0), state.get("right", f["right_initial"] + 0.0)
        a, b = (np.broadcast_to(s, x.shape) for s, x in zip((a, b), xs, strict=True))
        now_a, now_b = a + xs[0], b + xs[1]
        state["left"], state["right"] = now_a, now_b
        if f["coding"] == "rate":
            return multiply(now_a, now_b) / t - (multiply(a, b) / (t - 1) if t > 1 else 0.0)
        change = multiply(xs[0], now_b) + multiply(a, xs[1])
        return change + multiply(a, b) if t == 1 else change
