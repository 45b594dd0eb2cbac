"""A worker and all its descendants, kept on a leash: whatever happens, none of them outlives the block that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHARED_MEMORY = "/dev/shm/"
_REAP_SECONDS = 5.0


class Session:
    """A process that leads a session of its own.

    Parameters
    ----------
    command : program and arguments
    cwd, log : its working directory, and the file that takes its output
    """

    def __init__(self, command: list[str], cwd: Path, log: Path) -> None:
        self.segments: set[str] = set()
        # every process of the network is one thread of arithmetic; more would only fight over the cores
        single = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        with log.open("wb") as output:
            self.leader = subprocess.Popen(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **single}, start_new_session=True,
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

    def note_shared_memory(self) -> None:
        """Remember the shared memory segments that the session has mapped."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                    _, found, name = line.partition(_SHARED_MEMORY)
                    if found:
                        self.segments.add(name.removesuffix(" (deleted)"))

    def end(self) -> None:
        """Kill what is left of the session, wait for it, and remove its shared memory."""
        self.note_shared_memory()
        deadline = time.monotonic() + _REAP_SECONDS
        while (alive := self.pids()) and time.monotonic() < deadline:
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.leader.poll()
            time.sleep(0.02)
        self.leader.wait()
        for name in self.segments:
            (Path(_SHARED_MEMORY) / name).unlink(missing_ok=True)


@contextmanager
def session(arguments: list[str], cwd: Path, log: Path) -> Iterator[Session]:
    """Run ``python ARGUMENTS`` as a session; it is ended, with all its descendants, when the block is left in any way."""
    started = Session([sys.executable, *arguments], cwd, log)
    try:
        yield started
    finally:
        started.end()
