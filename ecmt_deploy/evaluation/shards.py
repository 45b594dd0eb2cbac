"""Parts of long work are added: runs that took samples i-1, i-1+n, .. (:func:`merge_runs`), and parts of an evaluation."""

from __future__ import annotations

import functools
import hashlib
import itertools
import operator
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.evaluation.parts import find_parts, read_part
from ecmt_deploy.evaluation.totals import Evaluation, write_evaluation
from ecmt_deploy.files import require_out
from ecmt_deploy.runs.directory import PROGRAM, RECORD, RunRecord, Shard, StoredRun, load_run, require_writable, save_run
from ecmt_deploy.simulation.target import Run

#: what the parts of one run have in common, with the words of the error that says they do not
_COMMON = {
    "program_sha256": "program", "target": "target", "precision": "precision", "dtype": "dtype", "timesteps": "time steps",
    "data": "data", "labels": "matching of labels", "tool_version": "version of the tool", "hardware": "chip",
}  # fmt: skip


def parse_shard(text: str | None, samples: int | None = None) -> tuple[int, int] | None:
    """``i/n`` as numbers, 1 <= i <= n, and n <= samples where that matters.

    Raises
    ------
    ConfigError
        if it is anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard {text}: expected i/n with 1 <= i <= n, for example 1/4")
    if samples is not None and int(match[2]) > samples:
        raise ConfigError(f"--shard {text}: more shards than the {samples} samples; use at most n = {samples}")
    return int(match[1]), int(match[2])


def fingerprint(indices: np.ndarray, labels: np.ndarray) -> str:
    """Digest of which samples a run is over, and of their labels."""
    return hashlib.sha256(np.stack([indices, labels]).astype("<i8").tobytes()).hexdigest()


def holds_parts(paths: Sequence[Path]) -> bool:
    """Whether these are directories of parts of an evaluation, not runs.

    Raises
    ------
    RunError
        if one is neither.
    """
    for path in paths:
        if path.is_dir() and not (path / RECORD).is_file() and not find_parts(path):
            raise RunError(
                f"{path}: neither a run nor parts of an evaluation; simulate --shard and evaluate --checkpoint make them"
            )
    return any(find_parts(path) for path in paths)


def merge_runs(paths: Sequence[Path], out: Path, overwrite: bool = False) -> StoredRun:
    """Add the shards in ``paths`` to one run in ``out``, the same as if it had been made at once.

    Raises
    ------
    RunError
        if they are not all the shards of one run; the error names the shard and what is different. Or if ``out`` holds a run
        already, unless ``overwrite``.
    """
    if not paths:
        raise RunError("no run is named; give the shards: ecmt-deploy merge RUN RUN ... --out RUN")
    if any(path.resolve() == out.resolve() for path in paths):
        raise RunError(f"{out}: is one of the shards; choose another --out")
    require_writable(out, overwrite)
    runs: list[StoredRun] = []
    for path in paths:
        runs.append(load_run(path, runs[-1] if runs else None))
    parts = [(run, _shard(run)) for run in runs]
    _require_one_run([(run.path, run.record, shard) for run, shard in parts])
    parts.sort(key=lambda part: part[1].index)
    runs, shards = [run for run, _ in parts], [shard for _, shard in parts]
    first, records = runs[0].record, [run.record for run in runs]
    count, total = shards[0].count, shards[0].total
    outputs = [run.outputs() for run in runs]
    joined = np.empty((first.timesteps, total, *outputs[0].shape[2:]), outputs[0].dtype)
    series = [run.probes() for run in runs]
    if any(part.keys() != series[0].keys() for part in series):
        raise RunError(f"{runs[0].path}: the shards record different probes; simulate them with the same --probe")
    recorded = {probe: np.empty((total, *values.shape[1:]), values.dtype) for probe, values in series[0].items()}
    for shard, values, probes in zip(shards, outputs, series, strict=True):
        joined[:, shard.index - 1 :: count] = values
        for probe, whole in recorded.items():
            whole[shard.index - 1 :: count] = probes[probe]
    agreeing = [s.agreeing for s in shards if s.agreeing is not None]
    analog_right = [s.analog_right for s in shards if s.analog_right is not None]
    record = msgspec.structs.replace(
        first,
        n_samples=total,
        accuracy=[sum(right) / total for right in zip(*(s.right for s in shards), strict=True)],
        analog_accuracy=sum(analog_right) / total if len(analog_right) == count else None,
        agreement=[sum(same) / total for same in zip(*agreeing, strict=True)] if len(agreeing) == count else None,
        build_seconds=_sum([r.build_seconds for r in records]),
        run_seconds=_sum([r.run_seconds for r in records]),
        shard=None,
    )
    merged = Run(joined, functools.reduce(operator.add, (run.activity for run in runs)), recorded)
    return save_run(out, record, merged, runs[0].program, runs[0].path / PROGRAM, overwrite)


def _shard(run: StoredRun) -> Shard:
    if run.record.shard is None:
        raise RunError(f"{run.path}: is no shard; make shards with simulate --shard i/n")
    return run.record.shard


def _require_one_run(parts: Sequence[tuple[Path, RunRecord, Shard]]) -> None:
    path, first, shard = parts[0]
    seen: dict[int, Path] = {}
    for other, record, part in parts:
        for field, words in _COMMON.items():
            mine, theirs = getattr(first, field), getattr(record, field)
            if mine != theirs:
                raise RunError(f"{other}: another {words} than {path}: {theirs} and {mine}; merge shards of one run")
        if (part.count, part.total) != (shard.count, shard.total):
            raise RunError(
                f"{other}: shard {part.index}/{part.count} of {part.total} samples, {path} is {shard.index}/{shard.count} of "
                f"{shard.total}; merge shards of one run"
            )
        if part.samples_sha256 != shard.samples_sha256:
            raise RunError(f"{other}: other samples of {record.data} than {path}; merge shards of one run")
        if part.index in seen:
            raise RunError(
                f"{other}: shard {part.index}/{part.count} is there twice, also as {seen[part.index]}; name each once"
            )
        seen[part.index] = other
    if missing := _missing(seen.keys(), shard.count):
        raise RunError(f"{path}: incomplete without shard {missing}; simulate it with --shard and name it too")


def merge_parts(folders: Sequence[Path], out: Path) -> Evaluation:
    """Add the parts of one evaluation and write to ``out``, byte for byte, what it would have written undivided.

    Raises
    ------
    RunError
        if they are not all the parts of one evaluation, complete; the error names the part.
    """
    require_out(out, ".json")
    paths = [path for folder in folders for path in find_parts(folder)]
    if without := [folder for folder in folders if not find_parts(folder)]:
        raise RunError(f"{without[0]}: holds no part of an evaluation; name the directories of evaluate --checkpoint alone")
    parts = [read_part(path) for path in paths]
    first = parts[0]
    seen: dict[int, Path] = {}
    for path, part in zip(paths, parts, strict=True):
        if part.count != first.count:
            raise RunError(f"{path}: one of {part.count} parts, {paths[0]} of {first.count}; merge parts of one evaluation")
        difference = part.origin.difference(first.origin)
        if difference or part.totals.activity.keys() != first.totals.activity.keys():
            raise RunError(
                f"{path}: of another evaluation than {paths[0]}: {difference or 'other nodes'}; merge parts of one evaluation"
            )
        if part.index in seen:
            raise RunError(f"{path}: is there twice, also as {seen[part.index]}; name each once")
        seen[part.index] = path
    mend = "run evaluate --shard i/n --checkpoint DIR for it"
    if missing := _missing(seen.keys(), first.count):
        raise RunError(f"{folders[0]}: incomplete without part {missing}; {mend}")
    for path, part in zip(paths, parts, strict=True):
        if not part.complete:
            raise RunError(f"{path}: only {part.done} of its {len(part.batches)} batches are done; {mend}")
    result = functools.reduce(operator.add, (part.totals for part in parts)).evaluation(first.origin.data, first.origin.model)
    write_evaluation(out, result)
    return result


def _missing(seen: Collection[int], count: int) -> str:
    """Which of 1/count .. count/count are not there, the first five of them."""
    missing = itertools.islice((i for i in range(1, count + 1) if i not in seen), 6)
    listed = [f"{i}/{count}" for i in missing]
    return ", ".join(listed[:5]) + (", .." if len(listed) > 5 else "")


def _sum(seconds: Sequence[float | None]) -> float | None:
    known = [s for s in seconds if s is not None]
    return sum(known) if len(known) == len(seconds) else None
