"""How long ``ecmt-deploy --help`` takes, beside Python alone, on the same machine in the same run.

Run ``python -m benchmarks.startup [COMMAND ...]``; a command is what follows ``ecmt-deploy``, by default ``--help`` and two
verbs' help. Each is run once unmeasured and 11 times, in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 11
COMMANDS = ("--help", "evaluate --help", "sweep --help")


def main(commands: tuple[str, ...]) -> None:
    """Print median and spread of each command, and of ``python -c pass``."""
    entry = "from ecmt_deploy.cli import main; main()"
    measured = {"python -c pass": [sys.executable, "-c", "pass"]}
    measured |= {f"ecmt-deploy {c}": [sys.executable, "-c", entry, *c.split()] for c in commands}
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for repeat in range(ROUNDS + 1):
        for name, command in measured.items():
            begun = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            if repeat:  # the first fills the caches of the disk
                seconds[name].append(time.perf_counter() - begun)
    for name, taken in seconds.items():
        print(f"{name}: {statistics.median(taken):.3f} s, from {min(taken):.3f} to {max(taken):.3f}")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or COMMANDS)
