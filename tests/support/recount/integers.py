"""The equations of integer programs (``docs/fixed_point.md``): what a node emits at step t, and what it clips."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np

from tests.support.recount.floats import weighted, wire
from tests.support.recount.reading import LINEAR, NEURONS, WEIGHTS, WIRING, File, Node

Array = np.ndarray


def shift(x: Any, r: Any) -> Any:
    """floor(x / 2^r + 1/2), and x 2^-r where r is not positive."""
    x, r = np.asarray(x, np.int64), np.asarray(r, np.int64)
    right = np.maximum(r, 1)
    return np.where(r > 0, (x + (np.int64(1) << (right - 1))) >> right, x << np.maximum(-r, 0))


def div(x: Any, n: Any) -> Any:
    """x / n to the nearest integer, halves up."""
    return (2 * x + n) // (2 * n)


def top(x: Any) -> Any:
    """The highest bit of a number; -1 of zero."""
    return np.vectorize(lambda n: int(n).bit_length() - 1, otypes=[np.int64])(x)


def table(entries: Array, q: Any, bits: int) -> Any:
    """Between two entries of a table, by the last ``bits`` of ``q``."""
    i, entries = q >> bits, entries.astype(np.int64)
    return entries[i] + shift((entries[i + 1] - entries[i]) * (q & ((1 << bits) - 1)), bits)


def root(mantissa: Array, v: Array) -> tuple[Array, Array]:
    """q and j of docs/fixed_point.md: a table's value at V / 4^j, and j."""
    j = top(v) >> 1
    fine = np.where(2 * j <= 23, v << np.maximum(23 - 2 * j, 0), v >> np.maximum(2 * j - 23, 0)) - (1 << 23)
    return table(mantissa, fine, 16), j


def norm(name: str, p: dict[str, Any], m: Array) -> Array:
    """Layer norm, or RMS norm, over the last axes."""
    axes = tuple(range(-int(p["normalized_axes"]), 0))
    n = int(np.prod([m.shape[a] for a in axes]))
    c = m - div(m.sum(axis=axes, keepdims=True), n) if name == "layer_norm" else m
    epsilon = int(p["epsilon"])
    g = top(np.maximum(np.abs(c).max(axis=axes, keepdims=True), isqrt(epsilon))) + 1 - 15
    d = shift(c, g)
    v = div((d * d).sum(axis=axes, keepdims=True), n) + shift(epsilon, 2 * g)
    q, j = root(p["mantissa"], np.maximum(v, 1))
    y = np.where(v == 0, 0, shift(c * q, np.clip(16 + j + g - int(p["fraction_bits"]), -18, 62)))
    return shift(y * p.get("weight", 1), p.get("weight_shift", 0)) + p.get("bias", 0)


