"""One form for every node: fields of the declared kinds, axes counted from the front, numbers that are numbers.

Whoever makes a node may write an axis as -1, a list for an array or an int for a 0-dimensional one. Readers never see that:
verification brings nodes to this form first, so that no two engines can read one node differently.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.fields import FIELDS

#: what a field of each kind is expected to be, in words
_EXPECTED = {
    "ints": "an array of integers", "integers": "an array of integers", "int": "an integer", "float": "a number",
    "bool": "True or False", "floats": "an array of floating point numbers of 16, 32 or 64 bits", "string": "a string",
    "names": "names of nodes", "parameters": "numbers and arrays of numbers by name",
}  # fmt: skip


def canonical(name: str, node: nir.NIRNode) -> nir.NIRNode:
    """A copy of ``node`` whose fields are of their declared kinds; the caller's node stays as it is.

    Raises
    ------
    ProgramError
        if a field is of another kind.
    """
    made = copy.copy(node)
    for field, kind in FIELDS[type(node)].items():
        if field == "shape" and isinstance(node, nir.Input | nir.Output):
            _set_end(name, made)
            continue
        value = getattr(node, field, None)
        if field == "input_shape" and value is None:
            continue  # follows from the operand
        setattr(made, field, _of_kind(name, node, field, kind, value))
    if isinstance(made, nir.Conv1d | nir.Conv2d):
        _set_windows(name, made)
    return made


def fit_to_operand(node: nir.NIRNode, shape: tuple[int, ...]) -> None:
    """Say of a node (a copy already) what its first operand's ``shape`` decides: axes are counted from the front.

    Axes outside the operand are left for the shape rules to refuse.
    """
    ndim = len(shape)

    def counted(axis: int) -> int:
        return axis + ndim if -ndim <= axis < 0 else axis

    if isinstance(node, nir.Conv1d | nir.Conv2d) and node.input_shape is None:
        node.input_shape = shape[1] if isinstance(node, nir.Conv1d) and ndim > 1 else shape[1:]

    if isinstance(node, n.Slice | n.Take | n.Concat):
        node.axis = counted(node.axis)
    elif isinstance(node, n.Permute):
        node.axes = np.array([counted(axis) for axis in node.axes.ravel().tolist()], np.int64)
    elif isinstance(node, n.Mean):
        node.axes = np.array(sorted(counted(axis) for axis in node.axes.ravel().tolist()), np.int64)
    elif isinstance(node, n.ECM) and np.ndim(node.parameters.get("axis", ())) == 0:
        axis = node.parameters["axis"]
        if axis.dtype.kind == "i":
            node.parameters["axis"] = np.asarray(counted(int(axis)))


def _set_end(name: str, node: Any) -> None:
    """The shape of a sample or a readout: non-negative integers."""
    types = "input_type" if isinstance(node, nir.Input) else "output_type"
    (port,) = ("input",) if isinstance(node, nir.Input) else ("output",)
    declared = getattr(node, types)
    if not isinstance(declared, Mapping) or port not in declared:
        raise ProgramError(f"node {name} ({type(node).__name__}): {types} is {declared}, expected a shape under {port!r}")
    shape = _of_kind(name, node, "shape", "ints", np.atleast_1d(declared[port]))
    node.input_type = {"input": shape}
    node.output_type = {"output": shape}


def _set_windows(name: str, node: Any) -> None:
    """Stride, padding and dilation as NIR writes them: one integer, or two."""
    axes = 1 if isinstance(node, nir.Conv1d) else 2
    for field in ("stride", "padding", "dilation"):
        value = getattr(node, field)
        if value.shape not in ((), (1,), (axes,)):
            raise ProgramError(f"node {name} ({type(node).__name__}): {field} is {value.tolist()}, expected {axes} integers")
        each = tuple(np.broadcast_to(value, (axes,)).tolist())
        setattr(node, field, each[0] if axes == 1 else each)
    if axes == 2 and node.input_shape is not None:
        node.input_shape = tuple(node.input_shape.ravel().tolist())


def _of_kind(name: str, node: nir.NIRNode, field: str, kind: str, value: Any) -> Any:
    try:
        return _KINDS[kind](value)
    except (TypeError, ValueError, OverflowError):
        found = (
            f"{type(value).__name__} {str(value)[:40]!r}" if not isinstance(value, np.ndarray) else f"of dtype {value.dtype}"
        )
        raise ProgramError(f"node {name} ({type(node).__name__}): {field} is {found}, expected {_EXPECTED[kind]}") from None


def _array(value: Any, kinds: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind == "u" and "i" in kinds:
        array = array.astype(np.int64, casting="safe") if array.dtype.itemsize < 8 else array
    if array.dtype.kind not in kinds or array.dtype.itemsize > 8:
        raise TypeError(array.dtype)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _ints(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return _array(array if array.size else array.astype(np.int64), "i").astype(np.int64, copy=False)


def _int(value: Any) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError("a truth value")
    return operator.index(value.item() if isinstance(value, np.ndarray) else value)


def _float(value: Any) -> float:
    return float(_array(value, "fi").reshape(()))


def _bool(value: Any) -> bool:
    return bool(_array(value, "b").reshape(()))


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return str(value)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError("one name")
    return tuple(_string(name) for name in value)


def _parameters(value: Any) -> dict[str, np.ndarray]:
    return {_string(key): _array(array, "fi") for key, array in dict(value).items()}


_KINDS: dict[str, Callable[[Any], Any]] = {
    "ints": _ints, "integers": lambda value: _array(value, "i"), "int": _int, "float": _float, "bool": _bool,
    "floats": lambda value: _array(value, "f"), "string": _string, "names": _names, "parameters": _parameters,
}  # fmt: skip
