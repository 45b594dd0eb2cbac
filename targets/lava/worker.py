"""The worker process: builds the Lava network of a program, runs it, and leaves outputs and counts in the job's directory.

Started by the host as ``python -m ecmt_deploy.targets.lava.worker JOB``. It imports lava, and never torch.
"""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.program import Program, read
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.frames import activity_of

from . import compat
from .groups import groups
from .job import Job, Settings

compat.prepare()

from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402

from .network.infrastructure import install  # noqa: E402
from .network.process import GroupProcess, Plan, Recording, process_class  # noqa: E402

#: messages a channel holds: one stream sends one message per step
CHANNEL_SIZE = 1


def plan(program: Program, job: Job, settings: Settings) -> Plan:
    """What the processes share; arrays are files that the forked processes inherit."""
    recordings: dict[str, tuple[Recording, ...]] = {}
    for i, probe in enumerate(settings.probes):
        series = np.load(job.recording(i), mmap_mode="r+", allow_pickle=False)
        recordings[probe.node] = (*recordings.get(probe.node, ()), Recording(probe.kind, series))
    samples = np.load(job.inputs, mmap_mode="r", allow_pickle=False)
    return Plan(
        job=job,
        dtype=np.dtype(settings.dtype),
        timesteps=settings.timesteps,
        shapes=program.shapes,
        spikes=frozenset(name for name, node in program.nodes.items() if node.emits == "spikes"),
        inputs=program.inputs,
        samples=samples,
        sent=np.load(job.sent, mmap_mode="r", allow_pickle=False) if job.sent.exists() else None,
        begins=_beginnings(len(samples), job),
        readouts=np.load(job.readouts, mmap_mode="r+", allow_pickle=False),
        steps=np.load(job.steps, mmap_mode="r+", allow_pickle=False),
        counts=np.load(job.counts, mmap_mode="r+", allow_pickle=False),
        rows={name: i for i, name in enumerate(program.nodes)},
        recordings=recordings,
    )


def _beginnings(samples: int, job: Job) -> np.ndarray:
    """Of every sample, the one with which what it belongs to began: itself, or of a frame the first of its stream."""
    begun = np.load(job.begun, allow_pickle=False) if job.begun.exists() else np.ones(samples, bool)
    numbers = np.arange(samples)
    beginnings: np.ndarray = np.maximum.accumulate(np.where(begun, numbers, 0))
    return beginnings


def build(program: Program, shared: Plan) -> dict[str, GroupProcess]:
    """One connected Lava process per group, by name."""
    processes: dict[str, GroupProcess] = {}
    for index, (name, group) in enumerate(groups(program).items()):
        processes[name] = process_class(group, shared.dtype)(group, index, shared)
        for i, source in enumerate(group.ports):
            processes[source].s_out.connect(getattr(processes[name], f"in_{i}"))
    return processes


def main(directory: Path) -> None:
    """Run the job in ``directory``; whatever fails leaves its reason there."""
    job = Job(directory)
    try:
        run(job)
    except BaseException:
        job.fail("the worker raised", traceback.format_exc())
        raise


def run(job: Job) -> None:
    """Build, run, count. The host ends the session: its processes have nothing left to say, and to stop them one by one
    takes a while.
    """
    install(job)
    program, settings = read(job.program), job.settings()
    shared = plan(program, job, settings)
    processes = build(program, shared)
    output = processes[program.output_name]
    gc.collect()
    gc.disable()  # a collection in a child would touch, and so copy, every object that it shares with the others
    output.create_runtime(
        run_cfg=Loihi2SimCfg(select_tag="fixed_pt" if shared.dtype.kind == "i" else "floating_pt"),
        compile_config={"pypy_channel_size": CHANNEL_SIZE},
    )
    job.running.touch()
    output.run(condition=RunSteps(num_steps=len(shared.samples) * settings.timesteps))
    assert "torch" not in sys.modules, "the Lava worker must not load torch"
    job.finish(msgspec.json.encode(activity(program, shared)))
    signal.pause()


def activity(program: Program, shared: Plan) -> Activity:
    """What the processes counted."""
    continued = int(np.count_nonzero(np.diff(shared.begins) == 0))
    return activity_of(program, shared.counts.sum(axis=0), len(shared.samples), continued)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
