"""A process that is started anew, where a system cannot fork one: the same work, after Python's own start.

What is to be done reaches it pickled, through its standard input, and must therefore be a function of a module, or a
:func:`functools.partial` of one. ``multiprocessing`` does not serve: it runs the caller's script again, which then needs a
guard against that, and a daemonic process of its own may not use it.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedReader, BufferedWriter
from typing import NoReturn, cast

from ecmt_deploy.untrusted import limits
from ecmt_deploy.untrusted.handover import Process, Sender, Work, WorkError, do

#: what it runs; nothing of the working directory, which Python puts first, unless the caller looks there too
START = (
    "import sys; del sys.path[0]; import pickle; sys.path[:] = pickle.load(sys.stdin.buffer); pickle.load(sys.stdin.buffer)()"
)


class _Sender(Sender):
    """Its time is that of a clock, kept by a thread that needs no turn of Python's; whoever takes its time to read is waited
    for."""

    def alive(self) -> None:
        faulthandler.dump_traceback_later(limits.WAITING_SECONDS, exit=True)

    def send(self, content: bytes | memoryview, *tag: bytes) -> None:
        faulthandler.cancel_dump_traceback_later()
        super().send(content, *tag)
        self.alive()


class _Started:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def some(self, view: memoryview) -> int:
        return cast(BufferedReader, self._process.stdout).readinto1(view)

    def ending(self) -> str:
        _, said = self._process.communicate()
        status, lines = self._process.returncode, said.decode(errors="replace").splitlines() or [""]
        if lines[0].startswith("Timeout ("):  # of faulthandler
            return f"reading it does not come to an end: {limits.WAITING_SECONDS} s led nowhere"
        if status < 0:
            return f"reading it crashed ({signal.Signals(-status).name})"
        if status > 1:  # Windows says of a crash what went wrong
            return f"reading it crashed (status {status:#x})"
        return "reading it ended early" + f": {lines[-1]}" * (status == 1)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def started(work: Work) -> Iterator[Process]:
    """A process that works, and ends with the block.

    Raises
    ------
    WorkError
        if no process can be made.
    """
    pipe, no_window = subprocess.PIPE, getattr(subprocess, "CREATE_NO_WINDOW", 0)
    begin = partial(_begin, work, limits.WAITING_SECONDS)
    try:
        process = subprocess.Popen([sys.executable, "-c", START], stdin=pipe, stdout=pipe, stderr=pipe, creationflags=no_window)
    except OSError as error:
        raise WorkError(f"no process that reads it can be started: {error.strerror}") from None
    found = _Started(process)
    try:
        with suppress(OSError), cast(BufferedWriter, process.stdin) as told:  # one that has ended says why
            told.write(pickle.dumps(sys.path) + pickle.dumps(begin))
        process.stdin = None
        yield found
    finally:
        found.end()


def _begin(work: Work, seconds: float) -> NoReturn:
    """What the process does."""
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # nothing else is written where the caller reads
    limits.WAITING_SECONDS = seconds
    try:
        do(work, _Sender(out))
    finally:
        os._exit(0)
