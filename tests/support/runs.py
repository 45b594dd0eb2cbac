"""Runs on the bundled digits, and records of runs that no command made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecmt_deploy.program import Program
from ecmt_deploy.runs.directory import StoredRun
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.runs.simulate import SimulateJob, simulate_file
from ecmt_deploy.simulation.target import Run


def record(program: Program, run: Run, **changes: Any) -> RunRecord:
    """Of four samples at three steps."""
    values = {
        "tool_version": "0", "target": "torch", "precision": "float", "dtype": "float64", "timesteps": 3, "n_samples": 4,
        "data": "d", "program_sha256": "0" * 64, "provenance": program.provenance, "accuracy": [0.25, 0.5, 0.75],
        "analog_accuracy": 0.75, "agreement": [0.5, 0.75, 1.0],
    }  # fmt: skip
    return RunRecord(**{**values, **changes})


def simulated(program: Path | str, out: Path, limit: int, timesteps: int, target: str = "reference", **options) -> StoredRun:
    """The run of ``limit`` digits, kept in ``out``; ``options`` as of :class:`SimulateJob`."""
    job = SimulateJob(program=Path(program), target=target, data="digits", out=out, limit=limit, timesteps=timesteps, **options)
    return simulate_file(job)
