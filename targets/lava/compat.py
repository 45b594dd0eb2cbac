"""What lava-nc 0.10.0 needs cleared before it can be imported. It is archived, so there is no release to wait for.

Two obstacles, both in modules that run code when they are imported:

* ``lava.magma.compiler.var_model`` declares dataclass fields whose defaults are instances of other dataclasses. Python 3.10
  accepts them; since 3.11 a default must be hashable, and a dataclass with ``eq`` and without ``unsafe_hash`` is not.
  Importing the module once while ``dataclasses.dataclass`` defaults to ``unsafe_hash=True`` clears it; afterwards everything
  is as before.
* ``lava.magma.runtime.message_infrastructure`` sets the start method of ``multiprocessing`` to fork, which fails in a program
  that has used ``multiprocessing`` before, although fork is what it then has.
"""

import dataclasses
import functools
import multiprocessing
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from ecmt_deploy.errors import TargetError


def missing() -> str | None:
    """How to install lava-nc and what it needs, in a sentence, where they are not; ``None`` where they are."""
    how = "pip install 'ecmt-deploy[lava]'"
    if int(np.__version__.partition(".")[0]) > 1:
        return f"target lava needs numpy 1, with numpy {np.__version__} some of its processes hang; install it: {how}"
    try:
        version("lava-nc")
        return None
    except PackageNotFoundError:
        pass  # an import would not tell: folders that an uninstalled package leaves behind can be imported
    if sys.version_info >= (3, 11):
        how += " && pip install --no-deps --ignore-requires-python lava-nc==0.10.0"
    return f"target lava needs lava-nc, which is not installed; install it: {how}"


def prepare() -> None:
    """Make lava-nc importable in this process, whether or not somebody has imported, or failed to import, some of it before.

    Raises
    ------
    TargetError
        lava-nc is not installed, or the program has chosen a start method of ``multiprocessing`` other than fork, the only
        one Lava runs with.
    """
    if absent := missing():
        raise TargetError(absent)
    if "lava.magma.runtime.message_infrastructure.multiprocessing" not in sys.modules:
        _free_start_method()
    if sys.version_info >= (3, 11):
        _import_var_model()


def _free_start_method() -> None:
    method = multiprocessing.get_start_method(allow_none=True)
    if method not in (None, "fork"):
        raise TargetError(
            f"Lava runs its processes by fork, and this program has set multiprocessing's start method to {method!r}; "
            "leave the method unset, or import ecmt_deploy.targets.lava.processes in a process of its own"
        )
    multiprocessing.set_start_method(None, force=True)  # Lava sets it to fork again


def _import_var_model() -> None:
    original = dataclasses.dataclass
    dataclasses.dataclass = functools.partial(original, unsafe_hash=True)
    try:
        import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = original
