"""Campaigns by hand: ``python -m tests.fuzz [FORMAT ...] [--minutes M | --count N] [--seed S] [--out DIR]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.campaign import Tally, campaign
from tests.fuzz.readers import READERS, groups

#: cases between two looks at the clock
_BATCH = {"program": 500}
_OTHERS = 50


def main() -> int:
    """Run until the time or the number is reached; 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"of {', '.join(READERS)}; by default all")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, where no number is given")
    parser.add_argument("--count", type=int, help="how many cases of each format")
    parser.add_argument("--seed", type=int, help="the first seed; by default from the clock")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="directory for the files of findings")
    given = parser.parse_args()
    if unknown := set(given.formats) - READERS.keys():
        parser.error(f"there is no format {', '.join(unknown)}; expected {', '.join(READERS)}")
    formats, seed = given.formats or list(READERS), int(time.time()) * 1000 if given.seed is None else given.seed
    total, deadline = Tally(), time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory(prefix="ecmt-fuzz-") as directory:
        made = corpus.make(Path(directory))
        print(f"seeds from {seed}", flush=True)
        first = seed
        while True:
            for group in groups():
                names = [name for name in group if name in formats]
                orders = {name: range(first, first + (given.count or _BATCH.get(name, _OTHERS))) for name in names}
                tally = campaign(orders, made, Path(directory), given.out)
                total.cases += tally.cases
                for name, number, what in tally.findings:
                    print(f"{name} --seed {number}: {what.strip().splitlines()[-1]}", flush=True)
                    total.findings.append((name, number, what))
            first += max(_BATCH.values())
            if given.count or time.monotonic() > deadline:
                break
    print("\n".join(total.lines()))
    kept = f", kept in {given.out}" if total.findings else ""
    print(f"{sum(total.cases.values()):,} cases, {len(total.findings)} findings{kept}")
    return bool(total.findings)


if __name__ == "__main__":
    sys.exit(main())
