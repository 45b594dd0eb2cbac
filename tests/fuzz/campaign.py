"""Runs workers over seeds, whatever becomes of them, and keeps what they find."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.worker import damaged

ROOT = Path(__file__).parent.parent.parent
WORKER = ["-m", "tests.fuzz.worker"]
#: a case of which nothing is heard for so long hangs without computing
SILENCE_SECONDS = 300


@dataclass
class Tally:
    """What a campaign saw: cases by format, outcome and error, and findings as (format, seed, what)."""

    cases: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    findings: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, name: str, seed: int, outcome: str, what: str) -> None:
        if outcome == "finding":
            self.findings.append((name, seed, what))
            what = what.strip().splitlines()[-1][:80]
        self.cases[name, outcome, what] += 1

    def lines(self) -> list[str]:
        """A line for every format, outcome and error."""
        return [f"{n:8,} {name:9} {outcome} {what}".rstrip() for (name, outcome, what), n in sorted(self.cases.items())]


def campaign(orders: dict[str, range], corpus: Path, work: Path, keep: Path | None = None) -> Tally:
    """Attempt the seeds of each format in one worker, which is started again where one ends it.

    ``keep`` takes a directory for every finding, with the files of the case and what happened.
    """
    tally, left = Tally(), dict(orders)
    while any(left.values()):
        at = _work(left, corpus, work, tally, keep)
        if at is not None:
            name, seed, how = at
            _found(tally, name, seed, how, corpus, keep)
            left = {n: seeds if n != name else range(seed + 1, seeds.stop) for n, seeds in left.items()}
            for other in list(left)[: list(left).index(name)]:
                left[other] = range(0)
        else:
            left = {}
    return tally


def _work(left: dict[str, range], corpus: Path, work: Path, tally: Tally, keep: Path | None) -> tuple[str, int, str] | None:
    """Run a worker; where it ended before it was done, the case at which it did, and how."""
    arguments = [f"{name}:{seeds.start}:{len(seeds)}" for name, seeds in left.items() if seeds]
    command = [sys.executable, *WORKER, str(corpus), str(work), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    begun: tuple[str, int] | None = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=corpus, env=environment) as worker:
        assert worker.stdout is not None
        try:
            while True:
                if not select.select([worker.stdout], [], [], SILENCE_SECONDS)[0]:
                    worker.kill()
                    return (*(begun or ("?", -1)), f"nothing heard for {SILENCE_SECONDS} s")
                line = worker.stdout.readline()
                if not line:
                    break
                name, seed, *outcome = json.loads(line)
                begun = (name, seed)
                if outcome:
                    begun = None
                    if outcome[0] == "finding":
                        _found(tally, name, seed, outcome[1], corpus, keep)
                    else:
                        tally.add(name, seed, *outcome)
        finally:
            worker.kill()
    if worker.returncode == 0 and begun is None:
        return None
    if begun is None:
        raise RuntimeError(f"the worker ended with status {worker.returncode} between cases: {' '.join(command)}")
    return (*begun, f"the worker ended with status {worker.returncode}")


def _found(tally: Tally, name: str, seed: int, what: str, corpus: Path, keep: Path | None) -> None:
    tally.add(name, seed, "finding", what)
    if keep:
        place = keep / f"{name}-{seed}"
        place.mkdir(parents=True, exist_ok=True)
        damaged(name, seed, corpus, place)
        (place / "what.txt").write_text(f"{what}\n\nagain: python -m tests.fuzz {name} --seed {seed} --count 1\n")
