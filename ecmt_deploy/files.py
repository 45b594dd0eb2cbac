"""Files appear whole or not at all; what is read from outside is what it says it is, or an error in one line."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from ecmt_deploy.errors import ConfigError, RunError, reading
from ecmt_deploy.untrusted.text import require_plain

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
        os.close(handle)
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        try:
            temporary.replace(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield a new directory beside ``path``; it takes the place of ``path`` when the block ends well, else it vanishes.

    Raises
    ------
    RunError
        if the directory cannot be written; what was there stays.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as folder:
            made, replaced = Path(folder) / "made", Path(folder) / "replaced"
            made.mkdir()
            yield made
            for entry in made.iterdir():
                with entry.open("rb+") as file:
                    os.fsync(file.fileno())
            if path.exists():
                path.rename(replaced)
            try:
                made.rename(path)
            except OSError:
                if replaced.exists():
                    replaced.rename(path)
                raise
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}; choose another --out") from None


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


def read_measured(path: Path, kind: type[_T], verb: str, impossible: Callable[[_T], str | None]) -> _T:
    """What ``verb --out`` wrote, if it says what can have been measured; ``impossible`` says why it cannot.

    Raises
    ------
    RunError
        if it is missing or malformed, or nothing can have measured it.
    """
    read = read_json(path, kind, f"`ecmt-deploy {verb} P.nir --data DATA --out {path}` makes one")
    if wrong := impossible(read):
        raise RunError(f"{path}: {wrong}; {verb} again")
    return read


def sha256(path: Path) -> str:
    """Digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_parent(path: Path) -> None:
    """Fail before long work where nothing could be written to ``path``, for the sake of its directory."""
    parent = path.absolute().parent
    if not parent.is_dir():
        raise RunError(f"{path}: its directory does not exist; create {parent} first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"{path}: {parent} cannot be written to; choose another --out")


def require_out(path: Path, *suffixes: str, reads: Iterable[Path] = ()) -> str:
    """Fail before any work where a result could not be written: the one rule for every ``--out FILE``.

    Parameters
    ----------
    path : the file that takes the result
    suffixes : of the kinds of file that the verb writes, such as ``.json``
    reads : files that the verb reads, which the result must not replace

    Returns
    -------
    the suffix of ``path``, in lower case

    Raises
    ------
    ConfigError
        if the suffix is none of these, or ``path`` is read.
    RunError
        if the path is a directory, or its own directory does not exist or cannot be written to.
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        found = f"unknown kind of file {path.suffix!r}" if suffix else "a name without a suffix"
        raise ConfigError(f"{path}: {found}; name it {' or '.join(suffixes)}")
    if path.is_dir():
        raise RunError(f"{path}: is a directory, expected the name of a file to write")
    require_parent(path)
    if path.exists() and any(other.exists() and path.samefile(other) for other in reads):
        raise ConfigError(f"{path}: is read, and would be replaced by the result; choose another --out")
    return suffix
