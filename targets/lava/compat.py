"""lava-nc 0.10.0 on Python 3.11 and 3.12.

Its module ``lava.magma.compiler.var_model`` declares dataclass fields whose defaults are instances of other dataclasses.
Python 3.10 accepts them; since 3.11 a default must be hashable, and a dataclass with ``eq`` and without ``unsafe_hash`` is not.
The one obstacle is cleared by importing that module once while ``dataclasses.dataclass`` defaults to ``unsafe_hash=True``;
afterwards everything is as before. lava-nc is archived at 0.10.0, so there is no release to wait for.
"""

import dataclasses
import functools
import sys
from importlib import import_module


def import_var_model() -> None:
    """Import the one module of lava-nc that Python 3.11 and later refuse; does nothing on 3.10."""
    if sys.version_info < (3, 11):
        return
    original = dataclasses.dataclass
    dataclasses.dataclass = functools.partial(original, unsafe_hash=True)
    try:
        import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = original
