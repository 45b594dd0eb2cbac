"""What work on something from outside may take, before it is ended."""

from __future__ import annotations

import sys
from pathlib import Path

#: computing time between two signs of life, memory beyond what the process has, and silence while nothing computes
SECONDS: float = 5
MEMORY_BYTES, SILENCE_SECONDS = 1 << 30, 300
#: time between two signs of life where a system does not limit computing time
WAITING_SECONDS: float = 60


def limit_memory() -> None:
    """Limit the memory of this process, and let a crash leave no core file."""
    if sys.platform != "linux":  # elsewhere there is no such limit, or none that is kept
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    lowest = min([used + MEMORY_BYTES, *(limit for limit in limits if limit != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_AS, (lowest, limits[1]))
