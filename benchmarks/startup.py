"""How long a command takes before it has done anything, beside ``import torch`` and Python alone, in the same run.

Run ``python -m benchmarks.startup [COMMAND ...]``; a command is what follows ``ecmt-deploy``. Without any, those below are
measured and the table of ``docs/performance.md`` is written. Each is run once unmeasured and 7 times, in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from docs.generate.documents import put

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
ROUNDS = 7
COMMANDS = ("--help", "hardware", "hardware loihi2", "evaluate --help", "sweep --help")
PYTHON, TORCH = "python -c pass", "python -c 'import torch'"
HEAD = ["| command | median, s | times Python alone | times the import of torch |", "|---|---|---|---|"]


def measure(commands: tuple[str, ...]) -> dict[str, float]:
    """Median seconds of each command, after those of Python alone and of the import of torch."""
    entry = "from ecmt_deploy.cli import main; main()"
    measured = {PYTHON: [sys.executable, "-c", "pass"], TORCH: [sys.executable, "-c", "import torch"]}
    measured |= {f"ecmt-deploy {c}": [sys.executable, "-c", entry, *c.split()] for c in commands}
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for repeat in range(ROUNDS + 1):
        for name, command in measured.items():
            begun = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            if repeat:  # the first fills the caches of the disk
                seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def table(medians: dict[str, float]) -> list[str]:
    """One row for every command."""
    alone, torch = medians[PYTHON], medians[TORCH]
    return [*HEAD, *(f"| `{name}` | {s:.2f} | {s / alone:.1f} | {s / torch:.2f} |" for name, s in medians.items())]


def main(commands: tuple[str, ...]) -> None:
    """Print the table; write it if no command was named."""
    lines = table(measure(commands or COMMANDS))
    print("\n".join(lines))
    if not commands:
        put(DOCUMENT, "startup", lines)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
