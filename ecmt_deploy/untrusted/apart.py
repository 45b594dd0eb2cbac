"""Work on what comes from outside, in a process that can be ended.

A C library that meets damaged bytes may loop for ever or crash, and nothing within a process mends that: signals wait until it
comes back. So such work is done in a forked process with a limit of computing time and of memory, and what it finds out comes
back through a pipe, as bytes. Forked rather than started anew, as this takes milliseconds (Python with NumPy and h5py takes
0.15 s to start). It is safe beside threads as long as the work takes no lock that another thread may hold: h5py's own is
held over the fork (``h5py._objects``), the C library's are its own affair, and nothing else is called.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

#: computing time between two signs of life, memory beyond what the caller has, and silence while nothing computes
SECONDS, MEMORY_BYTES, SILENCE_SECONDS = 5, 1 << 30, 300
_ENDING = {signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
_HEAD = 9
_FOUND, _FAILED = b"+", b"-"
#: one thread forks at a time: libraries guard what they must not share, and refuse a second one meanwhile (filelock 4)
_forking = threading.Lock()


def _renew() -> None:
    global _forking
    _forking = threading.Lock()


if hasattr(os, "register_at_fork"):  # a child of somebody's fork must not inherit it locked
    os.register_at_fork(after_in_child=_renew)


class WorkError(Exception):
    """The work failed, and says why, or came to no end of its own."""


class Sender:
    """The side of the work."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def alive(self) -> None:
        """Say that work goes on: the time it may take begins anew."""
        signal.setitimer(signal.ITIMER_PROF, SECONDS)

    def send(self, content: bytes | memoryview, tag: bytes = _FOUND) -> None:
        """Hand bytes over."""
        self._out.write(tag + len(content).to_bytes(_HEAD - 1, "little"))
        self._out.write(content)
        self._out.flush()


class Receiver:
    """The side of the caller."""

    def __init__(self, pid: int, readable: int) -> None:
        self._pid, self._readable = pid, readable
        self._status: int | None = None
        self._poll = select.poll()
        self._poll.register(readable, select.POLLIN)

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

    def end(self) -> None:
        """End the process, if it has not ended, and leave nothing of it."""
        if not self._ended(os.WNOHANG):
            os.kill(self._pid, signal.SIGKILL)
            self._ended(0)

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
        silent = 0
        while view:
            if self._poll.poll(1000):
                got = os.readv(self._readable, [view])
                if not got:
                    raise WorkError(self._ending())
                view, silent = view[got:], 0
            # asked besides the pipe, whose other end a process that was forked meanwhile may hold too
            elif self._ended(os.WNOHANG) or (silent := silent + 1) > SILENCE_SECONDS:
                raise WorkError(self._ending())

    def _ended(self, options: int) -> bool:
        if self._pid:
            try:
                pid, status = os.waitpid(self._pid, options)
            except ChildProcessError:  # a program that reaps all its children has been faster
                pid, status = self._pid, 0
            if pid:
                self._pid, self._status = 0, status
        return not self._pid

    def _ending(self) -> str:
        """How the process ended; one that is silent is ended."""
        self.end()
        number = os.WTERMSIG(self._status) if self._status else 0
        if number == signal.SIGPROF:
            return f"reading it does not come to an end: {SECONDS} s of computing led nowhere"
        if number == signal.SIGKILL:
            return f"reading it was killed: out of memory, or nothing heard for {SILENCE_SECONDS} s"
        return f"reading it crashed ({signal.Signals(number).name})" if number else "reading it ended early"


@contextmanager
def apart(work: Callable[[Sender], None]) -> Iterator[Receiver]:
    """Do ``work`` in a process of its own, which ends with the block.

    Raises
    ------
    WorkError
        if no process can be made.
    """
    if not hasattr(os, "fork"):
        raise WorkError("this system cannot fork a process that reads it; use Linux or macOS")
    readable, writable = os.pipe()
    with open(readable, "rb", buffering=0), open(writable, "wb") as out:
        # a signal that came while Python forks would be answered in a callback of somebody's, and lost, or by the child
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            with _forking:
                pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise WorkError(f"no process that reads it can be started: {error.strerror}") from None
        if pid == 0:
            _do(work, Sender(out))
        receiver = Receiver(pid, readable)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            out.close()
            yield receiver
        finally:
            receiver.end()


def _do(work: Callable[[Sender], None], sender: Sender) -> NoReturn:
    """What the process does; nothing of the caller's runs in it, not even at its end."""
    try:
        try:
            faulthandler.disable()  # the caller says how it crashed
            gc.disable()  # what the caller left unreachable is the caller's to finalise
            for number in (*_ENDING, signal.SIGPROF):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            _limit()
            sender.alive()
            work(sender)
        except Exception as error:
            sender.send((str(error) or type(error).__name__).encode(errors="replace"), _FAILED)
    finally:
        os._exit(0)


def _limit() -> None:
    """Limit the memory, and let a crash leave no core file."""
    if sys.platform != "linux":  # elsewhere there is no such limit, or none that is kept
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    lowest = min([used + MEMORY_BYTES, *(limit for limit in limits if limit != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_AS, (lowest, limits[1]))
