"""Memory of the C library: kept for the next stream instead of being given back to the system and cleared again."""

from __future__ import annotations

import ctypes
import functools
import logging
import sys

logger = logging.getLogger(__name__)

#: parameters of mallopt(3): from how many free bytes at its end the heap shrinks, and how large a block is to lie outside of it
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: more is kept than the streams of a small batch; larger blocks, between which gaps would stay, go back at once as ever
_KEPT_BYTES, _LARGEST_BYTES = 1 << 28, 1 << 25


@functools.cache
def keep_freed_memory() -> None:
    """Let this process keep what it frees (glibc; elsewhere nothing happens).

    The streams of a run come and go in the same order every time; pages that the system takes back in between have to be
    cleared and mapped again, which takes longer than many nodes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None or not (mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)):
        logger.info("freed memory may be given back between streams: the C library cannot be told to keep it")
