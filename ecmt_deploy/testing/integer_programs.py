"""Random integer programs: every node type and function, weights at the extremes, inputs that saturate.

``integer_program(seed)`` is a plain function of its seed. Targets must agree on it bit for bit.
"""

from __future__ import annotations

from math import prod
from typing import Any, cast

import nir
import numpy as np

from ecmt_deploy.kernels.integers import limit, minus_infinity
from ecmt_deploy.program import Program, Provenance, ops, verify
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.functions.integer import Formats, IntegerForm
from ecmt_deploy.testing.handmade import Case
from ecmt_deploy.testing.integer_exact import NAMED_SHARE, begin, samples

STATE, WEIGHT, PAYLOAD = 24, 8, 16
LARGEST = limit(STATE)
#: functions that have an integer form
INTEGER = [
    name for name, f in FUNCTIONS.items() if isinstance(f.integer, IntegerForm) and not (f.needs_exact or f.exact_operands)
]
#: functions that a constant masks
MASKED = [name for name, f in FUNCTIONS.items() if isinstance(f.integer, IntegerForm) and f.exact_operands]


class Builder:
    """A program in the making; ``stream`` is the end of its chain."""

    def __init__(self, seed: int) -> None:
        self.r = np.random.default_rng(seed)
        #: of graded neurons alone, in some programs: all else is of a seed what it was before there were any
        self.graded = np.random.default_rng((seed, 1))
        self.graded_share = float(self.graded.choice([0.0, 0.5, 1.0]))
        #: whether what rounding leaves is kept, in half of the programs, for the same reason
        self.carries = bool(np.random.default_rng((seed, 2)).integers(2))
        #: of listed windows alone, for the same reason
        self.listing = np.random.default_rng((seed, 3))
        self.coding = ("rate", "differential")[int(self.r.integers(2))]
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.exponents: dict[str, int] = {}
        self.stream = ""

    def add(self, node: nir.NIRNode, *sources: str, shape: tuple[int, ...] | None = None, exponent: int | None = None) -> str:
        name = f"{len(self.nodes):02}.{type(node).__name__.lower()}"
        self.nodes[name] = node
        self.edges += sorted({(source, name) for source in sources})
        self.shapes[name] = self.shapes[sources[0]] if shape is None else shape
        format = getattr(node, "format", None)
        self.exponents[name] = format.exponent if format else exponent or 0
        self.stream = name
        return name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[self.stream]

    def format(self, exponent: int | None = None) -> dict[str, Any]:
        """A format of its own, or with a given exponent."""
        return {"exponent": int(self.r.integers(-18, -8)) if exponent is None else exponent, "state_bits": STATE}

    def integers(self, shape: tuple[int, ...], largest: int = LARGEST) -> np.ndarray:
        """Mostly moderate, some at the extremes."""
        values = (self.r.normal(size=shape) * largest / 16).clip(-largest, largest)
        extreme = self.r.random(shape) < 0.05
        return np.asarray(np.where(extreme, self.r.choice([-largest, largest], size=shape), np.rint(values)), np.int32)

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        values = self.r.integers(-128, 128, size=shape)
        extreme = self.r.random(shape) < 0.3
        return np.where(extreme, self.r.choice([-128, 127], size=shape), values).astype(np.int8)

    def requantisation(self, shape: tuple[int, ...], shifts: tuple[int, int]) -> dict[str, Any]:
        multiplier = np.asarray(self.r.integers(2**14, 2**15, size=shape), np.int16)
        shift = np.asarray(self.r.integers(*shifts, size=shape), np.int8)
        return {"multiplier": multiplier, "shift": shift, "carries": self.carries}

    def plain(self, exponent: int) -> ops.NumberFormat:
        return ops.NumberFormat(**self.format(exponent))

    def weighted(self, out: int, shifts: tuple[int, int]) -> ops.Weighted:
        return ops.Weighted(weight_bits=WEIGHT, **self.requantisation((out,), shifts), **self.format())

    def neuron(self) -> str:
        levels = int(self.r.integers(1, 9))
        shape = (self.shape[-1],) if self.r.random() < 0.5 else ()
        unit = np.asarray(self.r.integers(1, 2 ** int(self.r.integers(2, 15)), size=shape), np.int32)
        a, b = self.r.integers(1, 1 + min(31, (limit(PAYLOAD) >> (levels - 1)), LARGEST // int(unit.max())), size=2)
        node: ops.MultiThreshold | ops.Graded = ops.MultiThreshold(
            positive_base=np.asarray(unit * a, np.int32), negative_base=np.asarray(unit * b, np.int32), levels=levels,
            rule=str(self.r.choice(ops.RULES)), fraction=int(self.r.integers(128, 256)) / 256,
            lowest_level=np.asarray(self.r.integers(0, levels + 1, size=shape), np.int8),
            initial_membrane=np.asarray(self.integers(self.shape) // 4),
            format=ops.Payload(unit=unit, payload_bits=PAYLOAD, **self.format(self.exponents[self.stream])),
        )  # fmt: skip
        if self.graded.random() < self.graded_share:
            node = self.graded_neuron(shape, node.initial_membrane)
        return self.add(node, self.stream)

    def graded_neuron(self, shape: tuple[int, ...], initial: np.ndarray) -> ops.Graded:
        """Bases from one unit, whose payloads clip, to a good part of the membrane; even ones, whose ties are met."""
        r, bits = self.graded, int(self.graded.integers(2, PAYLOAD + 1))
        base = np.asarray(r.integers(1, 1 + 2 ** r.integers(1, STATE - 2), size=shape), np.int32)
        least = np.rint(limit(bits) ** r.uniform(0, 0.9, size=shape))
        least = np.where(r.random(least.shape) < 0.1, limit(bits) + 1, least)
        format = self.plain(self.exponents[self.stream])
        return ops.Graded(base, bits, np.asarray(least, np.int32), initial, format=format)

    def linear(self) -> None:
        source = self.stream
        if self.r.random() < 0.85:
            source = self.neuron()
        out = int(self.r.integers(1, 6))
        weights = self.weights((out, self.shape[-1]))
        node = ops.LastAxisLinear(weights, format=self.weighted(out, (6, 22)))
        self.add(node, source, shape=(*self.shape[:-1], out))

    def conv(self) -> None:
        self.as_matrix()
        channels, length = self.shape
        self.neuron()
        two = self.r.random() < 0.5
        if two:
            shape = (channels, 1, length)
            self.add(ops.Reshape(np.array(shape)), self.stream, shape=shape)
        groups = channels if channels > 1 and self.r.random() < 0.5 else 1
        out = groups * int(self.r.integers(1, 3))
        weights = self.weights((out, channels // groups, *((1, 2) if two else (2,))))
        common = {"groups": groups, "bias": np.zeros(out, np.int8), "format": self.weighted(out, (6, 22))}
        node: nir.NIRNode = (
            ops.Conv2d(None, weights, (1, 1), (0, 1), (1, 1), **common) if two else ops.Conv1d(None, weights, 1, 1, 1, **common)
        )
        result: tuple[int, ...] = (out, 1, length + 1) if two else (out, length + 1)
        if self.listing.random() < 0.3:  # the same weights, under which anything lies
            result = (out, *self.listing.integers(1, 4, size=int(self.listing.integers(1, 4))).tolist())
            taps = weights.reshape(*weights.shape[:2], -1)
            places = self.listing.integers(-1, length, size=(prod(result[1:]), taps.shape[2]))
            node = ops.ListedConvolution(taps, places, np.array(result[1:]), groups, format=node.format)
        self.add(node, self.stream, shape=result)

    def as_matrix(self) -> None:
        if len(self.shape) != 2:
            shape = (max(prod(self.shape[:-1]), 1), self.shape[-1])
            self.add(ops.Reshape(np.array(shape)), self.stream, shape=shape, exponent=self.exponents[self.stream])

    def constant(self, exponent: int, shape: tuple[int, ...], masked: bool = False) -> str:
        value = self.integers(shape)
        if masked:
            value = np.where(self.r.random(shape) < 0.3, minus_infinity(STATE), value).astype(np.int32)
        node = ops.Constant(value, "every" if self.coding == "rate" else "first", format=self.plain(exponent))
        return self.add(node, shape=shape)

    def sum(self, masked: bool = False) -> None:
        left = self.stream
        shape = self.shape
        right = self.constant(int(self.r.integers(-18, -8)), shape, masked) if masked or self.r.random() < 0.5 else left
        found = np.array([self.exponents[left], self.exponents[right]])
        format = ops.Summed(operand_exponents=found, carries=self.carries, **self.format())
        node = ops.Add((left, right), format=format)
        self.add(node, left, right, shape=shape)

    def function(self, function: str | None = None) -> None:
        function = function or str(self.r.choice([name for name in INTEGER if FUNCTIONS[name].operands == 1]))
        operand = self.exponents[self.stream]
        form: Any = FUNCTIONS[function].integer
        result = self.format(operand if form.keeps_format else None)
        shape, given = self.shape, dict(FUNCTIONS[function].example)
        channels = shape[0] if function == "group_norm" else shape[-1]
        if function.endswith("norm") and function != "l2_norm":
            given["weight"] = self.r.normal(size=channels)
            if function != "rms_norm":
                given["bias"] = self.r.normal(size=channels)
        if function == "power":
            given["exponent"] = float(self.r.choice([0.5, 1.5, 2, 3, -1, -2]))
        magnitude = float(self.r.uniform(0.1, 20))
        made = form.parameters_for(given, Formats([operand], result["exponent"], magnitude, STATE, shape))
        format = ops.Aligned(operand_exponents=np.array([operand]), **result)
        node = ops.ECM((self.stream,), function, self.coding, made, format=format)
        self.add(node, self.stream, shape=FUNCTIONS[function].shape(made, [shape]))

    def mask(self) -> None:
        self.sum(masked=True)
        self.function(str(self.r.choice(["softmax", "max"])))

    def pair(self) -> None:
        """A function of two operands: of one stream twice, or of two with exponents of their own."""
        function = str(self.r.choice([*MASKED, *(name for name in INTEGER if FUNCTIONS[name].operands == 2)]))
        x, shape = self.stream, self.shape
        given = {key: np.asarray(value) for key, value in FUNCTIONS[function].example.items()}
        y = self.constant(int(self.r.integers(-18, -8)), shape, False) if function in MASKED or self.r.random() < 0.5 else x
        found = [self.exponents[x], self.exponents[y]]
        result, form = self.format(), cast(Any, FUNCTIONS[function].integer)
        made = form.parameters_for(given, Formats(found, result["exponent"], 1.0, STATE, shape))
        node = ops.ECM((x, y), function, self.coding, made, format=ops.Aligned(operand_exponents=np.array(found), **result))
        self.add(node, x, y, shape=shape)

    def product(self) -> None:
        self.as_matrix()
        source, (tokens, channels) = self.stream, self.shape
        kind = str(self.r.choice(ops.PRODUCTS))
        left = self.neuron()
        self.stream = source
        if kind == "matmul":
            self.add(ops.Permute(np.array([1, 0])), source, shape=(channels, tokens), exponent=self.exponents[source])
        right = self.neuron() if self.r.random() < 0.8 else self.stream
        initial = self.coding == "differential"
        nodes: list[Any] = [self.nodes[side] for side in (left, right)]
        units = [node.unit if node.emits == "spikes" else np.ones((), np.int32) for node in nodes]
        format = ops.Multiplied(
            operand_bits=PAYLOAD, shift=int(self.r.integers(4, 16)), left_unit=units[0], right_unit=units[1],
            left_shift=int(self.r.integers(4, 10)), right_shift=int(self.r.integers(4, 10)), **self.format(),
        )  # fmt: skip
        node = ops.ECMProduct(
            (left, right), kind, self.coding, np.asarray(self.integers((channels,) if initial else ()) * initial),
            np.asarray(self.integers(self.shapes[right] if initial else ()) * initial), format=format,
        )  # fmt: skip
        self.add(node, left, right, shape=(tokens, tokens) if kind == "matmul" else (tokens, channels))

    def scale(self) -> None:
        values = self.requantisation((self.shape[-1],), (12, 18))
        scale = values.pop("multiplier") * self.r.choice([-1, 1], size=self.shape[-1]).astype(np.int16)
        self.add(ops.BroadcastScale(scale, format=ops.Shifted(**values, **self.format())), self.stream)

    def mean(self) -> None:
        self.as_matrix()
        one = self.requantisation((), (14, 17))
        node = ops.Mean(np.array([0]), True, format=ops.Requantised(**one, **self.format()))
        self.add(node, self.stream, shape=(1, self.shape[1]))

    def hold(self) -> None:
        self.add(ops.Hold(format=self.plain(self.exponents[self.stream])), self.stream)

    def wiring(self) -> None:
        self.as_matrix()
        rows, channels = self.shape
        exponent, source = self.exponents[self.stream], self.stream
        match int(self.r.integers(6)):
            case 0:
                self.add(ops.Permute(np.array([1, 0])), source, shape=(channels, rows), exponent=exponent)
            case 1:
                self.add(ops.Slice(1, 0, channels, 2), source, shape=(rows, (channels + 1) // 2), exponent=exponent)
            case 2:
                self.add(ops.Take(0, np.array([rows - 1, 0])), source, shape=(2, channels), exponent=exponent)
            case 3:
                self.add(ops.Pad(np.array([[1, 0], [0, 1]])), source, shape=(rows + 1, channels + 1), exponent=exponent)
            case 4:
                other = self.constant(exponent, (1, channels))
                node = ops.Concat((other, source), 0)
                self.add(node, other, source, shape=(rows + 1, channels), exponent=exponent)
            case _:
                self.add(ops.Reshape(np.array([1, rows, channels])), source, shape=(1, rows, channels), exponent=exponent)
                self.add(ops.Expand(np.array([2, rows, channels])), self.stream, shape=(2, rows, channels), exponent=exponent)

    def finish(self) -> Program:
        size = prod(self.shape)
        self.add(ops.Reshape(np.array([size])), self.stream, shape=(size,), exponent=self.exponents[self.stream])
        self.add(ops.Readout(self.coding, format=self.plain(self.exponents[self.stream])), self.stream)
        self.add(nir.Output(output_type={"output": np.array(self.shape)}), self.stream)
        return verify(self.nodes, self.edges, Provenance(tool_version="test"))


STAGES = ("linear", "linear", "conv", "sum", "function", "function", "mask", "pair", "product", "product", "scale", "mean",
          "hold", "wiring")  # fmt: skip


def integer_program(seed: int) -> Case:
    """A program, inputs as :func:`ecmt_deploy.simulate` takes them (floats), and a number of steps."""
    b, exactly = Builder(seed), np.random.default_rng((seed, 3))
    if exactly.random() < NAMED_SHARE:
        named = begin(b, exactly, (int(exactly.integers(1, 6)), int(exactly.integers(1, 6))))
        _grow(b, len(b.nodes) + int(b.r.integers(5, 13)))
        return Case(b.finish(), samples(exactly, named, 2), int(b.r.integers(1, 6)))
    shape = tuple(int(size) for size in b.r.integers(1, 6, size=2))
    exponent = int(b.r.integers(-14, -6))
    node = ops.Input(input_type={"input": np.array(shape)}, format=ops.NumberFormat(exponent=exponent, state_bits=PAYLOAD))
    source = b.add(node, shape=shape)
    out = int(b.r.integers(2, 6))
    encode = ops.LastAxisLinear(b.weights((out, shape[-1])), format=b.weighted(out, (10, 20)))
    b.add(encode, source, shape=(shape[0], out))
    if b.coding == "rate":
        b.hold()
    _grow(b, int(b.r.integers(8, 16)))
    inputs = b.r.normal(size=(2, *shape)) * limit(PAYLOAD) * 2.0**exponent * float(b.r.choice([0.1, 0.5, 2.0]))
    return Case(b.finish(), inputs, int(b.r.integers(1, 6)))


def _grow(b: Builder, goal: int) -> None:
    while len(b.nodes) < goal:
        getattr(b, str(b.r.choice(STAGES)))()
        if prod(b.shape) > 200:
            b.mean()
