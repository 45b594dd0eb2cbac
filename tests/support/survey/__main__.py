"""Survey models and write the tables of docs/support.md.

python -m tests.support.survey [--only NAME ..] [--cache DIR] [--no-cosines] [--again] [--scan] [--write]

Every model is surveyed in a process of its own, whose memory ends with it; what it gave is a file in the cache, and a model
that is in the cache is not surveyed again. Capture and comparison of all models come first, then cosines. ``--again`` surveys
anew what was refused or failed; ``--only`` names families, models or sources; ``--write`` writes the tables.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ecmt_deploy.errors import said
from tests.support.survey import measure, tables
from tests.support.survey.entries import Entry, entries
from tests.support.survey.scan import scan

CACHE = Path(__file__).parents[3] / "build" / "survey"
#: seconds that one model may take for each of the two
PATIENCE_S = 900
_MEMORY_BYTES = 12 * 2**30


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.support.survey")
    options.add_argument("--only", nargs="+", default=[])
    options.add_argument("--cache", type=Path, default=CACHE)
    for flag in ("--no-cosines", "--again", "--scan", "--write"):
        options.add_argument(flag, action="store_true")
    given = options.parse_args()
    if given.scan:
        scan()
    given.cache.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    chosen = [e for e in entries() if not given.only or {e.key, e.source, e.family, e.model} & set(given.only)]
    for entry in chosen:
        _kept(given.cache, entry, "full", measure.full, given.again)
    for entry in () if given.no_cosines else chosen:
        record = read(given.cache, entry)
        if "nodes" in record and "cosine_1" not in record:
            _kept(given.cache, entry, "cosines", measure.cosines, given.again)
    if given.write:
        tables.write([(entry, read(given.cache, entry)) for entry in entries()])


def read(cache: Path, entry: Entry) -> dict[str, Any]:
    """What is in the cache of a model; empty where it is not."""
    path = _path(cache, entry)
    return json.loads(path.read_text()) if path.is_file() else {}


def _path(cache: Path, entry: Entry) -> Path:
    return cache / f"{entry.key.replace('/', '-').replace(' ', '_')}.json"


def _kept(cache: Path, entry: Entry, part: str, survey: Callable[[Entry], dict[str, Any]], again: bool) -> None:
    """Survey a model unless it is in the cache, and keep what it gave."""
    kept = read(cache, entry)
    failed = {"full": "refused", "cosines": "failed"}[part]
    if kept.get(part) and not (again and failed in kept):
        return
    if part == "full":
        kept = {}
    kept.pop(failed, None)
    found = _apart(survey, entry) or {failed: f"more than {PATIENCE_S} s, or killed" if part == "cosines" else {"killed": 1}}
    kept = {"family": entry.family, "model": entry.model, **kept, **measure.finite(found), part: True}
    path = _path(cache, entry)
    path.with_suffix(".part").write_text(json.dumps(kept, indent=1) + "\n")
    path.with_suffix(".part").replace(path)
    print(entry.key, {key: value for key, value in kept.items() if key not in ("family", "operations")}, flush=True)


def _apart(survey: Callable[[Entry], dict[str, Any]], entry: Entry) -> dict[str, Any] | None:
    """What a process of its own gives within the time; an exception is a defect of ours and kept as one."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(survey, entry, sender))
    process.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(PATIENCE_S) else None
    except EOFError:
        found = None
    process.kill()
    process.join()
    return found


def _send(survey: Callable[[Entry], dict[str, Any]], entry: Entry, sender: Any) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    try:
        found = survey(entry)
    except Exception as error:  # one model must not end the survey of the others; the table says what it was
        reason = f"{type(error).__name__}: {said(error)}"
        found = {"refused": {reason: 1}} if survey is measure.full else {"failed": reason}
    sender.send(found)


if __name__ == "__main__":
    main()
