"""Host side of the Lava target: writes a job, starts a worker that imports lava, watches it, and reads what it leaves."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ecmt_deploy.activity import Activity
from ecmt_deploy.errors import TargetError
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.target import Progress, Run, Unsupported
from targets.lava.job import Job
from targets.lava.session import Session, session
from targets.lava.wires import MAX_PORTS, sources

if TYPE_CHECKING:
    from ecmt_deploy.chips import Hardware

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
#: time to build the network, a constant and a share per node
BUILD_SECONDS, BUILD_SECONDS_PER_NODE = 60.0, 1.0
#: time without a finished step after which the run counts as hanging
STEP_SECONDS = 120.0


class LavaTarget:
    """Lava process models on Lava's CPU backend: one process per node, state in the processes, samples in a stream."""

    name = "lava"
    worker = ("-m", "targets.lava.worker")

    def missing(self) -> str | None:
        """How to install lava-nc where it is not."""
        try:
            version("lava-nc")
            return None
        except PackageNotFoundError:
            pass  # an import would not tell: folders that an uninstalled package leaves behind can be imported
        how = "pip install 'ecmt-deploy[lava]'"
        if sys.version_info >= (3, 11):
            how += " && pip install --no-deps --ignore-requires-python lava-nc==0.10.0"
        return f"target lava needs lava-nc, which is not installed; install it: {how}"

    def check(self, program: Program, hardware: Hardware | None) -> list[Unsupported]:
        """Nodes with more operands than a process has ports."""
        problems = []
        for name, node in program.nodes.items():
            if not isinstance(node, n.WIRING):
                ports, _ = sources(program, name)
                if len(ports) > MAX_PORTS:
                    problems.append(Unsupported(name, f"{len(ports)} operands exceed the {MAX_PORTS} ports of a process"))
        return problems

    def run(
        self,
        program: Program,
        inputs: np.ndarray,
        timesteps: int,
        *,
        dtype: np.dtype,
        progress: Progress | None = None,
    ) -> Run:
        """Run ``inputs`` (N, *input_shape) through one compiled network.

        Raises
        ------
        TargetError
            if a process model raises, a process dies or no step ends in time; nothing is left running, and no shared memory.
        """
        with tempfile.TemporaryDirectory(prefix="ecmt-lava-") as directory:
            job = Job.create(Path(directory), program, inputs, timesteps, dtype)
            with session([*self.worker, directory], Path(directory), job.log) as worker:
                self._watch(worker, job, len(program.nodes), progress)
            outputs = np.load(job.outputs, allow_pickle=False)
            return Run(outputs, msgspec.json.decode(job.activity.read_bytes(), type=Activity))

    def _watch(self, worker: Session, job: Job, nodes: int, progress: Progress | None) -> None:
        """Return when the worker has ended well; raise as soon as it cannot."""
        deadline, done, noted = time.monotonic() + BUILD_SECONDS + BUILD_SECONDS_PER_NODE * nodes, -1, False
        while worker.leader.poll() is None:
            if job.failure.exists():
                raise _failure(job)
            if job.running.exists():
                if not noted:
                    worker.note_shared_memory()
                    noted = True
                gone = set(job.children()) - set(worker.pids())
                if gone and not job.closing.exists() and not job.failure.exists():
                    raise TargetError(
                        f"target lava: {len(gone)} of its processes died (pid {min(gone)}), killed or out of "
                        "memory; run again with fewer samples or more memory"
                    )
                steps = job.steps_done()
                if steps != done:
                    done, deadline = steps, time.monotonic() + STEP_SECONDS
                    if progress:
                        progress(done // job.timesteps)
            if time.monotonic() > deadline:
                raise TargetError(f"target lava: no progress for too long after {max(done, 0)} steps; the network hangs")
            time.sleep(POLL_SECONDS)
        if job.failure.exists():
            raise _failure(job)
        if worker.leader.returncode != 0 or not job.activity.exists():
            text = job.log.read_text(errors="replace")
            log.debug("the Lava worker's output:\n%s", text)
            lines = text.strip().splitlines() or ["no output"]
            raise TargetError(f"target lava: the worker ended with status {worker.leader.returncode}: {lines[-1][:300]}")


def _failure(job: Job) -> TargetError:
    name, _, text = job.failure.read_text(errors="replace").partition("\n")
    log.debug("traceback of node %s:\n%s", name, text)
    error = TargetError(f"target lava: node {name}: its process model raised {text.strip().splitlines()[-1][:300]}")
    error.__cause__ = RuntimeError(text)
    return error
