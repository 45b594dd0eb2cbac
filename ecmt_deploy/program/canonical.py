"""One form for every node: fields of the declared kinds, axes counted from the front, numbers that are numbers.

Whoever makes a node may write an axis as -1, a list for an array, an int for a 0-dimensional one, or use a node of NIR's own.
Readers never see that: verification brings nodes to this form first, so that no two engines can read one node differently.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np

from ecmt_deploy.errors import ProgramError, shown
from ecmt_deploy.program import ops

#: what a field of each kind is expected to be, in words
_EXPECTED = {
    "ints": "an array of integers", "integers": "an array of integers", "int": "an integer", "float": "a number",
    "bool": "True or False", "floats": "an array of floating point numbers of 16, 32 or 64 bits", "string": "a string",
    "names": "names of nodes", "parameters": "numbers and arrays of numbers by name",
}  # fmt: skip


def require_for(name: str, node: nir.NIRNode) -> Callable[[bool, str, object, str], None]:
    """What refuses a field of a node, in one line."""

    def require(condition: bool, field: str, found: object, expected: str) -> None:
        if not condition:
            raise ProgramError(f"node {name} ({type(node).__name__}): {field} is {shown(found)}, expected {expected}")

    return require


def canonical(name: str, node: nir.NIRNode) -> ops.Op:
    """A copy of ``node`` as an op of the dialect, its fields of their declared kinds; the caller's node stays as it is.

    Raises
    ------
    ProgramError
        if it is no node of the dialect, or a field is of another kind.
    """
    cls = ops.STANDARD.get(type(node)) or type(node)
    if ops.OPS.get(cls.__name__) is not cls:
        known = ", ".join(sorted(ops.OPS))
        raise ProgramError(f"node {name}: unknown type {type(node).__name__}, expected one of {known}")
    made: Any = object.__new__(cls)
    made.__dict__.update({"format": None, **vars(node)})
    if made.format is not None and not isinstance(made.format, made.format_type or ()):
        expected = "none" if made.format_type is None else f"a {made.format_type.__name__}"
        raise ProgramError(f"node {name} ({made.kind}): format is {type(made.format).__name__}, expected {expected}")
    for field, kind in made.fields.items():
        if field == "shape" and made.role in ("input", "output"):
            _set_end(name, made)
            continue
        value = getattr(node, field, made.defaults.get(field))
        if field == "input_shape" and value is None:
            continue  # follows from the operand
        setattr(made, field, _of_kind(name, made, field, _kind(kind, made.format), value))
    if made.format is not None:
        made.format = copy.copy(made.format)
        for field, kind in type(made.format).fields.items():
            setattr(made.format, field, _of_kind(name, made, field, kind, getattr(made.format, field)))
    made.settle(require_for(name, made))
    return made


def _kind(kind: str, format: ops.NumberFormat | None) -> str:
    return "integers" if kind == "floats" and format is not None else kind


def _set_end(name: str, node: Any) -> None:
    """The shape of a sample or a readout: non-negative integers."""
    port = "input" if node.role == "input" else "output"
    declared = getattr(node, f"{port}_type")
    if not isinstance(declared, Mapping) or port not in declared:
        raise ProgramError(f"node {name} ({node.kind}): {port}_type is {declared}, expected a shape under {port!r}")
    shape = _of_kind(name, node, "shape", "ints", np.atleast_1d(declared[port]))
    node.input_type = {"input": shape}
    node.output_type = {"output": shape}


def _of_kind(name: str, node: ops.Op, field: str, kind: str, value: Any) -> Any:
    try:
        return _KINDS[kind](value)
    except (TypeError, ValueError, OverflowError):
        found = (
            f"{type(value).__name__} {str(value)[:40]!r}" if not isinstance(value, np.ndarray) else f"of dtype {value.dtype}"
        )
        raise ProgramError(f"node {name} ({node.kind}): {field} is {found}, expected {_EXPECTED[kind]}") from None


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
