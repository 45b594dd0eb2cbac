"""What a network needs of the machine, and whether the machine has it: asked before anything is built."""

from __future__ import annotations

import os
from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np

from ecmt_deploy.errors import TargetError, plural
from ecmt_deploy.program import Program
from ecmt_deploy.program.graph import parameters

from .groups import Group, groups, message_dtype, message_shape
from .session import SHARED_MEMORY

#: a channel has two semaphores, and a process has two channels to the runtime service and one queue with three semaphores
_SEMAPHORES_PER_CHANNEL, _SEMAPHORES_PER_PROCESS = 2, 7
#: what an idle process keeps for itself, at least: pages that Python's reference counts make its own
_IDLE_BYTES = 2 << 20
#: multiply-accumulates a second that a busy machine manages at least, in one thread
_SLOWEST_MACS = 5e6


def require_room(program: Program, groups: Iterable[Group], dtype: np.dtype) -> None:
    """Refuse a network that cannot fit.

    Raises
    ------
    TargetError
        with what is needed, what there is, and how to mend it. The memory needed is a lower bound.
    """
    groups = list(groups)
    channels = sum(len(group.ports) for group in groups)
    page = os.sysconf("SC_PAGE_SIZE")
    files = page * (channels * _SEMAPHORES_PER_CHANNEL + (len(groups) + 1) * _SEMAPHORES_PER_PROCESS)
    status = os.statvfs(SHARED_MEMORY)
    free = status.f_bavail * status.f_frsize
    if free < files:
        raise TargetError(
            f"target lava: {plural(len(groups), 'process')} need {_mb(files)} of {SHARED_MEMORY} for semaphores, {_mb(free)}"
            f" are free; remove files there or mount it larger (mount -o remount,size=64m {SHARED_MEMORY}; docker --shm-size)"
        )
    needed, available = memory(program, groups, dtype), available_memory()
    if available is not None and available < needed:
        raise TargetError(
            f"target lava: the network needs at least {_mb(needed)} of memory, {_mb(available)} are available; "
            "free some, use dtype float32, or --target reference"
        )


def memory(program: Program, groups: Iterable[Group], dtype: np.dtype) -> int:
    """Lower bound of the memory of a network, in bytes: channels, what nodes hold in the dtype of the run, idle processes."""
    total = 0
    for group in groups:
        for port in group.ports:
            shape = message_shape(program.shapes[port], program.nodes[port].emits == "spikes", dtype)
            total += prod(shape) * message_dtype(dtype).itemsize
        held = sum(array.size for member in group.members for array in parameters(member.node))
        total += held * np.dtype(dtype).itemsize + _IDLE_BYTES
    return total


def patience(program: Program, seconds: float) -> float:
    """How long the network may be without any process finishing a step: ``seconds``, and time for its largest process."""
    largest = max(sum(_terms(program, member.name) for member in group.members) for group in groups(program).values())
    return seconds + largest / _SLOWEST_MACS


def _terms(program: Program, name: str) -> int:
    """What a node computes in a step: multiply-accumulates, or the elements that it takes and gives."""
    moved = prod(program.shapes[name]) + sum(prod(program.shapes[source]) for source in program.operands[name])
    return max(program.work(name).dense_macs, moved)


def available_memory() -> int | None:
    """Bytes of memory that a new process can have; ``None`` where the system does not say."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _mb(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"
