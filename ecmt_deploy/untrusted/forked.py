"""A process that is forked: it has all that the caller has, within milliseconds.

It is safe beside threads as long as the work takes no lock that another thread may hold: h5py's own is held over the fork
(``h5py._objects``), the C library's are its own affair, and nothing else is called.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from ecmt_deploy.untrusted import limits
from ecmt_deploy.untrusted.handover import Process, Sender, Work, WorkError, do

_ENDING = {signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
#: one thread forks at a time: libraries guard what they must not share, and refuse a second one meanwhile (filelock 4)
_forking = threading.Lock()


def _renew() -> None:
    global _forking
    _forking = threading.Lock()


if hasattr(os, "register_at_fork"):  # a child of somebody's fork must not inherit it locked
    os.register_at_fork(after_in_child=_renew)


class _Sender(Sender):
    def alive(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, limits.SECONDS)


class _Forked:
    def __init__(self, pid: int, readable: int) -> None:
        self._pid, self._readable = pid, readable
        self._status: int | None = None
        self._poll = select.poll()
        self._poll.register(readable, select.POLLIN)

    def some(self, view: memoryview) -> int:
        silent = 0
        while not self._poll.poll(1000):
            # asked besides the pipe, whose other end a process that was forked meanwhile may hold too
            if self._ended(os.WNOHANG) or (silent := silent + 1) > limits.SILENCE_SECONDS:
                return 0
        return os.readv(self._readable, [view])

    def ending(self) -> str:
        self.end()
        number = os.WTERMSIG(self._status) if self._status else 0
        if number == signal.SIGPROF:
            return f"reading it does not come to an end: {limits.SECONDS} s of computing led nowhere"
        if number == signal.SIGKILL:
            return f"reading it was killed: out of memory, or nothing heard for {limits.SILENCE_SECONDS} s"
        return f"reading it crashed ({signal.Signals(number).name})" if number else "reading it ended early"

    def end(self) -> None:
        if not self._ended(os.WNOHANG):
            os.kill(self._pid, signal.SIGKILL)
            self._ended(0)

    def _ended(self, options: int) -> bool:
        if self._pid:
            try:
                pid, status = os.waitpid(self._pid, options)
            except ChildProcessError:  # a program that reaps all its children has been faster
                pid, status = self._pid, 0
            if pid:
                self._pid, self._status = 0, status
        return not self._pid


@contextmanager
def forked(work: Work) -> Iterator[Process]:
    """A process that works, and ends with the block.

    Raises
    ------
    WorkError
        if no process can be made.
    """
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
            _do(work, _Sender(out))
        process = _Forked(pid, readable)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            out.close()
            yield process
        finally:
            process.end()


def _do(work: Work, sender: Sender) -> NoReturn:
    """What the process does; nothing of the caller's runs in it, not even at its end."""
    try:
        faulthandler.disable()  # the caller says how it crashed
        gc.disable()  # what the caller left unreachable is the caller's to finalise
        for number in (*_ENDING, signal.SIGPROF):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        do(work, sender)
    finally:
        os._exit(0)
