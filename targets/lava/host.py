"""Host side of the Lava target: writes a job, starts a worker that imports lava, watches it, and reads what it leaves."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ecmt_deploy.errors import TargetError
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.simulation.probes import probe_shape
from ecmt_deploy.simulation.target import Frame, FrameRun, Probe, Progress, Run, Unsupported

from . import compat
from .groups import MAX_PORTS, Group, groups
from .job import Job
from .resources import patience, require_room
from .session import Session, ending, session

if TYPE_CHECKING:
    from ecmt_deploy.chips import Hardware

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
#: time to build the network, a constant and a share per process
BUILD_SECONDS, BUILD_SECONDS_PER_PROCESS = 120.0, 1.0
#: time without any process finishing a step after which the run counts as hanging; larger nodes are given more
STEP_SECONDS = 120.0


class LavaTarget:
    """Lava process models on Lava's CPU backend: state in the processes, samples in a stream."""

    name = "lava"
    worker = ("-m", "ecmt_deploy.targets.lava.worker")

    def missing(self) -> str | None:
        """How to install lava-nc where it is not."""
        if sys.platform != "linux":
            return f"target lava needs Linux (forked processes, /proc), not {sys.platform}; use --target reference"
        return compat.missing()

    def check(self, program: Program, hardware: Hardware | None) -> list[Unsupported]:
        """Nodes with more operands than a process has ports."""
        counted = [(name, len(group.ports)) for name, group in groups(program).items()]
        return [
            Unsupported(name, f"{ports} operands exceed the {MAX_PORTS} ports of a process")
            for name, ports in counted
            if ports > MAX_PORTS
        ]

    def run(
        self,
        program: Program,
        inputs: np.ndarray,
        timesteps: int,
        *,
        dtype: np.dtype,
        progress: Progress | None = None,
        probes: Sequence[Probe] = (),
    ) -> Run:
        """Run ``inputs`` (N, *input_shape) through one compiled network.

        Raises
        ------
        TargetError
            if the machine has no room, a process model raises, a process dies or no step ends in time; nothing is left
            running, and no shared memory.
        """
        return self._run(program, inputs, timesteps, dtype, progress, probes)[0]

    def stream(
        self, program: Program, frames: Iterable[Frame], timesteps: int, *, dtype: np.dtype, probes: Sequence[Probe] = ()
    ) -> Iterator[FrameRun]:
        """Run the frames of one stream through one compiled network whose state is never reset; all are read first.

        Raises
        ------
        TargetError
            as :meth:`run`.
        """
        if not (shown := list(frames)):
            return
        run, counts = self._run(program, np.stack([each.held for each in shown]), timesteps, dtype, None, probes, shown)
        for i, each in enumerate(shown):
            recorded = {probe: series[i] for probe, series in run.probes.items()}
            yield FrameRun(run.outputs[:, i], counts[i], each.begins, recorded)

    def _run(
        self, program: Program, inputs: np.ndarray, timesteps: int, dtype: np.dtype, progress: Progress | None,
        probes: Sequence[Probe], frames: Sequence[Frame] | None = None,
    ) -> tuple[Run, np.ndarray]:  # fmt: skip
        """The run, and the counts of every frame of a stream, (F, S, nodes, counts)."""
        network = groups(program)
        require_room(program, network.values(), dtype)
        with tempfile.TemporaryDirectory(prefix="ecmt-lava-") as directory:
            job = Job.create(Path(directory), program, inputs, timesteps, dtype, len(network), probes, frames)
            begun = time.perf_counter()
            with session([*self.worker, directory], Path(directory), job.log) as worker:
                built = _watch(worker, job, network, program, progress)
                ended = time.perf_counter()
            if progress:
                progress(len(inputs) * timesteps)
            outputs = np.load(job.readouts, allow_pickle=False).reshape(len(inputs), timesteps, *program.output_shape)
            recorded = {
                probe: np.load(job.recording(i), allow_pickle=False).reshape(
                    len(inputs), timesteps, *probe_shape(program, probe)
                )
                for i, probe in enumerate(probes)
            }
            run = Run(
                outputs=np.ascontiguousarray(outputs.swapaxes(0, 1)),
                activity=msgspec.json.decode(job.activity.read_bytes(), type=Activity),
                probes=recorded,
                build_seconds=built - begun,
                run_seconds=ended - built,
                processes=len(network),
            )
            return run, np.load(job.counts, allow_pickle=False)


def _watch(worker: Session, job: Job, network: dict[str, Group], program: Program, progress: Progress | None) -> float:
    """Return when the run has ended well, with the time at which the network was built; raise as soon as it cannot."""
    built: float | None = None
    deadline = time.monotonic() + BUILD_SECONDS + BUILD_SECONDS_PER_PROCESS * len(network)
    steps = np.load(job.steps, mmap_mode="r", allow_pickle=False)  # written by the processes as they go
    output, done, reported = list(network).index(program.output_name), 0, -1
    quiet = patience(program, STEP_SECONDS)
    while worker.leader.poll() is None:
        if job.activity.exists():
            return built or time.perf_counter()
        if job.failure.exists():
            raise _failure(job)
        if built is None and job.running.exists():
            built, deadline = time.perf_counter(), time.monotonic() + quiet
        if (now := int(steps.sum())) != done:
            done, deadline = now, time.monotonic() + quiet
        if progress and built is not None and reported != int(steps[output]):
            reported = int(steps[output])
            progress(reported)
        if time.monotonic() > deadline:
            raise TargetError(_hanging(network, steps, built is not None))
        time.sleep(POLL_SECONDS)
    if job.failure.exists():
        raise _failure(job)
    text = job.log.read_text(errors="replace")
    log.debug("the Lava worker's output:\n%s", text)
    lines = text.strip().splitlines() or ["no output"]
    raise TargetError(f"target lava: the worker {ending(worker.leader.returncode)}: {lines[-1][:300]}")


def _hanging(network: dict[str, Group], steps: np.ndarray, built: bool) -> str:
    if not built:
        return "target lava: no progress for too long while the network is built; run again, or use --target reference"
    done = dict(zip(network, steps.tolist(), strict=True))
    behind = min(done.values())
    # the first that is behind although all it waits for has arrived
    name = next(
        name for name, group in network.items() if done[name] == behind and all(done[port] > behind for port in group.ports)
    )
    return f"target lava: no progress for too long: node {name} does not finish step {behind + 1} of the run; the network hangs"


def _failure(job: Job) -> TargetError:
    what, _, text = job.failure.read_text(errors="replace").partition("\n")
    log.debug("%s:\n%s", what, text)
    last = text.strip().rpartition("\n")[2][:300]
    error = TargetError(" ".join(["target lava:", what, last]).strip())
    error.__cause__ = RuntimeError(text)
    return error
