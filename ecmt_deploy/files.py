"""Files appear whole or not at all; what is read from outside is what it says it is, or an error in one line."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
import numpy as np

from ecmt_deploy.errors import RunError, reading
from ecmt_deploy.text import require_plain

_T = TypeVar("_T")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the place of ``path`` when the block ends well, else it vanishes.

    Raises
    ------
    RunError
        if the directory does not exist or cannot be written to.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}; choose a directory that exists and is writable") from None
    temporary = Path(name)
    try:
        os.fchmod(handle, 0o666 & ~_umask())
        os.close(handle)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        try:
            temporary.replace(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a whole file or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def read_json(path: Path, kind: type[_T], mend: str) -> _T:
    """What a JSON file holds, strictly decoded, its text without control characters.

    Raises
    ------
    RunError
        if it is missing, malformed or of another kind; ``mend`` ends the line.
    """
    if not path.is_file():  # a pipe would be waited for
        raise RunError(f"{path}: no such file; {mend}")
    with reading(RunError, f"{path}: not readable", mend):
        found = msgspec.json.decode(path.read_bytes(), type=kind)
    require_plain(found, str(path), RunError)
    return found


def read_npy(stream: BinaryIO, size: int) -> np.ndarray:
    """An array in NumPy's format, in native byte order, of a stream of ``size`` bytes; nothing is allocated that is not there.

    Raises
    ------
    ValueError
        if it holds objects, or another number of bytes than it declares; and whatever NumPy raises.
    """
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are refused")
    declared, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if declared != there:
        raise ValueError(f"it declares shape {shape} {dtype} = {declared} bytes, but {there} are there")
    array = np.frombuffer(stream.read(declared), dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def sha256(path: Path) -> str:
    """Digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_directory(path: Path) -> None:
    """Fail before long work where its result could not be written."""
    if path.is_dir():
        raise RunError(f"{path}: is a directory, expected the name of a file to write")
    if not path.absolute().parent.is_dir():
        raise RunError(f"{path}: its directory does not exist; create {path.absolute().parent} first")
