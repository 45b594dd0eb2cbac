"""What is changed in Lava's CPU backend for networks of hundreds of processes, and so that all of them end together.

- Channels are anonymous shared memory, inherited by the forked processes: no name in the file system that could be left
  behind, and no limit
  but memory itself. (Lava's own are files in ``/dev/shm``.)
- Python keeps a list of every semaphore and queue and, in every child, calls each of them after the fork. None of Lava's
  needs it, and with
  hundreds of processes and thousands of channels that list was most of the time a network took to build.
- The models of a group are known; Lava would execute every file beside a process, once per process, to look for them.
- A child that ends early ends the worker, with a reason; a worker that ends takes its children along.
"""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
import os
import shutil
import signal
import time
from multiprocessing import util
from types import FrameType
from typing import Any

from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs
from lava.magma.runtime.message_infrastructure import multiprocessing as lava_multiprocessing
from lava.magma.runtime.message_infrastructure.factory import MessageInfrastructureFactory

from ..job import Job
from ..session import ending
from .channels import Channel
from .process import GroupProcess

_PR_SET_PDEATHSIG = 1
_ORPHAN_SECONDS = 1.0


class Segment:
    """Memory that this process and its future children share."""

    def __init__(self, size: int) -> None:
        self.buf = memoryview(mmap.mmap(-1, max(size, 1)))

    def close(self) -> None:
        """Nothing: it vanishes with the last process that maps it."""


class Memory:
    """Stands in for Lava's manager of shared memory."""

    def start(self) -> None:
        """Nothing to start."""

    def shutdown(self) -> None:
        """Nothing to stop."""

    def create_shared_memory(self, size: int) -> Segment:
        """A new segment of ``size`` bytes."""
        return Segment(size)


class Infrastructure(lava_multiprocessing.MultiProcessing):
    """Lava's processes and channels, with a watch over the processes."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job, self.leader = job, os.getpid()
        self.names: dict[Any, str] = {}
        signal.signal(signal.SIGCHLD, self._a_child_ended)

    def start(self) -> None:
        """Ready at once."""
        self._smm = Memory()

    def channel_class(self, channel_type: Any) -> type[Channel]:
        """Channels without threads."""
        return Channel

    def build_actor(self, target_fn: Any, builder: Any, exception_q: Any = None) -> Any:
        """Fork a process, remember which node it runs, and notice if it is already gone."""
        util._afterfork_registry.clear()  # type: ignore[attr-defined]
        actor = super().build_actor(target_fn, builder, exception_q)
        parameters = getattr(builder, "proc_params", None)
        self.names[actor] = f"the process of node {parameters['group'].name}" if parameters else "Lava's runtime service"
        self._a_child_ended()
        return actor

    def _a_child_ended(self, number: int = signal.SIGCHLD, frame: FrameType | None = None) -> None:
        if os.getpid() != self.leader:
            return
        for actor, name in self.names.items():
            if actor.exitcode is not None:
                self.job.fail(name, ending(actor.exitcode))
                os._exit(1)


def install(job: Job) -> None:
    """Run Lava with this infrastructure, once, in the worker; tie the worker to its host and its children to the worker."""
    libc, leader = ctypes.CDLL(None, use_errno=True), os.getpid()

    def orphaned(number: int, frame: FrameType | None) -> None:
        # a host of several threads ends thread by thread: the first tells us, and the last makes us an orphan
        patience = time.monotonic() + _ORPHAN_SECONDS
        while os.getppid() == job.host and time.monotonic() < patience:
            time.sleep(0.01)
        if os.getppid() != job.host:  # nobody is left to clean up
            shutil.rmtree(job.directory, ignore_errors=True)
        os._exit(128 + signal.SIGTERM)

    def bind() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if os.getppid() != leader:
            os._exit(1)

    signal.signal(signal.SIGTERM, orphaned)
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))  # the host asks us to end
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != job.host:
        orphaned(signal.SIGTERM, None)
    os.register_at_fork(after_in_child=bind)
    multiprocessing.current_process()._config["semprefix"] = f"/{job.directory.name}"  # type: ignore[attr-defined]
    MessageInfrastructureFactory.create = staticmethod(lambda kind: Infrastructure(job))
    search = ProcGroupDiGraphs._find_proc_models

    def find(proc: Any) -> list[Any]:
        return [proc.model] if isinstance(proc, GroupProcess) else search(proc)

    ProcGroupDiGraphs._find_proc_models = staticmethod(find)
