"""A worker and all its descendants, kept on a leash: whatever happens, none of them outlives the block that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_ASK_SECONDS, _KILL_SECONDS = 2.0, 10.0
#: Every process of the network is one thread of arithmetic; more would only fight over the cores. Memory that numpy frees
#: stays with the process, in one arena: given back and faulted in again at every step, pages cost more than the arithmetic.
_ENVIRONMENT = {
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")},
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 26),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 26),
}


class Session:
    """A process that leads a session of its own.

    Parameters
    ----------
    command : program and arguments
    cwd, log : its working directory, whose name its semaphores bear, and the file that takes its output
    """

    def __init__(self, command: list[str], cwd: Path, log: Path) -> None:
        self.directory = cwd
        with log.open("wb") as output:
            self.leader = subprocess.Popen(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **_ENVIRONMENT}, start_new_session=True,
            )  # fmt: skip

    def pids(self) -> list[int]:
        """Processes of the session that are alive, zombies left out."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError):  # it ended while we looked
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == self.leader.pid and fields[0] not in "ZX":
                        found.append(int(entry.name))
        return found

    def end(self) -> None:
        """Ask the leader to end, kill what is left of the session, and remove its semaphores."""
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            # asked, it ends between two steps of its own: not between making a semaphore and removing its name
            self.leader.send_signal(signal.SIGINT)
            self.leader.wait(_ASK_SECONDS)
        deadline = time.monotonic() + _KILL_SECONDS
        while (alive := self.pids()) and time.monotonic() < deadline:
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.leader.poll()
            time.sleep(0.02)
        self.leader.wait()
        for path in SHARED_MEMORY.glob(f"sem.{self.directory.name}*"):
            path.unlink(missing_ok=True)


def ending(code: int) -> str:
    """How a process ended, in words, from its exit code."""
    if code >= 0:
        return f"ended early with status {code}"
    name = signal.Signals(-code).name
    hint = {"SIGKILL": "; out of memory is the usual reason", "SIGBUS": "; shared memory or a disk is full"}.get(name, "")
    return f"was killed by {name}{hint}"


@contextmanager
def session(arguments: list[str], cwd: Path, log: Path) -> Iterator[Session]:
    """Run ``python ARGUMENTS`` as a session; it is ended, with all its descendants, when the block is left in any way."""
    started = Session([sys.executable, *arguments], cwd, log)
    try:
        yield started
    finally:
        with _undisturbed():
            started.end()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C waits until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
