"""Rules that ops check of shapes and fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Shape = tuple[int, ...]
#: called with a condition, and for when it does not hold: field, what was found, what was expected
Require = Callable[[bool, str, object, str], None]


class ShapeError(ValueError):
    """Operand shapes that a node cannot take; the message says which and what was expected."""


def fits(condition: bool, message: str) -> None:
    """Refuse operand shapes with a :class:`ShapeError` unless ``condition`` holds."""
    if not condition:
        raise ShapeError(message)


def finite(node: Any, field: str, require: Require) -> None:
    """Require a field to be finite floating point numbers."""
    array = getattr(node, field)
    require(array.dtype.kind == "f", field, f"of dtype {array.dtype}", "floating point")
    require(bool(np.isfinite(array).all()), field, "not finite everywhere", "finite numbers")


def broadcasts(name: str, array: Any, x: Shape) -> None:
    """Refuse an array that does not broadcast to the operand's shape."""
    own = np.shape(array)
    alike = len(own) <= len(x) and all(a in (1, b) for a, b in zip(own[::-1], x[::-1], strict=False))
    fits(alike, f"{name} of shape {own} on {x}")
