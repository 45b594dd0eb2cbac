"""What elementwise work is made of: arithmetic and memory accesses by name. A chip that prices these prices all of it.

Source: the equations of ``docs/fixed_point.md``. A subtraction is an ``add``; a maximum, a sign or a choice is a ``compare``;
a ``table`` is one read of a table, whose interpolation is a ``mul`` and an ``add``; shifts, saturation and what rounding
leaves cost nothing. A ``load`` or ``store`` is of one element of state, operand or parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

#: primitives that compute, and those that move an element between a core's memory and its registers
ARITHMETIC = ("add", "mul", "compare", "table")
ACCESSES = ("load", "store")

Primitives = Mapping[str, int]


class Recipe(NamedTuple):
    """How often each primitive occurs.

    Attributes
    ----------
    element : for one element
    row : once per row (a mean's division, a norm's reciprocal root), so that an element has its share
    rate : for one element in rate coding, besides
    """

    element: Primitives
    row: Primitives = {}
    rate: Primitives = {}


#: of an ECM: an operand joins the sum of what came, X_t = X_{t-1} + x_t ..
JOINING: Primitives = {"add": 1, "load": 2, "store": 1}
#: .. and the term leaves as its difference to what was sent before, y_t = term - p_{t-1}; p_t = term
SENDING: Primitives = {"add": 1, "load": 1, "store": 1}


def compensated(primitives: Primitives, row: Primitives, operands: int) -> Recipe:
    """The recipe of a function inside an ECM, with the two additions with which it keeps its sum and its difference.

    Parameters
    ----------
    primitives, row : of the function itself, whose operands the sums have left in registers
    operands : how many operands the function has; each has a sum
    """
    # in rate coding the function takes X_t / t of every operand, and its value is multiplied by t
    return Recipe(together(primitives, *[JOINING] * operands, SENDING), row, {"mul": operands + 1})


def together(*parts: Primitives) -> Primitives:
    """Primitives added by name."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}
