"""The worker process: builds the Lava network of a program, runs it, and leaves outputs and counts in the job's directory.

Started by the host as ``python -m targets.lava.worker JOB``. It imports lava, and never torch.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ecmt_deploy.activity import Activity, Counts
from ecmt_deploy.graph import Program, read
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.kernels import Site, kernel
from targets.lava import compat
from targets.lava.job import Job
from targets.lava.wires import sources

compat.import_var_model()

from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402

from targets.lava.library import NodeProcess, process_for  # noqa: E402

#: messages a channel holds; the default of 64 takes gigabytes of shared memory for a large network
CHANNEL_SIZE = 2


def build(program: Program, inputs: np.ndarray, job: Job) -> dict[str, NodeProcess]:
    """One connected Lava process per node that is not wiring, by node name."""
    processes: dict[str, NodeProcess] = {}
    for name, node in program.nodes.items():
        if isinstance(node, n.WIRING):
            continue
        ports, wires = sources(program, name)
        extra: dict[str, Any] = {}
        if name == program.input_name:
            extra["samples"] = inputs
        if name == program.output_name:
            extra |= {"samples": len(inputs), "heartbeat": job.heartbeat}
        processes[name] = process_for(node, len(ports))(
            node=node,
            site=Site.of(program, name),
            reset_interval=job.timesteps,
            dtype=job.dtype,
            received=tuple((program.shapes[source], _spikes(program, source)) for source in ports),
            wires=tuple(wires),
            name=name,
            failures=job.directory,
            **extra,
        )
        for i, source in enumerate(ports):
            processes[source].s_out.connect(getattr(processes[name], f"in_{i}"))
    return processes


def _spikes(program: Program, name: str) -> bool:
    return isinstance(program.nodes[name], n.MultiThreshold)


def main(directory: Path) -> None:
    """Run the job in ``directory``."""
    job = Job(directory)
    program, inputs = read(job.program), np.load(job.inputs, allow_pickle=False)
    processes = build(program, inputs, job)
    output = processes[program.output_name]
    output.create_runtime(run_cfg=Loihi2SimCfg(select_tag="floating_pt"), compile_config={"pypy_channel_size": CHANNEL_SIZE})
    job.announce([child.pid for child in multiprocessing.active_children() if child.pid is not None])
    output.run(condition=RunSteps(num_steps=len(inputs) * job.timesteps))
    readouts = output.readouts.get().reshape(len(inputs), job.timesteps, *program.output_shape)
    counts = {name: Counts() for name in program.nodes}
    for name, process in processes.items():
        kind = kernel(program.nodes[name], Site.of(program, name), job.dtype).ecm_kind
        counts[name] = process.read_counts(kind)
    job.close()
    output.stop()
    np.save(job.outputs, readouts.swapaxes(0, 1).astype(job.dtype))
    job.activity.write_bytes(msgspec.json.encode(Activity(len(inputs), job.timesteps, counts)))
    assert "torch" not in sys.modules, "the Lava worker must not load torch"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
