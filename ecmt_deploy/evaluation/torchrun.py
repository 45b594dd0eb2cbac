"""The processes that torchrun started, as one evaluation: they begin together, gather their scores once, and fail as one.

Torch is loaded when processes are connected, so that the command line can ask for its rank without.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from ecmt_deploy.errors import ConfigError, EcmtError, ElsewhereError, RunError

_T = TypeVar("_T")

#: How long a process waits for the slowest. One that dies is noticed at once, by its connection; this is for a machine that
#: vanishes, and must be longer than shards resumed from different points are apart.
PATIENCE = timedelta(days=1)
#: seconds for all processes to start
MEETING_S = 600
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Process:
    """A process among those of one evaluation; alone where torchrun did not start it, and then nothing is sent.

    Attributes
    ----------
    rank, size : it is number ``rank``, from 0, of ``size``; rank 0 prints and writes
    local : its number on its machine: which of the machine's GPUs is its own
    launched : whether torchrun started it
    """

    rank: int
    size: int
    local: int
    launched: bool

    def gather(self, value: _T) -> list[_T]:
        """The values of all processes, by rank, on each of them; sent by gloo, over the CPU, whatever the device."""
        if not self.launched:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        with _reaching_others(self.rank):
            dist.all_gather_object(values, value)
        return values

    def together(self, prepare: Callable[[], _T]) -> _T:
        """Do what may fail on any process; all go on, or none does and the first that failed says why.

        Raises
        ------
        EcmtError
            what ``prepare`` raised, on the first process on which it did; :class:`ElsewhereError` on the others.
        """
        try:
            made = prepare()
        except EcmtError:
            if self.gather(True).index(True) == self.rank:
                raise
            raise ElsewhereError("another process says why") from None
        if any(self.gather(False)):
            raise ElsewhereError("another process says why")
        return made


def this_process() -> Process:
    """Rank and size as torchrun says them in the environment; alone, unless that holds all that torchrun sets.

    Raises
    ------
    ConfigError
        if it holds something else than torchrun sets.
    """
    if not all(name in os.environ for name in (*_NUMBERS, *_ADDRESS)):
        return Process(0, 1, 0, launched=False)
    try:
        rank, size, local = (int(os.environ[name]) for name in _NUMBERS)
    except ValueError:
        said = ", ".join(f"{name}={os.environ[name]!r}" for name in _NUMBERS)
        raise ConfigError(f"the environment says {said}, expected numbers as torchrun sets them; unset them") from None
    if not (0 <= rank < size and local >= 0):
        raise ConfigError(f"the environment says RANK={rank} of WORLD_SIZE={size}; start with torchrun, or unset them")
    return Process(rank, size, local, launched=True)


def refuse(message: str) -> NoReturn:
    """Fail with what every process finds wrong by itself; rank 0 says it."""
    raise ConfigError(message) if this_process().rank == 0 else ElsewhereError(message)


@contextmanager
def process_group() -> Iterator[Process]:
    """This process, connected to the others of torchrun, if any; disconnected on the way out, whatever happened."""
    this = this_process()
    if not this.launched:
        yield this
        return
    import torch.distributed as dist

    with _reaching_others(this.rank):
        store, rank, size = next(dist.rendezvous("env://"))
        dist.init_process_group("gloo", store=fresh_store(store, rank, size), rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield this
    finally:
        dist.destroy_process_group()


def fresh_store(store: Any, rank: int, size: int) -> Any:
    """A view of torchrun's store that holds nothing of processes that it has restarted since.

    It keeps its store over restarts, and a process that reads a dead one's address there cannot begin
    (https://github.com/pytorch/pytorch/issues/135712). So rank 0 makes a name for this start, and gives it to those that
    answer now: what they ask under is as new.

    Raises
    ------
    RuntimeError
        if not all processes start within :data:`MEETING_S`.
    """
    import torch.distributed as dist

    mine, deadline = uuid.uuid4().hex, time.monotonic() + MEETING_S

    def wait(until: Callable[[], bool]) -> None:
        while not until():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all {size} processes have started within {MEETING_S} s")
            time.sleep(0.02)

    if rank != 0:
        store.set(f"hello/{rank}", mine)
        wait(lambda: store.check([f"welcome/{mine}"]))
        start = store.get(f"welcome/{mine}").decode()
        store.set(f"{start}/{rank}", "")
        return dist.PrefixStore(start, store)

    def answered(other: int) -> bool:
        if store.check([f"hello/{other}"]):
            store.set(f"welcome/{store.get(f'hello/{other}').decode()}", mine)
        return bool(store.check([f"{mine}/{other}"]))

    wait(lambda: all(answered(other) for other in range(1, size)))
    return dist.PrefixStore(mine, store)


@contextmanager
def _reaching_others(rank: int) -> Iterator[None]:
    """One line, from one process, where the connection to another breaks."""
    try:
        yield
    except RuntimeError as error:  # the base of torch.distributed's errors, and what gloo raises
        if rank != 0:
            raise ElsewhereError("another process of the evaluation cannot be reached") from None
        reason = re.sub(r"\[/\S*\] ", "", next(iter(str(error).splitlines()), "no reason given"))  # lines of C++ files
        raise RunError(
            f"another process of the evaluation has stopped or cannot be reached ({reason[:120]}); start again, "
            "with --checkpoint it goes on where it stopped"
        ) from None
