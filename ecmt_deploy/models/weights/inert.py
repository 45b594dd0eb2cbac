"""Stand-ins for what a pickle asks for besides tensors: nothing of it is imported or called.

torch's restricted reader looks every global of a pickle up in its own list of tensor functions, and then among the classes that
it is handed. It is handed these, each under the name of a global in the file.
"""

from __future__ import annotations

import pickle
import pickletools
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np
import torch

#: modules of the standard library whose objects are plain data
_DATA = {
    "_codecs", "argparse", "collections", "datetime", "decimal", "enum", "fractions", "functools", "pathlib", "random", "types",
    "uuid",
}  # fmt: skip
_BUILTINS = {
    "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int", "list", "object", "range", "set",
    "slice", "str", "tuple",
}  # fmt: skip


class _Mapping:
    """An object of any class: an empty mapping, which takes items, and attributes as they were saved."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return OrderedDict()  # the one class besides dict whose items and attributes torch's reader sets


class _Nothing:
    """An object whose state is anything but attributes."""

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _Attribute:
    """``builtins.getattr``: how a pickle names a member of an enum (always so in early releases of Python 3.11), or a class
    inside another.

    Nothing is looked up: an attribute of a stand-in is that stand-in, and whoever calls it gets an empty mapping. Only the
    stand-ins of classes from outside the standard library have attributes: a checkpoint needs no others, and an attack does.
    """

    def __new__(cls, *args: Any) -> Any:
        match args:
            case type() as owner, str() if issubclass(owner, _Mapping) and not _is_standard(owner.__module__):
                return owner
        raise pickle.UnpicklingError("builtins.getattr of something else than a class of the training script's")


class _Dtype:
    """``numpy.dtype``."""

    def __init__(self, code: Any, *args: Any) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])


class Array:
    """``numpy.ndarray`` in any release of NumPy, from its bytes."""

    def __init__(self, *args: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)[1:]

    def tensor(self) -> torch.Tensor | None:
        """The numbers; ``None`` where they are none that torch has."""
        shape, dtype, fortran, content = self.state
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes) or dtype.code[:1] not in "biuf":
            return None
        array = np.frombuffer(content, np.dtype(dtype.order + dtype.code))
        array = array.reshape(tuple(shape), order="F" if fortran else "C")
        try:
            return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))
        except TypeError:  # 128 bits
            return None


class _Scalar(Array):
    """A number of NumPy's."""

    def __init__(self, dtype: Any, content: Any = None) -> None:
        self.state = ((), dtype, False, content)


_KNOWN: dict[str, type] = {
    "builtins.getattr": _Attribute,
    "functools.partial": _Nothing,
    "random.Random": _Nothing,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": Array,
    "numpy.core.multiarray.scalar": _Scalar,
}


def globals_in(file: IO[bytes], pickles: int) -> Iterator[tuple[str, str]]:
    """Module and name of every global that so many pickles, one behind the other, ask for; nothing is loaded.

    Names are today's: the pickles that torch writes have those of Python 2.
    """
    for _ in range(pickles):
        for opcode, argument, _position in pickletools.genops(file):
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                yield NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)


def is_code(module: str, name: str) -> bool:
    """Whether a global is of the standard library and no plain data: what an attack needs, and no checkpoint does."""
    package = module.partition(".")[0]
    if package == "builtins":
        return name not in _BUILTINS
    return _is_standard(module) and package not in _DATA


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def stand_in(module: str, name: str) -> Callable[..., Any]:
    """The class that takes the place of a global."""
    known = f"{module}.{name}".replace("numpy._core.", "numpy.core.")  # its name in releases before 2.0
    return type(name, (_KNOWN.get(known, _Mapping),), {"__module__": module, "__qualname__": name})
