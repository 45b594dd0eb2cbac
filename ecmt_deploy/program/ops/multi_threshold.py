"""The multi-threshold neuron.

Source: *Towards High-performance Spiking Transformers from ANN to SNN Conversion* (Huang et al., ACM MM 2024).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log2
from typing import Any

import numpy as np

from ecmt_deploy.kernels.base import RestingKernel, Site, cast
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.integers import highest_bit, limit, within
from ecmt_deploy.kernels.streams import Part
from ecmt_deploy.program.ops.base import NOTHING, Op, Require, Shape, Work, broadcasts, finite, register
from ecmt_deploy.program.ops.format import NumberFormat

RULES = ("paper", "nearest")
#: ``fraction`` of an integer neuron is a multiple of one over this
FRACTION_STEPS = 256


def thresholds(node: MultiThreshold, base: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """``(level, threshold)`` of one side of a neuron, from the smallest level up, in the dtype of ``base``.

    A level fires at ``P_k - g_k`` with ``g_k = p/2`` (rule ``paper``) or ``g_k = (1 - c) P_k`` (``nearest``, c = ``fraction``).
    """
    pairs = []
    for k in range(int(node.levels)):
        level = base * base.dtype.type(2.0**k)
        margin_free = level * base.dtype.type(node.fraction) if node.rule == "nearest" else level - base / 2
        pairs.append((level, margin_free))
    return pairs


class NeuronKernel(RestingKernel):
    """v <- v + x; the largest level whose threshold v reaches fires; v <- v - s.

    Conservation: sum of spikes + v = initial membrane + sum of inputs.
    """

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.prepare()

    def prepare(self) -> None:
        """Levels and thresholds."""
        self.positive = thresholds(self.node, cast(self.node.positive_base, self.dtype))
        self.negative = thresholds(self.node, cast(self.node.negative_base, self.dtype))

    def fire(self, v: np.ndarray, part: Part) -> tuple[np.ndarray, np.ndarray]:
        spikes, shape = self.zeros(v.shape), self.site.shape
        lowest = part.of(np.asarray(self.node.lowest_level), shape)
        for k, (positive, negative) in enumerate(zip(self.positive, self.negative, strict=True)):
            # from the smallest level up, so the largest that is reached remains
            fires = k >= lowest
            for sign, side in ((1, positive), (-1, negative)):
                level, threshold = (part.of(array, shape) for array in side)
                spikes = np.where(fires & (sign * v >= threshold), sign * level, spikes)
        return spikes, spikes


class IntegerNeuronKernel(Integer, NeuronKernel):
    """v <- v + x; the largest level that v reaches fires; v <- v - level; its payload is sent.

    Level base << k fires at ceil(level * c) with c = ``fraction``, a multiple of 1/256 (``nearest``), or at level -
    floor(base / 2) (``paper``). Conservation: sum of payloads times unit + v = initial membrane + sum of inputs, as long as
    nothing saturates.
    """

    def prepare(self) -> None:
        """Bases, unit and fraction; levels are shifts of the bases."""
        constants = (self.node.positive_base, self.node.negative_base, self.node.format.unit, self.node.lowest_level)
        self.positive_base, self.negative_base, self.unit, self.lowest = (np.asarray(a, np.int64) for a in constants)
        self.numerator = round(self.node.fraction * FRACTION_STEPS)

    def membrane(self, v: np.ndarray, x: np.ndarray) -> np.ndarray:
        return self.saturated(v + x)

    def fire(self, v: np.ndarray, part: Part) -> tuple[np.ndarray, np.ndarray]:
        constants = (self.negative_base, self.positive_base, self.lowest, self.unit)
        negative_base, positive_base, lowest, unit = (part.of(array, self.site.shape) for array in constants)
        base = np.where(v < 0, negative_base, positive_base)
        # v >= ceil(base 2^k c)  <=>  floor(v / (base c)) >= 2^k;   v >= base 2^k - floor(base/2)  <=>  the same with halves
        if self.node.rule == "nearest":
            reached = np.abs(v) * FRACTION_STEPS // (base * self.numerator)
        else:
            reached = (np.abs(v) + (base >> 1)) // base
        level = np.minimum(highest_bit(reached), int(self.node.levels) - 1)
        size = np.where(level >= lowest, base << np.maximum(level, 0), 0)
        size = np.where(v < 0, -size, size)
        return size // unit, size


@dataclass(eq=False, kw_only=True, repr=False)
class Payload(NumberFormat):
    """Of a neuron: bases are multiples of ``unit``, all in units of the membrane; a spike at level P = base << k is sent as the
    payload P / unit, of ``payload_bits``."""

    unit: np.ndarray
    payload_bits: int

    fields = {"unit": "integers", "payload_bits": "int", **NumberFormat.fields}
    per_element = ("unit",)

    def check(self, require: Require) -> None:
        super().check(require)
        require(2 <= self.payload_bits <= 24, "payload_bits", self.payload_bits, "2 to 24")
        sound = within(self.unit, 1, limit(self.state_bits))
        require(sound, "unit", "out of range", f"positive integers of {self.state_bits} bits")


@register
@dataclass(eq=False, repr=False)
class MultiThreshold(Op):
    """Multi-threshold neuron with levels ``positive_base * 2**k`` and ``negative_base * 2**k``, k = 0 .. levels - 1.

    The bases broadcast to the operand's shape: scalar, or one per channel. ``rule`` says when a level fires:
    ``paper`` at ``P_k - p/2``, ``nearest`` at ``fraction * P_k`` (``fraction`` is ignored under ``paper``). Levels below
    ``lowest_level`` (integers, broadcast to the operand) never fire: a dead zone of each neuron's own; with ``lowest_level`` =
    ``levels`` a neuron is silent. ``initial_membrane`` (broadcast) is the membrane before t = 1: with minus the value expected
    of the operand there, the spikes tell what was not expected, and the consumers add the expectation.
    """

    positive_base: np.ndarray
    negative_base: np.ndarray
    levels: int
    rule: str
    fraction: float
    lowest_level: np.ndarray = field(default_factory=lambda: np.zeros((), np.int8))
    initial_membrane: np.ndarray = field(default_factory=lambda: NOTHING)

    role = "neuron"
    fields = {
        "positive_base": "floats", "negative_base": "floats", "levels": "int", "rule": "string", "fraction": "float",
        "lowest_level": "integers", "initial_membrane": "floats",
    }  # fmt: skip
    per_element = ("positive_base", "negative_base", "lowest_level", "initial_membrane")
    needs_code = "multi-threshold neuron"
    format_type = Payload
    kernel, integer_kernel = NeuronKernel, IntegerNeuronKernel

    @property
    def keeps_format(self) -> bool:
        return True

    def check(self, require: Require) -> None:
        require(1 <= self.levels <= 32, "levels", self.levels, "1 to 32")
        for field_ in ("positive_base", "negative_base"):
            base = getattr(self, field_)
            require(base.dtype.kind == "f", field_, f"of dtype {base.dtype}", "floating point")
            limits = np.finfo(np.result_type(base.dtype, np.float32))
            # half a base is a threshold: it must be a normal number, and the highest level a finite one
            sound = bool((base >= 2 * limits.tiny).all() and (base <= limits.max / 2.0**self.levels).all())
            require(sound, field_, "NaN, not positive, too small or too large somewhere", f"normal numbers of {limits.dtype}")
        require(self.rule in RULES, "rule", repr(self.rule), f"one of {RULES}")
        require(0.5 <= self.fraction < 1, "fraction", self.fraction, "at least 0.5 and below 1")
        lowest = self.lowest_level
        require(lowest.dtype.kind == "i", "lowest_level", f"of dtype {lowest.dtype}", "integers")
        sound = bool(((lowest >= 0) & (lowest <= self.levels)).all())
        require(sound, "lowest_level", f"{lowest.min()} to {lowest.max()}", f"0 to {self.levels}, the number of levels")
        finite(self, "initial_membrane", require)

    def check_format(self, require: Require) -> None:
        form = self.format
        payloads = form.payload_bits
        require(1 <= self.levels < payloads, "levels", self.levels, f"1 to {payloads - 1}, as payloads can tell")
        require(self.rule in RULES, "rule", repr(self.rule), f"one of {RULES}")
        numerator = self.fraction * FRACTION_STEPS
        require(
            0.5 <= self.fraction < 1 and numerator == int(numerator),
            "fraction",
            self.fraction,
            "a multiple of 1/256 in [0.5, 1)",
        )
        largest, width = limit(form.state_bits), f"{form.state_bits} bits"
        for name in ("positive_base", "negative_base"):
            base = getattr(self, name)
            require(within(base, 1, largest), name, "out of range", f"positive integers of {width}")
            ratio, rest = np.divmod(np.asarray(base, np.int64), np.asarray(form.unit, np.int64))
            sound = not rest.any() and int(ratio.max()) << (self.levels - 1) <= limit(payloads)
            require(sound, name, "no multiple of unit, or too large a one", f"multiples whose payloads have {payloads} bits")
        require(within(self.lowest_level, 0, self.levels), "lowest_level", "out of range", f"integers of 0 to {self.levels}")
        sound = within(self.initial_membrane, -largest, largest)
        require(sound, "initial_membrane", "out of range", f"integers of {width}")

    def infer(self, x: Shape) -> Shape:
        for name in ("positive_base", "negative_base", "lowest_level", "initial_membrane"):
            broadcasts(name, getattr(self, name), x)
        if self.format is not None:
            broadcasts("unit", self.format.unit, x)
        return x

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work()

    @property
    def initial(self) -> np.ndarray:
        return self.initial_membrane

    @property
    def initials(self) -> tuple[np.ndarray, ...]:
        return (self.initial_membrane,)

    @property
    def live(self) -> np.ndarray:
        return np.asarray(self.lowest_level < self.levels)

    @property
    def levels_apart(self) -> int:
        return int(self.levels) - int(self.lowest_level.min())

    @property
    def largest_spike(self) -> tuple[np.ndarray, np.ndarray]:
        top = 2.0 ** (int(self.levels) - 1)
        return self.positive_base * top, self.negative_base * top

    @property
    def unit(self) -> np.ndarray:
        form: Payload = self.format
        return form.unit

    @property
    def common_payload(self) -> int:
        """That of the lowest level that fires."""
        lowest = np.asarray(self.lowest_level, np.int64)[self.live]
        return 1 << int(lowest.min(initial=int(self.levels)))

    @property
    def range(self) -> tuple[float, float]:
        bases = (self.positive_base, self.negative_base)
        most = float(max(base.max() for base in bases)) * 2.0 ** (self.levels - 1)
        return float(min(base.min() for base in bases)), most

    @property
    def fires_from(self) -> tuple[np.ndarray, np.ndarray]:
        return self._fires_from(self.negative_base), self._fires_from(self.positive_base)

    def _fires_from(self, base: np.ndarray) -> np.ndarray:
        by_level = [threshold for _, threshold in thresholds(self, base.astype(np.float64))]
        lowest = np.asarray(self.lowest_level)
        return np.select([lowest == k for k in range(len(by_level))], by_level, np.inf)

    def together(self, operand: int | None, ndim: int) -> tuple[int, ...]:
        return () if operand is None else (-1,)

    def state(self, shape: Shape, *operands: Shape) -> dict[str, Shape]:
        return {"v": shape}

    @property
    def spikes_per_element(self) -> int:
        return 2 * int(self.levels)

    @property
    def message_bits(self) -> int:
        """Level and sign; in an integer program the payload itself."""
        if self.format is not None:
            return int(self.format.payload_bits)
        return ceil(log2(2 * int(self.levels) + 1))
