"""What of a node one core computes: a smaller node of the same kind, and which elements it makes of which.

A core that holds some elements of a stream runs the op's own integer kernel on its share of the node: parameters are those of
its elements, and nothing else of the node is there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Share:
    """A core's share of a node.

    Attributes
    ----------
    node : the node with the parameters of these elements alone
    elements : which elements of the node's stream these are (flat), in the shape of the share's own stream
    operands : which elements of each operand they are made of (flat), in the shape of the share's own operand; one that is
        needed in several places of it is there several times
    """

    node: Any
    elements: np.ndarray
    operands: tuple[np.ndarray, ...]


def beside(flat: np.ndarray, shape: Shape, operand: Shape) -> np.ndarray:
    """The elements of an operand that broadcasting to ``shape`` puts at the elements ``flat``."""
    if not operand:
        return np.zeros_like(flat)
    places = np.unravel_index(flat, shape)[len(shape) - len(operand) :]
    at = tuple(np.zeros_like(p) if size == 1 else p for p, size in zip(places, operand, strict=True))
    return np.asarray(np.ravel_multi_index(at, operand))


def picked(parameter: Any, shape: Shape, flat: np.ndarray) -> np.ndarray:
    """Values of a parameter that broadcasts to ``shape`` at the elements ``flat``; a single number as it is."""
    array = np.asarray(parameter)
    return array if array.ndim == 0 else array.ravel()[beside(flat, shape, array.shape)]


def elementwise(node: Any, elements: np.ndarray, shape: Shape, operands: tuple[Shape, ...]) -> Share:
    """The share of a node each of whose elements is made of one of each operand: a column, every element a row of its own."""
    column, taken = of_columns(elements, shape, *operands)
    changed = {name: picked(getattr(node, name), shape, column) for name in node.per_element}
    form = node.format
    if form is not None and type(form).per_element:
        form = replace(form, **{name: picked(getattr(form, name), shape, column) for name in type(form).per_element})
    return Share(replace(node, format=form, **changed), column, taken)


def box(elements: np.ndarray, *sizes: int) -> list[np.ndarray]:
    """Numbers along each axis of an array of ``sizes`` that has exactly ``elements`` (flat) where they cross.

    Raises
    ------
    ValueError
        if they are no such box.
    """
    along = [np.unique(axis) for axis in np.unravel_index(elements, sizes)]
    if np.prod([len(axis) for axis in along]) != len(elements):
        raise ValueError(f"{len(elements)} elements of an array of {sizes} are no box; a core computes whole tiles")
    return along


def moved(shape: Shape, last: tuple[int, ...]) -> np.ndarray:
    """The numbers of elements (flat) as a matrix whose columns are the axes ``last`` and whose rows all others."""
    first = tuple(axis for axis in range(len(shape)) if axis not in last)
    rows = int(np.prod([shape[axis] for axis in first]))
    return np.arange(int(np.prod(shape))).reshape(shape).transpose(*first, *last).reshape(rows, -1)


def of_columns(elements: np.ndarray, shape: Shape, *operands: Shape) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Elements of a stream as a column, and those that stand beside them in each operand."""
    column = elements[:, None]
    return column, tuple(beside(column, shape, operand) for operand in operands)


def of_matrices(elements: np.ndarray, shape: Shape, a: Shape, b: Shape) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Elements of a product of matrices (.., n, m) as a tile of some heads, and the rows and columns that they are made of."""
    *batch, n, m = shape
    heads, rows, columns = box(elements, int(np.prod(batch)), n, m)
    inner, head = np.arange(a[-1]), heads[:, None, None]
    left = (head * n + rows[:, None]) * a[-1] + inner
    right = (head * a[-1] + inner[:, None]) * m + columns
    made = (head * n + rows[:, None]) * m + columns
    return made, (beside(left, (*batch, n, a[-1]), a), beside(right, (*batch, a[-1], m), b))
