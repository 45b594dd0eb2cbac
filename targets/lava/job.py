"""A job: the files through which host and worker speak."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ecmt_deploy.graph import Program, write


class Job:
    """A directory with a program, its inputs, and in the end its outputs.

    Attributes
    ----------
    program, inputs : what to run
    outputs, activity : what came of it
    heartbeat : the number of steps done; written at every step
    running : the worker's children, written when the network is built
    closing : exists once the worker has begun to stop its children itself
    failure : name of the node and traceback of a process model that raised
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program, self.inputs = directory / "program.nir", directory / "inputs.npy"
        self.outputs, self.activity = directory / "outputs.npy", directory / "activity.json"
        self.heartbeat, self.running = directory / "heartbeat", directory / "running"
        self.closing, self.failure = directory / "closing", directory / "failure.txt"
        self.log = directory / "worker.log"
        self._settings = directory / "job.json"

    @classmethod
    def create(cls, directory: Path, program: Program, inputs: np.ndarray, timesteps: int, dtype: np.dtype) -> Job:
        """Write the host's half of a job."""
        job = cls(directory)
        write(program, job.program)
        np.save(job.inputs, np.asarray(inputs, dtype))
        job._settings.write_text(json.dumps({"timesteps": timesteps, "dtype": np.dtype(dtype).name}))
        return job

    @property
    def timesteps(self) -> int:
        """Steps of one inference."""
        return int(json.loads(self._settings.read_text())["timesteps"])

    @property
    def dtype(self) -> np.dtype:
        """Floating dtype of the run."""
        return np.dtype(json.loads(self._settings.read_text())["dtype"])

    def announce(self, children: list[int]) -> None:
        """The network is built: these are the worker's children."""
        temporary = self.directory / "running.partial"
        temporary.write_text(json.dumps(children))
        temporary.rename(self.running)

    def close(self) -> None:
        """The run is over: children may end from here on."""
        self.closing.touch()

    def children(self) -> list[int]:
        """The worker's children, once they are announced."""
        return list(json.loads(self.running.read_text())) if self.running.exists() else []

    def steps_done(self) -> int:
        """Steps the network has finished."""
        text = self.heartbeat.read_text() if self.heartbeat.exists() else ""
        return int(text) if text else 0
