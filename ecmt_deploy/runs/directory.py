"""A run as a directory: record, counts, outputs, and the program itself, complete or not there at all.

What is read is not believed: everything in the directory is held against everything else, and against what can be.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np

from ecmt_deploy.errors import ConfigError, ProgramError, RunError, plural, reading
from ecmt_deploy.evaluation.intervals import accuracy_in_words
from ecmt_deploy.files import read_json, replacing_directory, require_parent, sha256
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.program import Program, read, write
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.audit import contradiction, impossible
from ecmt_deploy.program.reader import require_no_program
from ecmt_deploy.runs.frames import FILM, FRAMES, FrameRow, FrameTable, read_film
from ecmt_deploy.runs.loads import LOADS, read_loads, to_bytes
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.shown import Plotted, Tabular
from ecmt_deploy.simulation.probes import load_probes, parse_probes, probe_shape, save_probes
from ecmt_deploy.simulation.target import Probe, Run

RECORD, ACTIVITY, OUTPUTS, PROGRAM, PROBES = "run.json", "activity.json", "outputs.npy", "program.nir", "probes.h5"


@dataclass(frozen=True, repr=False)
class StoredRun(Tabular, Plotted):
    """A run in its directory; record, counts and program belong together.

    Attributes
    ----------
    path : the directory
    record, activity, program : what was run, what it counted, what ran
    """

    charts = ("events", "accuracy", "raster", "membrane", "frames")

    path: Path
    record: RunRecord
    activity: Activity
    program: Program

    def __repr__(self) -> str:
        what, r = "frame" if self.record.clip else "sample", self.record
        found = "".join(f", {accuracy_in_words(share, r.n_samples)}" for share in r.accuracy[-1:])
        return f"StoredRun({str(self.path)!r}: {plural(r.n_samples, what)} on {r.target}, T = {r.timesteps}{found})"

    def outputs(self) -> np.ndarray:
        """The readout after every step, (T, N, *output_shape).

        Raises
        ------
        RunError
            if the file is missing, damaged, or does not fit the record.
        """
        return _outputs(self.path / OUTPUTS, self.record, self.program)

    def probes(self) -> dict[Probe, np.ndarray]:
        """Time series (N, T, neurons) of what was probed.

        Raises
        ------
        RunError
            if the file is damaged, or holds what this run cannot have recorded.
        """
        path = self.path / PROBES
        if path.exists():
            _require_file(path)
        series = load_probes(path)
        for probe, values in series.items():
            try:
                parse_probes(self.program, [probe])
            except ConfigError as error:
                raise RunError(f"{path}: {error}; simulate again") from None
            expected = (self.record.n_samples, self.record.timesteps, prod(probe_shape(self.program, probe)))
            if values.shape != expected:
                raise RunError(f"{path}: {probe} has shape {values.shape}, expected {expected}; simulate again")
            spikes = self.activity[probe.node].spikes
            if probe.kind == "spikes" and np.count_nonzero(values) != spikes:
                raise RunError(f"{path}: {probe} holds other spikes than the {spikes:,} that were counted; simulate again")
        return series

    @cached_property
    def loads(self) -> Loads | None:
        """Work of every core and packets of every link, read once; ``None`` where the target has none.

        Raises
        ------
        RunError
            if the file is damaged, or of another run.
        """
        path = self.path / LOADS
        if not path.exists():
            return None
        _require_file(path)
        return read_loads(path, self.program, self.activity)

    def frames(self) -> list[FrameRow]:
        """A row for every frame of a stream.

        Raises
        ------
        RunError
            if this is no run of a stream, or the file is missing, damaged, or of another run.
        """
        if self.record.clip is None:
            raise RunError(f"{self.path}: is no run of a stream; `ecmt-deploy stream ... --out DIR` makes one")
        path = self.path / FRAMES
        _require_file(path)
        rows = read_json(path, FrameTable, "stream again").rows
        for count in ("spikes", "synops", "macs"):
            counted = sum(getattr(self.activity[name], count) for name in self.activity)
            if len(rows) != self.record.n_samples or sum(getattr(row, count) for row in rows) != counted:
                raise RunError(f"{path}: its rows are not those of the frames that were counted; stream again")
        return rows

    def film(self) -> dict[str, np.ndarray]:
        """Pictures of some frames of a stream, and where events fell; see :meth:`~ecmt_deploy.runs.frames.Pictures.arrays`.

        Raises
        ------
        RunError
            if the file is missing or damaged.
        """
        path = self.path / FILM
        _require_file(path)
        with reading(RunError, f"{path}: cannot be read", "stream again"):
            film = read_film(np.load(path, allow_pickle=False))
        if film is None or any(not 0 <= frame < self.record.n_samples for frame in film["frames"]):
            raise RunError(f"{path}: its arrays do not fit one another, or the run; stream again")
        return film


def is_stream(path: Path) -> bool:
    """Whether the run in a directory is of a stream.

    Raises
    ------
    RunError
        if its record is missing or malformed.
    """
    _require_file(path / RECORD)
    return read_json(path / RECORD, RunRecord, "simulate again").clip is not None


def require_writable(path: Path, overwrite: bool = False) -> None:
    """Fail before long work where a run could not be kept; ``overwrite`` allows an earlier run there to be replaced.

    Raises
    ------
    RunError
        if the parent does not exist or cannot be written to, or something is in the way.
    """
    require_parent(path)
    if path.exists() and not (path.is_dir() and ((path / RECORD).is_file() or not any(path.iterdir()))):
        raise RunError(f"{path}: exists and is no run directory; choose another --out")
    if (path / RECORD).is_file() and not overwrite:
        raise RunError(f"{path}: holds a run already; choose another --out, or replace it with --overwrite")


def save_run(
    path: Path, record: RunRecord, run: Run, program: Program, source: Path | None = None, overwrite: bool = False,
    more: Mapping[str, bytes] = MappingProxyType({}),
) -> StoredRun:  # fmt: skip
    """Write a run, whole or not at all.

    Parameters
    ----------
    program : what ran
    source : the file it was read from, if it was: the run keeps a copy, as long as the file is still the one in the record
    overwrite : whether an earlier run there is replaced
    more : contents of further files, by name

    Returns
    -------
    the run as it was kept; the digest in its record is that of its own file of the program

    Raises
    ------
    RunError
        if something is in the way, or the run cannot be written.
    """
    require_writable(path, overwrite)
    with replacing_directory(path) as made:
        if source is None or _copy(source, made / PROGRAM) != record.program_sha256:
            write(program, made / PROGRAM)
        record = msgspec.structs.replace(record, program_sha256=sha256(made / PROGRAM))
        (made / ACTIVITY).write_bytes(msgspec.json.format(msgspec.json.encode(run.activity), indent=1))
        np.save(made / OUTPUTS, run.outputs)
        if run.probes:
            save_probes(made / PROBES, run.probes)
        if run.loads is not None:
            (made / LOADS).write_bytes(to_bytes(run.loads))
        for name, content in more.items():
            (made / name).write_bytes(content)
        (made / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    return StoredRun(path, record, run.activity, program)


def _copy(source: Path, to: Path) -> str | None:
    """Copy a file and return the digest of the copy; ``None`` where the file is gone."""
    try:
        shutil.copyfile(source, to)
    except FileNotFoundError:
        return None
    return sha256(to)


def load_run(path: Path, last: StoredRun | None = None) -> StoredRun:
    """A run, after a check that it can be one.

    Parameters
    ----------
    last : another run; if it is of the same program, that is not read again

    Raises
    ------
    ProgramError
        if it is the file of a program.
    RunError
        if the directory is missing or incomplete, a file of it is malformed or was edited, or they contradict one another.
    """
    if not path.is_dir():
        require_no_program(path, f"a run of it; `ecmt-deploy simulate {path} ... --out RUN` makes one")
        raise RunError(f"{path}: no such run directory; `ecmt-deploy simulate ... --out {path}` makes one")
    for name in (RECORD, ACTIVITY):
        _require_file(path / name)
    record = read_json(path / RECORD, RunRecord, "simulate again")
    activity = read_json(path / ACTIVITY, Activity, "simulate again")
    program = _program(path / PROGRAM, record, last)
    if wrong := contradiction(record, program):
        raise RunError(f"{path / RECORD}: {wrong}; simulate again")
    if (activity.n_samples, activity.timesteps) != (record.n_samples, record.timesteps):
        raise RunError(
            f"{path / ACTIVITY}: counts over {plural(activity.n_samples, 'sample')} of {plural(activity.timesteps, 'step')},"
            f" but {RECORD} says {record.n_samples} of {record.timesteps}; simulate again"
        )
    if wrong := impossible(program, activity):
        raise RunError(f"{path / ACTIVITY}: {wrong}; simulate again")
    if (path / OUTPUTS).is_file():  # who needs them reads them; here they must only belong to the run
        _outputs(path / OUTPUTS, record, program)
    return StoredRun(path, record, activity, program)


def _program(path: Path, record: RunRecord, last: StoredRun | None) -> Program:
    _require_file(path)
    try:
        digest = sha256(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from None
    if digest != record.program_sha256:
        raise RunError(
            f"{path}: is not the program that ran: its digest is {digest[:12]}, {RECORD} says {record.program_sha256[:12]}; "
            "simulate again"
        )
    if last is not None and last.record.program_sha256 == digest:
        return last.program
    try:
        return read(path)
    except ProgramError as error:
        raise RunError(f"{error}; convert and simulate again with this version") from None


def _outputs(path: Path, record: RunRecord, program: Program) -> np.ndarray:
    """The readouts, as an array that stays in its file until it is used."""
    _require_file(path)
    with reading(RunError, f"{path}: cannot be read", "simulate again"):
        outputs = np.load(path, mmap_mode="r", allow_pickle=False)
    expected = (record.timesteps, record.n_samples, *program.output_shape)
    dtype = "float64" if program.integer else record.dtype
    if not isinstance(outputs, np.ndarray) or outputs.shape != expected or outputs.dtype.name != dtype:
        found = f"{outputs.dtype} of shape {outputs.shape}" if isinstance(outputs, np.ndarray) else "no array"
        raise RunError(f"{path}: {found}, expected {dtype} of shape {expected}; simulate again")
    return outputs


def _require_file(path: Path) -> None:
    """Refuse what is missing, and what is no file: a pipe would be waited for."""
    if not path.is_file():
        raise RunError(f"{path}: {'is no file' if path.exists() else 'missing'}; the run is incomplete, simulate again")
