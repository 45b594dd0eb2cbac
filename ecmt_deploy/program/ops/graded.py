"""The graded neuron: one event carries the rounded membrane itself.

For chips whose spikes carry a payload. docs/format.md has its equation to the bit, and a test vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecmt_deploy.kernels.base import RestingKernel, Site, cast
from ecmt_deploy.kernels.integer import Integer
from ecmt_deploy.kernels.integers import limit, within
from ecmt_deploy.kernels.streams import Part
from ecmt_deploy.program.ops.base import NOTHING, Op, Require, Shape, Work, broadcasts, finite, register
from ecmt_deploy.program.ops.format import NumberFormat

#: widths of a payload, sign included
LEAST_BITS, MOST_BITS = 2, 16


class GradedKernel(RestingKernel):
    """v <- v + x; n = v / base to the nearest integer, clipped to the payload; where abs(n) >= least, n base leaves it.

    Ties go to the even integer. The quotient is v times 1 / base, each rounded in the dtype of the run. Conservation: sum of
    spikes + v = initial membrane + sum of inputs; where nothing was clipped, abs(v) <= (least - 1/2) base after a step. Where
    least is beyond the clip the neuron is silent, whatever its membrane.
    """

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.base, self.least = cast(node.base, self.dtype), np.asarray(node.least, np.int64)
        self.most = limit(node.payload_bits)

    def payloads(self, v: np.ndarray, base: np.ndarray) -> np.ndarray:
        """The nearest multiples of the base, as numbers of bases."""
        return np.rint(v * (self.dtype.type(1) / base))

    def fire(self, v: np.ndarray, part: Part) -> tuple[np.ndarray, np.ndarray]:
        base, least = (part.of(array, self.site.shape) for array in (self.base, self.least))
        nearest = np.clip(self.payloads(v, base), -self.most, self.most)
        payload = np.where(np.abs(nearest) >= least, nearest, 0)
        sent = payload * base
        return self.message(payload, sent), sent

    def message(self, payload: np.ndarray, sent: np.ndarray) -> np.ndarray:
        """What the stream holds of a payload that is worth ``sent``."""
        return sent


class IntegerGradedKernel(Integer, GradedKernel):
    """The same in integers; the stream holds payloads, each worth ``base`` units of the membrane.

    n is the integer nearest to v / base, ties to the even one.
    """

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.base = np.asarray(node.base, np.int64)

    def membrane(self, v: np.ndarray, x: np.ndarray) -> np.ndarray:
        return self.saturated(v + x)

    def payloads(self, v: np.ndarray, base: np.ndarray) -> np.ndarray:
        nearest, rest = np.divmod(2 * v + base, 2 * base)  # halves up
        return nearest - ((rest == 0) & (nearest & 1 == 1))

    def message(self, payload: np.ndarray, sent: np.ndarray) -> np.ndarray:
        return payload


@register
@dataclass(eq=False, repr=False)
class Graded(Op):
    """Graded neuron: sends the membrane as a multiple of ``base``, a payload of ``payload_bits`` with its sign.

    Let n be v / base to the nearest integer, clipped to +-(2**(payload_bits - 1) - 1). Where abs(n) is at least ``least`` (1 or
    more), n fires: the smallest payload is the neuron's dead zone, (least - 1/2) base wide on either side. Where ``least`` is
    more than the largest payload, the neuron is silent. ``base``, ``least`` and ``initial_membrane`` broadcast to
    the operand's shape; the membrane before t = 1 is ``initial_membrane``, as in ``MultiThreshold``.
    """

    base: np.ndarray
    payload_bits: int
    least: np.ndarray = field(default_factory=lambda: np.ones((), np.int16))
    initial_membrane: np.ndarray = field(default_factory=lambda: NOTHING)

    role = "neuron"
    fields = {"base": "floats", "payload_bits": "int", "least": "integers", "initial_membrane": "floats"}
    per_element = ("base", "least", "initial_membrane")
    needs_code = "graded neuron"
    format_type = NumberFormat
    kernel, integer_kernel = GradedKernel, IntegerGradedKernel
    graded = True

    @property
    def keeps_format(self) -> bool:
        return True

    def check(self, require: Require) -> None:
        self._check_payload(require)
        require(self.base.dtype.kind == "f", "base", f"of dtype {self.base.dtype}", "floating point")
        limits = np.finfo(np.result_type(self.base.dtype, np.float32))
        # half a base is a threshold, and its reciprocal a factor: both must be normal numbers, and the largest spike finite
        sound = bool((self.base >= 4 * limits.tiny).all() and (self.base <= limits.max / 2.0**self.payload_bits).all())
        require(sound, "base", "NaN, not positive, too small or too large somewhere", f"normal numbers of {limits.dtype}")
        finite(self, "initial_membrane", require)

    def check_format(self, require: Require) -> None:
        self._check_payload(require)
        bits = self.format.state_bits
        largest, width = limit(bits), f"{bits} bits"
        require(within(self.base, 1, largest), "base", "out of range", f"positive integers of {width}")
        sound = within(self.initial_membrane, -largest, largest)
        require(sound, "initial_membrane", "out of range", f"integers of {width}")

    def _check_payload(self, require: Require) -> None:
        bits = self.payload_bits
        require(LEAST_BITS <= bits <= MOST_BITS, "payload_bits", bits, f"{LEAST_BITS} to {MOST_BITS}")
        most = limit(bits) + 1
        require(within(self.least, 1, most), "least", "out of range", f"integers of 1 to {most}, which is silence")

    def infer(self, x: Shape) -> Shape:
        for name in ("base", "least", "initial_membrane"):
            broadcasts(name, getattr(self, name), x)
        return x

    def work(self, shape: Shape, x: Shape) -> Work:
        return Work()

    def together(self, operand: int | None, ndim: int) -> tuple[int, ...]:
        return () if operand is None else (-1,)

    def state(self, shape: Shape, *operands: Shape) -> dict[str, Shape]:
        return {"v": shape}

    @property
    def initial(self) -> np.ndarray:
        return self.initial_membrane

    @property
    def initials(self) -> tuple[np.ndarray, ...]:
        return (self.initial_membrane,)

    @property
    def live(self) -> np.ndarray:
        return np.asarray(self.least <= limit(self.payload_bits))

    @property
    def levels_apart(self) -> int:
        """Digits that its payloads need: n and n + 1 are both told."""
        return int(self.payload_bits)

    @property
    def largest_spike(self) -> tuple[np.ndarray, np.ndarray]:
        largest = self.base * limit(self.payload_bits)
        return largest, largest

    @property
    def unit(self) -> np.ndarray:
        return self.base

    @property
    def range(self) -> tuple[float, float]:
        return float(self.base.min()) / 2, float(self.base.max()) * limit(self.payload_bits)

    @property
    def fires_from(self) -> tuple[np.ndarray, np.ndarray]:
        least = np.where(self.live, (self.least - 0.5) * self.base.astype(np.float64), np.inf)
        return least, least

    @property
    def spikes_per_element(self) -> int:
        return 2 * limit(self.payload_bits)

    @property
    def message_bits(self) -> int:
        """The payload, with its sign."""
        return int(self.payload_bits)
