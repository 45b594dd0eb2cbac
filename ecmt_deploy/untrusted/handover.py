"""How work in a process of its own hands over what it finds out: through a pipe, bytes after a mark and their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

from ecmt_deploy.untrusted.limits import limit_memory

_HEAD = 9
_FOUND, _FAILED = b"+", b"-"


class WorkError(Exception):
    """The work failed, and says why, or came to no end of its own."""


class Sender:
    """The side of the work."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def alive(self) -> None:
        """Say that work goes on: the time it may take begins anew."""
        raise NotImplementedError

    def send(self, content: bytes | memoryview, tag: bytes = _FOUND) -> None:
        """Hand bytes over."""
        self._out.write(tag + len(content).to_bytes(_HEAD - 1, "little"))
        self._out.write(content)
        self._out.flush()


Work = Callable[[Sender], None]


def do(work: Work, sender: Sender) -> None:
    """The work within its limits; where it fails, the caller hears why."""
    try:
        limit_memory()
        sender.alive()
        work(sender)
    except Exception as error:
        sender.send((str(error) or type(error).__name__).encode(errors="replace"), _FAILED)


class Process(Protocol):
    """The process that works, as its caller sees it."""

    def some(self, view: memoryview) -> int:
        """Fill the beginning of ``view`` with what has come, and say how much that is; 0 where nothing more will come."""
        ...

    def ending(self) -> str:
        """How it ended, in words; one that is silent is ended."""
        ...

    def end(self) -> None:
        """End it, if it has not ended, and leave nothing of it."""
        ...


class Receiver:
    """The side of the caller."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def take(self) -> bytearray:
        """What was sent at once.

        Raises
        ------
        WorkError
            why nothing more will come.
        """
        return self._read(self._head())

    def take_into(self, view: memoryview) -> None:
        """What was sent at once or in parts, into ``view``, which it fills. Errors as of :meth:`take`."""
        while view:
            size = self._head()
            if size > len(view):
                raise WorkError("more values than declared")
            self._fill(view[:size])
            view = view[size:]

    def _head(self) -> int:
        head = self._read(_HEAD)
        size = int.from_bytes(head[1:], "little")
        if head[:1] == _FOUND:
            return size
        raise WorkError(self._read(size).decode(errors="replace"))

    def _read(self, size: int) -> bytearray:
        content = bytearray(size)
        self._fill(memoryview(content))
        return content

    def _fill(self, view: memoryview) -> None:
        while view:
            got = self._process.some(view)
            if not got:
                raise WorkError(self._process.ending())
            view = view[got:]
