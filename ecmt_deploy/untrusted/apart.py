"""Work on what comes from outside, in a process that can be ended.

A C library that meets damaged bytes may loop for ever or crash, and nothing within a process mends that: signals wait until it
comes back. So such work is done in a process of its own with a limit of time and of memory, and what it finds out comes
back through a pipe, as bytes. It is forked where the system can, as this takes milliseconds (Python with NumPy and h5py takes
0.15 s to start), and started anew elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ecmt_deploy.untrusted.handover import Receiver, Work


@contextmanager
def apart(work: Work) -> Iterator[Receiver]:
    """Do ``work``, which can be pickled, in a process of its own, which ends with the block.

    Raises
    ------
    WorkError
        if no process can be made.
    """
    if hasattr(os, "fork"):
        from ecmt_deploy.untrusted.forked import forked as process
    else:
        from ecmt_deploy.untrusted.started import started as process
    with process(work) as found:
        yield Receiver(found)
