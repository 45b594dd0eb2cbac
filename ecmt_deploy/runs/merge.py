"""The verb ``merge``: the shards of one job become the whole, as if it had been done at once."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.door import listed
from ecmt_deploy.errors import ConfigError, RunError, plural
from ecmt_deploy.evaluation.checkpoints import find_checkpoints, read_checkpoint
from ecmt_deploy.evaluation.score import Evaluation, write_evaluation
from ecmt_deploy.evaluation.shards import require_whole
from ecmt_deploy.files import require_out
from ecmt_deploy.runs.directory import PROGRAM, RECORD, StoredRun, load_run, require_writable, save_run
from ecmt_deploy.runs.record import ShardRecord, shares
from ecmt_deploy.simulation.target import Run

#: fields of the record that the shards of one run have in common
_COMMON = (
    "program_sha256",
    "target",
    "precision",
    "dtype",
    "timesteps",
    "data",
    "labels",
    "tool_version",
    "hardware",
    "skipped",
)


def merge(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]], out: str | PathLike[str], overwrite: bool = False
) -> StoredRun | Evaluation:
    """Add the shards of one run, or of one evaluation.

    Parameters
    ----------
    paths : directories that ``simulate --shard`` wrote, or those of ``evaluate --checkpoint``
    out : directory for the whole run; of an evaluation the ``.json`` file, byte for byte what it would have been undivided
    overwrite : whether a run there is replaced

    Raises
    ------
    ConfigError
        if there is an argument that nothing would use.
    RunError
        if they are not all the shards of one job, complete; the error names the shard and what is different. Or if ``out``
        holds a run already, or the files of a shard do not fit.
    """
    folders: list[Path] = [Path(path) for path in listed(paths)]
    if not folders:
        raise RunError("no run is named; name all the shards: ecmt-deploy merge RUN RUN ... --out RUN")
    for path in folders:
        if path.is_dir() and not (path / RECORD).is_file() and not find_checkpoints(path):
            raise RunError(
                f"{path}: neither a run nor checkpoints of an evaluation; simulate --shard and evaluate --checkpoint make them"
            )
    if any(find_checkpoints(path) for path in folders):
        if overwrite:
            raise ConfigError(
                "overwrite is for a run directory; the .json file of an evaluation is replaced in any case; leave it out"
            )
        return _merge_evaluation(folders, Path(out))
    return _merge_runs(folders, Path(out), overwrite)


def _merge_evaluation(folders: Sequence[Path], out: Path) -> Evaluation:
    require_out(out, ".json")
    if without := [folder for folder in folders if not find_checkpoints(folder)]:
        raise RunError(f"{without[0]}: holds no checkpoint; name the directories of evaluate --checkpoint alone")
    found = {path: read_checkpoint(path) for folder in folders for path in find_checkpoints(folder)}
    require_whole([(path, each, msgspec.structs.asdict(each.origin)) for path, each in found.items()])
    for path, each in found.items():
        if not each.complete:
            raise RunError(
                f"{path}: only {each.done} of {plural(len(each.batches), 'batch')} done; run evaluate --shard {each} "
                f"--checkpoint {path.parent} for it"
            )
    origin = next(iter(found.values())).origin
    score = functools.reduce(operator.add, (each.score for each in found.values()))
    result = score.evaluation(origin.data, origin.model, origin.integers, origin.skipped, origin.program_sha256)
    write_evaluation(out, result)
    return result


def _merge_runs(paths: Sequence[Path], out: Path, overwrite: bool) -> StoredRun:
    if any(path.resolve() == out.resolve() for path in paths):
        raise RunError(f"{out}: is one of the shards; choose another --out")
    require_writable(out, overwrite)
    found: list[tuple[ShardRecord, StoredRun]] = []
    for path in paths:
        run = load_run(path, found[-1][1] if found else None)
        if run.record.shard is None:
            raise RunError(f"{path}: is no shard; make shards with simulate --shard i/n")
        found.append((run.record.shard, run))
    require_whole([(run.path, shard, _common(run, shard)) for shard, run in found])
    found.sort(key=lambda each: each[0].index)
    runs = [run for _, run in found]
    series = [run.probes() for run in runs]
    if any(each.keys() != series[0].keys() for each in series):
        raise RunError(f"{runs[0].path}: the shards record different probes; simulate them with the same --probe")
    score = functools.reduce(operator.add, (shard.score(run.activity) for shard, run in found))
    outputs = _interleaved([run.outputs() for run in runs], axis=1)
    probes = {probe: _interleaved([each[probe] for each in series], axis=0) for probe in series[0]}
    record = msgspec.structs.replace(
        runs[0].record,
        **shares(score),
        build_seconds=_sum([run.record.build_seconds for run in runs]),
        run_seconds=_sum([run.record.run_seconds for run in runs]),
        shard=None,
        machine=runs[0].record.machine if all(run.record.machine == runs[0].record.machine for run in runs) else None,
    )
    loads = [each for each in (run.loads for run in runs) if each is not None]
    merged = Run(
        outputs, score.activity, probes, loads=functools.reduce(operator.add, loads) if len(loads) == len(runs) else None
    )
    return save_run(out, record, merged, runs[0].program, runs[0].path / PROGRAM, overwrite)


def _common(run: StoredRun, shard: ShardRecord) -> dict[str, object]:
    common = {field: getattr(run.record, field) for field in _COMMON}
    return {**common, "n_samples": shard.total, "samples_sha256": shard.samples_sha256}


def _interleaved(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """The samples of all shards, of which part i has numbers i, i + n, .., along ``axis``."""
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    whole = np.empty(shape, parts[0].dtype)
    for i, part in enumerate(parts):
        whole[(slice(None),) * axis + (slice(i, None, len(parts)),)] = part
    return whole


def _sum(seconds: Sequence[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None
