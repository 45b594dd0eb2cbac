"""Batches read ahead of the computation: by a thread of this process, or by worker processes that feed it.

Worker processes are a ``torch.utils.data.DataLoader`` over whole batches. timm's ``create_loader`` does not serve: it
normalises on the device, so that pixels would depend on the machine, and gives ranks duplicates to make them equally long.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.errors import DataError, first_line

if TYPE_CHECKING:
    from ecmt_deploy.data.source import Source

#: batches that are read before they are asked for; every worker process has as many again
AHEAD = 2
#: more than this many processes are not started unless asked for: memory, and the disk, are the limit then
MOST_WORKERS = 8

Parts = Generator[np.ndarray, None, None]


def read_ahead(source: Source, chunks: Sequence[np.ndarray], workers: int, pin_memory: bool) -> Parts:
    """Yield the samples of each chunk of indices, in order, reading on while the caller computes.

    Whether the caller takes all, stops early or fails, thread and processes end with the generator.

    Parameters
    ----------
    source
        Where to read.
    chunks
        Indices into ``source``, int64, one array per batch.
    workers
        Processes that read; 0 reads in the thread. Data in memory and streams are read in the thread in any case.
    pin_memory
        Whether arrays lie in page-locked memory, from which a GPU copies while it computes.

    Raises
    ------
    DataError
        If a sample cannot be read, naming it, or a worker process dies.
    """
    workers = min(workers, len(chunks)) if source.decodes else 0
    parts = _by_processes(source, chunks, workers) if workers else source.parts(chunks)
    reader = ThreadPoolExecutor(1, thread_name_prefix="ecmt-read")
    try:
        waiting = deque(reader.submit(_next, parts, pin_memory) for _ in range(AHEAD))
        while (part := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(_next, parts, pin_memory))
            yield part
    finally:
        reader.shutdown(wait=True, cancel_futures=True)
        parts.close()


def usual_workers(source: Source, n_batches: int, batch_bytes: int) -> int:
    """How many processes to read with where the user does not say.

    None where reading is cheap or there is little of it; otherwise one per core that this process may use, less one for
    the computation, shared with the other ranks of ``torchrun`` on this machine, and as many as shared memory has room for.
    """
    if not source.decodes:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "")
    share = cores // max(int(ranks) if ranks.isdigit() else 1, 1)
    room = _shared_memory_bytes() // (batch_bytes * 2 * AHEAD)
    return max(0, min(share - 1, MOST_WORKERS, n_batches // AHEAD, room))


def _next(parts: Parts, pin_memory: bool) -> np.ndarray | None:
    part = next(parts, None)
    if part is None or not pin_memory:
        return part
    import torch

    return torch.from_numpy(part).pin_memory().numpy()


def _shared_memory_bytes() -> int:
    """What is free where processes hand over batches; containers often have 64 MiB."""
    try:
        return shutil.disk_usage("/dev/shm").free
    except OSError:  # other systems have no such place, and no such limit
        return 1 << 40


def _read(source: Source, chunk: np.ndarray) -> Any:
    """A batch, as a tensor, which is handed over in shared memory; or a DataError: raised, it would come with a traceback."""
    import torch

    try:
        return torch.from_numpy(source.read(chunk))
    except DataError as error:
        return error


def _by_processes(source: Source, chunks: Sequence[np.ndarray], workers: int) -> Parts:
    """The batches, read by ``workers`` processes.

    They are started as multiprocessing's default says, on Linux by fork: 20 times as fast as anew, and model and file
    list are not copied. A fork of a process with threads is safe here, as the child computes in one thread, touches no GPU,
    and takes no lock that another thread may have held.
    """
    from torch import Generator as Random
    from torch.utils.data import DataLoader

    loader: DataLoader[Any] = DataLoader(
        chunks,  # type: ignore[arg-type]
        batch_size=None,
        collate_fn=partial(_read, source),
        num_workers=workers,
        prefetch_factor=AHEAD,
        worker_init_fn=_start_worker,
        generator=Random(),  # else it would draw from the caller's
    )
    try:
        batches = iter(loader)
    except OSError as error:
        raise DataError(
            f"{source.name}: {workers} processes cannot be started ({error.strerror}); use fewer --workers"
        ) from error
    try:
        while (part := _received(source, batches)) is not None:
            if isinstance(part, DataError):
                raise part
            yield part
    finally:
        del batches  # ends the processes; no frame of an error's traceback may hold it still


def _received(source: Source, batches: Iterator[Any]) -> np.ndarray | DataError | None:
    """The next batch, or why there is none."""
    try:
        part = next(batches, None)
    except (RuntimeError, OSError, EOFError) as error:
        if str(error).startswith("Caught "):  # raised in a worker
            raise
        return DataError(
            f"{source.name}: a process that reads ended unexpectedly, perhaps out of memory ({first_line(error)}); "
            "use fewer --workers (0: none) or a smaller --batch-size"
        )
    return part if part is None or isinstance(part, DataError) else part.numpy()


def _start_worker(number: int) -> None:
    """Signals to the whole group, as of Ctrl-C, are the parent's to answer; those to a worker end it without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP"):  # systems differ in what signals they have
        if ending := getattr(signal, name, None):
            signal.signal(ending, signal.SIG_DFL)
