"""Files that are made once for all processes of a test session (pytest-xdist starts several)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

#: the environment's variable that names the folder of a session; tests/conftest.py makes and removes it
FOLDER = "ECMT_TESTS_KEPT"


@cache
def _folder() -> Path:
    return Path(os.environ.get(FOLDER) or mkdtemp(prefix="ecmt_tests_"))


def kept(name: str, make: Callable[[Path], object]) -> Path:
    """The file of this name, made where no process of the session has made it yet. It is everybody's: copy it to change it."""
    path = _folder() / name
    with (_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make(path)
    return path
