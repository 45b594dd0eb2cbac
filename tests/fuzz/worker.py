"""Damages and reads one case after the other, and writes what came of each as a line of JSON.

``python -m tests.fuzz.worker CORPUS WORK FORMAT:FIRST:COUNT ...``. A case that hangs is ended by a limit of computing time, and
one that crashes takes the worker with it: the campaign knows from the lines which it was.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import shutil
import signal
import sys
import traceback
import warnings
from pathlib import Path
from random import Random

from ecmt_deploy.errors import EcmtError
from ecmt_deploy.untrusted import limits
from ecmt_deploy.untrusted.text import printable
from tests.fuzz.mutations import mutate
from tests.fuzz.readers import READERS

#: computing time of one case, memory beyond what imports take
SECONDS, MEMORY_BYTES = 30, 3 << 30
_LONGEST = 2000


class Watched:
    """A file that nobody may open, as Linux tells it (inotify)."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_NONBLOCK)
        opened = 0x20
        if self._events < 0 or libc.inotify_add_watch(self._events, os.fsencode(path), opened) < 0:
            raise OSError(ctypes.get_errno(), f"{path} cannot be watched")

    def opened(self) -> bool:
        """Whether somebody did since this was asked last."""
        try:
            return bool(os.read(self._events, 1 << 16))
        except BlockingIOError:
            return False


def damaged(name: str, seed: int, corpus: Path, work: Path) -> Path:
    """The files of a case: a good variant of the format, damaged as the seed says."""
    rng = Random(f"{name}-{seed}")
    variant = rng.choice(sorted((corpus / "cases" / name).iterdir()))
    case = work / "case"
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(variant, case)
    mutate(rng, rng.choice(sorted(path for path in case.rglob("*") if path.is_file())), str(corpus / "outside.h5"))
    return case


def attempt(name: str, case: Path, corpus: Path, outside: Watched | None) -> tuple[str, str]:
    """(``accepted``, ``refused`` or ``finding``; what was raised, or what is wrong)."""
    if outside:
        outside.opened()  # to damage a file may have opened it
    try:
        READERS[name][0](case, corpus)
        result = ("accepted", "")
    except EcmtError as error:
        cause = f" from {type(error.__cause__).__name__}" if error.__cause__ else ""
        if str(error.__cause__).startswith("reading it"):  # how the process that read it ended
            cause += f": {error.__cause__}"
        result = ("refused", f"{type(error).__name__}{cause}")
        if printable(str(error)) != str(error) or len(str(error)) > _LONGEST:
            result = ("finding", f"a message that is not one short line: {str(error)[:200]!r}")
    except BaseException:
        result = ("finding", traceback.format_exc())
    if outside and outside.opened():
        result = ("finding", "a file outside was opened")
    return result


def main(corpus: Path, work: Path, orders: list[str]) -> None:
    """Every case of every order."""
    warnings.simplefilter("ignore")
    limits.SECONDS = 1  # for files as small as these
    logging.disable()
    outside = Watched(corpus / "outside.h5") if sys.platform == "linux" else None
    for order in orders:
        name, first, count = order.split(":")
        READERS[name][0](sorted((corpus / "cases" / name).iterdir())[0], corpus)  # good files are taken; imports are done
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
        for seed in range(int(first), int(first) + int(count)):
            print(json.dumps([name, seed]), flush=True)
            case = damaged(name, seed, corpus, work)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            outcome = attempt(name, case, corpus, outside)
            signal.setitimer(signal.ITIMER_PROF, 0)
            print(json.dumps([name, seed, *outcome]), flush=True)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
