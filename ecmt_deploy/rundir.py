"""A run as a directory: record, counts, outputs, and the program itself, complete or not there at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.activity import Activity
from ecmt_deploy.errors import RunError, reading
from ecmt_deploy.files import read_json, read_npy, sha256
from ecmt_deploy.graph import Program, Provenance, write
from ecmt_deploy.probes import save_probes
from ecmt_deploy.target import Run

RECORD, ACTIVITY, OUTPUTS, PROGRAM, PROBES = "run.json", "activity.json", "outputs.npy", "program.nir", "probes.h5"
_MEND = "the run is incomplete, simulate again"


class Conformance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run compared with another target's on the same samples.

    Attributes
    ----------
    reference_target, samples : with what, on how many
    spikes_equal, counts_equal : whether every node's spikes, and every count of every node, are equal
    max_abs_logit_difference : of the readouts, over samples, steps and classes
    differences : one line per count that differs
    """

    reference_target: str
    samples: int
    spikes_equal: bool
    counts_equal: bool
    max_abs_logit_difference: float
    differences: list[str]


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of a longer run this is, and what it takes to add the parts.

    Attributes
    ----------
    index, count : shard ``index`` of ``count``: samples index - 1, index - 1 + count, .. of the whole
    total, samples_sha256 : number of samples of the whole, and digest of which they are
    right, agreeing : samples right, and samples on which the analog program chooses the same, after every step
    analog_right : samples the analog program gets right
        (``None``, and none agreeing, where the file holds an integer program, which has no analog one)
    """

    index: int
    count: int
    total: int
    samples_sha256: str
    right: list[int]
    agreeing: list[int] | None
    analog_right: int | None


class RunRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run was, and how well it did.

    Attributes
    ----------
    tool_version, target, precision, dtype : how it ran
    timesteps, n_samples, data : on what
    program_sha256, provenance : what ran
    accuracy, agreement : share of samples right, and share on which the analog program chooses the same, after every step
    analog_accuracy : share the analog program gets right
        (``None``, and no agreement, where the file holds an integer program, which has no analog one)
    conformance : comparison with the reference, if one was made
    build_seconds, run_seconds : to make the target ready, and to run; summed over shards; ``None`` where it is not known
    shard : which part of a longer run this is, if it is one
    """

    tool_version: str
    target: str
    precision: str
    dtype: str
    timesteps: int
    n_samples: int
    data: str
    program_sha256: str
    provenance: Provenance
    accuracy: list[float]
    analog_accuracy: float | None
    agreement: list[float] | None
    conformance: Conformance | None = None
    build_seconds: float | None = None
    run_seconds: float | None = None
    shard: Shard | None = None


def require_writable(path: Path) -> None:
    """Fail before long work where a run could not be kept.

    Raises
    ------
    RunError
        if the parent does not exist, or something that is no run directory is in the way.
    """
    if not path.absolute().parent.is_dir():
        raise RunError(f"{path}: its directory does not exist; create {path.absolute().parent} first")
    if path.exists() and not (path.is_dir() and ((path / RECORD).is_file() or not any(path.iterdir()))):
        raise RunError(f"{path}: exists and is no run directory; choose another --out")


def save_run(path: Path, record: RunRecord, run: Run, program: Path | Program) -> RunRecord:
    """Write a run; an earlier run there is replaced, anything else is left alone.

    ``program`` is what ran: the file, or a program that has none yet; its digest then goes into the record, which is
    returned as it was written.
    """
    require_writable(path)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as name:
        made = Path(name) / "run"
        made.mkdir()
        (made / ACTIVITY).write_bytes(msgspec.json.format(msgspec.json.encode(run.activity), indent=1))
        np.save(made / OUTPUTS, run.outputs)
        if run.probes:
            save_probes(made / PROBES, run.probes)
        if isinstance(program, Program):
            write(program, made / PROGRAM)
            record = msgspec.structs.replace(record, program_sha256=sha256(made / PROGRAM))
        else:
            try:
                os.link(program, made / PROGRAM)
            except OSError:  # another file system: a copy serves as well
                shutil.copyfile(program, made / PROGRAM)
        (made / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
        if path.exists():
            path.rename(Path(name) / "replaced")
        made.rename(path)
    return record


def load_run(path: Path) -> tuple[RunRecord, Activity]:
    """Record and counts of a run.

    Raises
    ------
    RunError
        if the directory is missing, incomplete or malformed.
    """
    if not path.is_dir():
        raise RunError(f"{path}: no such run directory; `ecmt-deploy simulate ... --out {path}` makes one")
    return read_json(path / RECORD, RunRecord, _MEND), read_json(path / ACTIVITY, Activity, _MEND)


def load_outputs(path: Path, record: RunRecord) -> np.ndarray:
    """Outputs (T, N, classes) of a run.

    Raises
    ------
    RunError
        if the file is missing, damaged, or does not fit the record.
    """
    file = path / OUTPUTS
    if not file.is_file():
        raise RunError(f"{file}: no such file; {_MEND}")
    with reading(RunError, f"{file}: cannot be read", "simulate again"), file.open("rb") as stream:
        outputs = read_npy(stream, file.stat().st_size)
    if outputs.ndim < 2 or outputs.shape[:2] != (record.timesteps, record.n_samples):
        raise RunError(f"{file}: shape {outputs.shape}, expected ({record.timesteps}, {record.n_samples}, classes)")
    return outputs
