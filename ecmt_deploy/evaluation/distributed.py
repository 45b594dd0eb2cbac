"""Several processes that evaluate together: they begin as one, add their totals once, and fail as one."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ecmt_deploy.errors import ConfigError, EcmtError, ElsewhereError, RunError
from ecmt_deploy.evaluation.ranks import Place, place
from ecmt_deploy.evaluation.totals import Totals

_T = TypeVar("_T")

#: How long a process waits for the slowest. One that dies is noticed at once, by its connection; this is for a machine that
#: vanishes, and must be longer than shards resumed from different points are apart.
PATIENCE = timedelta(days=1)
#: seconds for all processes to start
MEETING_S = 600


class Group:
    """The processes of one evaluation; a single one where torchrun did not start it, and then nothing is sent.

    Agreement is on the CPU (gloo) whatever the device. The totals are added on the device: by nccl on GPUs, else by gloo.
    """

    def __init__(self, place: Place) -> None:
        self.rank, self.size = place.rank, place.size
        self._place = place
        self._device = torch.device("cpu")
        self._adding: Any = None

    def gather(self, value: _T) -> list[_T]:
        """The values of all processes, by rank, on each of them."""
        if not self._place.launched:
            return [value]
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

    def use(self, device: torch.device) -> None:
        """Add totals on this device; tried at once, so that a network that does not carry it fails before the work."""
        self._device = device
        if not self._place.launched:
            return
        with _reaching_others(self.rank):
            self._adding = dist.new_group(backend="nccl") if device.type == "cuda" else dist.group.WORLD
            dist.all_reduce(torch.ones(1, dtype=torch.int64, device=device), group=self._adding)

    def total(self, totals: Totals) -> Totals:
        """The sum over all processes, on each of them: one reduction of one vector of integers.

        Processes without a batch have counted no kind of function yet, so the layout is that of the kinds of all of them.
        """
        if not self._place.launched:
            return totals
        kinds = sorted(set().union(*self.gather(totals.kinds)))
        vector = torch.from_numpy(totals.vector(kinds)).to(self._device)
        with _reaching_others(self.rank):
            dist.all_reduce(vector, group=self._adding)
        return totals.with_vector(vector.cpu().numpy(), kinds)


@contextmanager
def process_group() -> Iterator[Group]:
    """The processes that torchrun started, connected; taken apart again on the way out, whatever happened."""
    here = place()
    if not here.launched:
        yield Group(here)
        return
    with _reaching_others(here.rank):
        store, rank, size = next(dist.rendezvous("env://"))
        dist.init_process_group("gloo", store=_fresh(store, rank, size), rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield Group(here)
    finally:
        dist.destroy_process_group()


def _fresh(store: Any, rank: int, size: int) -> Any:
    """A store in which nothing is left of processes that torchrun has restarted since.

    It keeps its store over restarts, and a process that reads a dead one's address there cannot begin
    (https://github.com/pytorch/pytorch/issues/135712). So the first makes a name for this start, and gives it to those that
    answer now: what they ask under is as new.
    """
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


def choose_device(asked: str | None) -> torch.device:
    """The device of this process: its own GPU, or the CPU.

    Parameters
    ----------
    asked : ``cpu``, ``cuda``, or ``None`` for CUDA where there is any

    Raises
    ------
    ConfigError
        if there is no such device.
    """
    if asked == "cpu" or (asked is None and not torch.cuda.is_available()):
        return torch.device("cpu")
    if asked not in (None, "cuda"):
        raise ConfigError(f"device is {asked!r}; choose cpu or cuda")
    if not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: torch finds no CUDA device; use --device cpu, or a torch built for this machine's GPU"
        )
    local, there = place().local, torch.cuda.device_count()
    if local >= there:
        raise ConfigError(
            f"process {local} of this machine has no GPU of its own: torch finds {there}; use --nproc-per-node {there}"
        )
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    return device


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