def softmax(p: dict[str, Any], m: Array) -> Array:
    """Numerators as powers of two, and one reciprocal of their sum."""
    axis = int(p["axis"])
    z = shift((m - m.max(axis=axis, keepdims=True)) * int(p["multiplier"]), int(p["shift"]))
    n = shift(table(p["mantissa"], z & 0xFFFF, 8), np.minimum(-(z >> 16), 62))
    return shift(n * (2**44 // n.sum(axis=axis, keepdims=True)), int(p["result_shift"]))


def curve(p: dict[str, Any], m: Array) -> Array:
    """A function by its table, and by its asymptotes outside."""
    values, bits = p["values"].astype(np.int64), int(p["segment_bits"])
    at, width = m - int(p["start"]), (len(values) - 1) << bits
    inside = table(values, np.clip(at, 0, width - 1), bits)
    left = values[0] + shift(at * int(p["left_multiplier"]), int(p["left_shift"]))
    right = values[-1] + shift((at - width) * int(p["right_multiplier"]), int(p["right_shift"]))
    return np.where(at < 0, left, np.where(at >= width, right, inside))


def function(name: str, p: dict[str, Any], m: Array) -> Array:
    """A function of integers."""
    if name == "relu":
        return np.maximum(m, 0)
    if name in ("layer_norm", "rms_norm"):
        return norm(name, p, m)
    return softmax(p, m) if name == "softmax" else curve(p, m)


class Integers:
    """An integer program's nodes at work on one sample: state by node. It knows no masks (minus infinity)."""

    def __init__(self, file: File) -> None:
        self.state: dict[str, dict[str, Any]] = {}
        self.spiking = file.spiking
        #: integers clipped at a node in the latest step
        self.clipped = 0

    def sat(self, node: Node, x: Array, bits: int | None = None) -> Array:
        """Clipped to the width of the node."""
        assert node.format is not None
        most = 2 ** ((int(node.format["state_bits"]) if bits is None else bits) - 1) - 1
        self.clipped += int((np.abs(x) > most).sum())
        return np.clip(x, -most, most)

    def sample(self, node: Node, x: Array) -> Array:
        """A sample in units of the input: the nearest, ties to even."""
        assert node.format is not None
        return self.sat(node, np.rint(np.ldexp(np.asarray(x, np.float64), -int(node.format["exponent"]))).astype(np.int64))

    def narrowed(self, node: Node, state: dict[str, Any], x: Array, r: Any) -> Array:
        """``sat(shift(x, r))``; where the node carries, what rounding leaves is kept."""
        assert node.format is not None
        if not bool(node.format.get("carries", False)):
            return self.sat(node, shift(x, r))
        total = x + state.get("carried", 0)
        y = shift(total, r)
        state["carried"] = np.where(np.asarray(r) > 0, total - (y << np.maximum(r, 0)), 0)
        return self.sat(node, y)

    def emit(self, name: str, node: Node, t: int, xs: list[Array]) -> Array:
        """y_t of any node but ``Input``."""
        f, state = node.fields, self.state.setdefault(name, {})
        if node.type in WIRING:
            return wire(node, xs)
        if node.type == "Output":
            return xs[0]
        form = node.format
        assert form is not None
        if node.type == "Constant":
            value = f["value"].astype(np.int64)
            assert value.min() > -(2 ** (int(form["state_bits"]) - 1)), "the recount knows no masks in integers"
            return value if t == 1 or f["schedule"] == "every" else np.zeros_like(value)
        if node.type in WEIGHTS:
            total = weighted(node, xs[0])
            if node.reads[0] in self.spiking:
                total = self.sat(node, total)
            lie = (-1, *[1] * (total.ndim - 1)) if node.type not in LINEAR else (-1,)
            m, r = (form[k].astype(np.int64).reshape(lie) for k in ("multiplier", "shift"))
            return self.narrowed(node, state, total * m, r)
        if node.type == "BroadcastScale":
            return self.narrowed(node, state, xs[0] * f["scale"].astype(np.int64), form["shift"].astype(np.int64))
        if node.type == "Mean":
            total = xs[0].sum(axis=tuple(int(a) for a in f["axes"]), keepdims=bool(f["keepdims"]))
            return self.narrowed(node, state, total * form["multiplier"].astype(np.int64), form["shift"].astype(np.int64))
        if node.type == "Add":
            return self._added(node, state, xs)
        if node.type in ("Hold", "Readout"):
            state["sum"] = self.sat(node, state.get("sum", 0) + xs[0])
            return div(state["sum"], t) if f.get("coding") == "rate" else state["sum"]
        if node.type in NEURONS:
            v = self.sat(node, state.get("membrane", f["initial_membrane"].astype(np.int64)) + xs[0])
            payload, taken = fire(node, v)
            state["membrane"] = v - taken
            return payload
        term = self._product(node, state, t, xs) if node.type == "ECMProduct" else self._function(node, state, t, xs)
        y = self.sat(node, term - state.get("sent", 0))
        state["sent"] = state.get("sent", 0) + y
        return y

    def _added(self, node: Node, state: dict[str, Any], xs: list[Array]) -> Array:
        assert node.format is not None
        right = [int(node.format["exponent"]) - int(e) for e in node.format["operand_exponents"]]
        d = max(0, *right) if bool(node.format["carries"]) else 0
        if not d:
            return self.sat(node, sum(shift(x, r) for x, r in zip(xs, right, strict=True)))
        return self.narrowed(node, state, sum(x << (d - r) for x, r in zip(xs, right, strict=True)), d)

    def _function(self, node: Node, state: dict[str, Any], t: int, xs: list[Array]) -> Array:
        (x,) = xs
        total = state["sum"] = self.sat(node, state.get("sum", 0) + x)
        steps = t if node.fields["coding"] == "rate" else 1
        value = function(node.fields["function"], node.fields["parameters"], div(total, steps))
        return self.sat(node, steps * self.sat(node, value))

    def _product(self, node: Node, state: dict[str, Any], t: int, xs: list[Array]) -> Array:
        f, form = node.fields, node.format
        assert form is not None
        steps, factors = (t if f["coding"] == "rate" else 1), []
        for side, x in zip(("left", "right"), xs, strict=True):
            before = state.get(side, f[f"{side}_initial"].astype(np.int64))
            total = state[side] = self.sat(node, before + form[f"{side}_unit"].astype(np.int64) * x)
            factors.append(self.sat(node, shift(div(total, steps), int(form[f"{side}_shift"])), int(form["operand_bits"])))
        product = (np.matmul if f["product"] == "matmul" else np.multiply)(*factors)
        return self.sat(node, steps * self.sat(node, shift(product, int(form["shift"]))))


def fire(node: Node, v: Array) -> tuple[Array, Array]:
    """The payload that a neuron of membrane ``v`` sends, and what that takes off the membrane."""
    f = node.fields
    if node.type == "Graded":
        p, most = f["base"].astype(np.int64), 2 ** (int(f["payload_bits"]) - 1) - 1
        q, rest = (2 * v + p) // (2 * p), (2 * v + p) % (2 * p)
        n = np.clip(np.where((rest == 0) & (q % 2 != 0), q - 1, q), -most, most)
        n = np.where(np.abs(n) >= f["least"], n, 0)
        return n, n * p
    assert node.format is not None
    base = np.where(v >= 0, f["positive_base"].astype(np.int64), f["negative_base"].astype(np.int64))
    numerator, size = round(float(f["fraction"]) * 256), np.zeros_like(v)
    for k in range(int(f["levels"])):  # upwards, so that the largest that fires remains
        level = base << k
        least = level - base // 2 if f["rule"] == "paper" else -(-level * numerator // 256)
        size = np.where((np.abs(v) >= least) & (k >= f["lowest_level"]), level, size)
    taken = np.where(v < 0, -size, size)
    return np.where(v < 0, -(size // node.format["unit"]), size // node.format["unit"]), taken
