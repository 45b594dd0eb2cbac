"""Number formats: what an integer node says besides what every node says.

An integer program has the node types of a float program. Its nodes carry a format: exponent and width of their stream, and the
constants of the arithmetic. ``docs/fixed_point.md`` specifies every operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ecmt_deploy.kernels.integers import MULTIPLIER_BITS, limit, within

#: a right shift is at most this
MOST_SHIFT = 62


@dataclass(eq=False, kw_only=True, repr=False)
class NumberFormat:
    """Format of an integer stream.

    Attributes
    ----------
    exponent : value = integer * 2**exponent
    state_bits : width of state and stream, two's complement
    """

    exponent: int
    state_bits: int

    #: fields that broadcast to the stream, element by element
    per_element: ClassVar[tuple[str, ...]] = ()
    #: kinds of its fields, as those of an op
    fields: ClassVar[Mapping[str, str]] = {"exponent": "int", "state_bits": "int"}

    @property
    def remainder_bits(self) -> int:
        """Width of what the node keeps, per element, of the rounding of the step before; 0 where it keeps nothing."""
        return 0

    def check(self, require: Callable[[bool, str, object, str], None]) -> None:
        """Rules of its own fields."""
        require(2 <= self.state_bits <= 32, "state_bits", self.state_bits, "2 to 32")
        require(-64 <= self.exponent <= 64, "exponent", self.exponent, "-64 to 64")


@dataclass(eq=False, kw_only=True, repr=False)
class Shifted(NumberFormat):
    """Of a node that ends with a right shift, rounded: of one multiplied by integers of 16 bits, of the same shape.

    Attributes
    ----------
    carries : whether what rounding leaves joins what is rounded at the next step. Otherwise each step is rounded by itself, and
        the sum of what was sent drifts away from what it is the sum of
    """

    shift: np.ndarray
    carries: bool = False

    fields: ClassVar[Mapping[str, str]] = {"shift": "integers", "carries": "bool", **NumberFormat.fields}
    per_element: ClassVar[tuple[str, ...]] = ("shift",)

    @property
    def remainder_bits(self) -> int:
        return max(0, int(np.max(self.shift, initial=0))) if self.carries else 0


@dataclass(eq=False, kw_only=True, repr=False)
class Requantised(Shifted):
    """Of a node that ends with ``(a * multiplier) >> shift``, rounded, to reach the exponent of its stream."""

    multiplier: np.ndarray

    fields: ClassVar[Mapping[str, str]] = {"multiplier": "integers", **Shifted.fields}
    per_element = ()  # one per output, or one alone

    def check(self, require: Callable[[bool, str, object, str], None]) -> None:
        super().check(require)
        require_requantisation(self.multiplier, self.shift, "multiplier", require)


@dataclass(eq=False, kw_only=True, repr=False)
class Weighted(Requantised):
    """Of synapses: width of a weight; multiplier and shift are one per output."""

    weight_bits: int

    fields: ClassVar[Mapping[str, str]] = {"weight_bits": "int", **Requantised.fields}

    def of(self, outputs: np.ndarray) -> Weighted:
        """The format of some outputs alone."""
        return replace(self, multiplier=self.multiplier[outputs], shift=self.shift[outputs])

    def check(self, require: Callable[[bool, str, object, str], None]) -> None:
        super().check(require)
        require(2 <= self.weight_bits <= 16, "weight_bits", self.weight_bits, "2 to 16")


@dataclass(eq=False, kw_only=True, repr=False)
class Aligned(NumberFormat):
    """Of a node that brings its operands from exponents of their own."""

    operand_exponents: np.ndarray

    fields: ClassVar[Mapping[str, str]] = {"operand_exponents": "ints", **NumberFormat.fields}

    def check(self, require: Callable[[bool, str, object, str], None]) -> None:
        super().check(require)
        found = np.asarray(self.operand_exponents)
        sound = within(found, -64, 64) and found.ndim == 1
        require(sound, "operand_exponents", found.tolist(), "one exponent per operand, -64 to 64")


def require_requantisation(
    multiplier: np.ndarray, shift: np.ndarray, name: str, require: Callable[[bool, str, object, str], None]
) -> None:
    """Rules of a multiplier and its shift."""
    largest = limit(MULTIPLIER_BITS)
    require(within(multiplier, -largest, largest), name, "no integers of 16 bits", "integers of 16 bits")
    sound = within(shift, -16, MOST_SHIFT) and np.shape(shift) == np.shape(multiplier)
    require(sound, "shift", "out of range or of another shape", f"integers of -16 to {MOST_SHIFT}, one per multiplier")
