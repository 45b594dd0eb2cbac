"""A job: the files through which host and worker speak."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from math import prod
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.errors import TargetError
from ecmt_deploy.program import Program, write
from ecmt_deploy.program.frames import COLUMNS
from ecmt_deploy.simulation.probes import probe_shape
from ecmt_deploy.simulation.target import Frame, Probe


class Settings(msgspec.Struct, frozen=True):
    """What the worker is told besides program and inputs; ``host`` is the process that waits for it."""

    timesteps: int
    dtype: str
    host: int
    probes: list[Probe]


class Job:
    """A directory with a program, its inputs, and in the end its outputs.

    Attributes
    ----------
    program, inputs : what to run
    sent, begun : of a stream, where each of its frames, which the inputs are, is sent, and with which it begins
    readouts, counts : filled by the processes
    activity : what they counted; it appears when the run has ended well
    steps : steps each process has finished: the heartbeat
    running : exists once the network is built and runs
    failure : what failed, and a traceback or reason
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program, self.inputs = directory / "program.nir", directory / "inputs.npy"
        self.sent, self.begun = directory / "sent.npy", directory / "begun.npy"
        self.readouts, self.activity = directory / "readouts.npy", directory / "activity.json"
        self.counts = directory / "counts.npy"
        self.steps, self.running = directory / "steps.npy", directory / "running"
        self.failure, self.log = directory / "failure.txt", directory / "worker.log"
        self._settings = directory / "job.json"

    @classmethod
    def create(
        cls, directory: Path, program: Program, inputs: np.ndarray, timesteps: int, dtype: np.dtype, groups: int,
        probes: Sequence[Probe] = (), frames: Sequence[Frame] | None = None,
    ) -> Job:  # fmt: skip
        """Write the host's half of a job, with room for the worker's, so that a full disk is noticed here."""
        job = cls(directory)
        steps = len(inputs) * timesteps
        try:
            write(program, job.program)
            np.save(job.inputs, inputs if np.dtype(dtype).kind == "i" else np.asarray(inputs, dtype))
            if frames is not None:
                np.save(job.sent, np.stack([frame.sent for frame in frames]))
                np.save(job.begun, np.array([frame.begins for frame in frames]))
            _reserve(job.readouts, (steps, prod(program.output_shape)), dtype)
            _reserve(job.steps, (groups,), np.dtype(np.int64))
            records = 1 if frames is None else len(inputs)
            _reserve(job.counts, (records, timesteps, len(program.nodes), COLUMNS), np.dtype(np.int64))
            for i, probe in enumerate(probes):
                _reserve(job.recording(i), (steps, *probe_shape(program, probe)), dtype)
            settings = Settings(timesteps, np.dtype(dtype).name, os.getpid(), list(probes))
            job._settings.write_bytes(msgspec.json.encode(settings))
        except OSError as error:
            raise TargetError(
                f"target lava: {directory.parent}: a job cannot be written: {error.strerror}; free space there, or set TMPDIR"
            ) from None
        return job

    def settings(self) -> Settings:
        """The worker's view of the settings."""
        return msgspec.json.decode(self._settings.read_bytes(), type=Settings)

    @property
    def host(self) -> int:
        """The process that waits."""
        return self.settings().host

    def recording(self, i: int) -> Path:
        """File of the i-th probe."""
        return self.directory / f"probe-{i}.npy"

    def finish(self, activity: bytes) -> None:
        """The run has ended well."""
        temporary = self.directory / "activity.partial"
        temporary.write_bytes(activity)
        temporary.rename(self.activity)

    def fail(self, what: str, why: str) -> None:
        """Leave a reason; the first one stays."""
        temporary = self.directory / f"failure-{os.getpid()}.partial"
        temporary.write_text(f"{what}\n{why}")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, self.failure)


def _reserve(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """A file for an array, with its blocks allocated: a store to a hole of a full disk would be a SIGBUS."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape).flush()
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
