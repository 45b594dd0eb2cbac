"""A Lava network that breaks ends in an error within seconds, and leaves neither processes nor shared memory."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ecmt_deploy.errors import NotFiniteError, TargetError
from ecmt_deploy.program.gate import Gate
from ecmt_deploy.simulation.streams import frame_runs
from ecmt_deploy.targets.lava import LavaTarget
from ecmt_deploy.targets.lava import host as host_module
from ecmt_deploy.targets.reference import ReferenceTarget
from ecmt_deploy.testing import case
from ecmt_deploy.testing.handmade import images
from tests.support.streams import clip
from tests.support.targets import needs_lava

pytestmark = needs_lava

#: a worker whose neuron model raises in the third step
RAISING = """
import sys
from pathlib import Path
from ecmt_deploy.targets.lava import worker
from ecmt_deploy.program.ops.multi_threshold import NeuronKernel
original = NeuronKernel.advance
def advance(self, t, *operands):
    if t == 3:
        raise FloatingPointError("planted failure")
    return original(self, t, *operands)
NeuronKernel.advance = advance
worker.main(Path(sys.argv[1]))
"""
#: a worker whose network takes its time, so that a child can be killed meanwhile
SLOW = """
import sys, time
from pathlib import Path
from ecmt_deploy.targets.lava import worker
from ecmt_deploy.program.ops.output import OutputKernel
original = OutputKernel.advance
def advance(self, t, *operands):
    time.sleep(0.3)
    return original(self, t, *operands)
OutputKernel.advance = advance
worker.main(Path(sys.argv[1]))
"""


@pytest.fixture
def shared_memory():
    """Shared memory before, and the sessions that were started."""
    return set(os.listdir("/dev/shm"))


def assert_nothing_left(sessions, shared_memory):
    assert len(sessions) == 1
    assert sessions[0].pids() == []
    assert set(os.listdir("/dev/shm")) <= shared_memory


def target(code: str) -> LavaTarget:
    made = LavaTarget()
    made.worker = ("-c", code)
    return made


def run(made: LavaTarget, program, count: int = 6):
    return made.run(program, images(count), 4, dtype=np.dtype(np.float64))


def test_a_process_model_that_raises(all_programs, sessions, shared_memory):
    begun = time.monotonic()
    with pytest.raises(TargetError, match=r"node .*neuron.*FloatingPointError: planted failure") as caught:
        run(target(RAISING), all_programs["every node, differential"])
    assert "\n" not in str(caught.value)
    assert "Traceback" in str(caught.value.__cause__), "the worker's own traceback is kept"
    assert time.monotonic() - begun < 40
    assert_nothing_left(sessions, shared_memory)


def kill_a_child(sessions, killed_at: list[float]) -> None:
    while not sessions:
        time.sleep(0.05)
    directory = Path(os.readlink(f"/proc/{sessions[0].leader.pid}/cwd"))
    while not (directory / "running").exists():
        time.sleep(0.05)
    children = [pid for pid in sessions[0].pids() if pid != sessions[0].leader.pid]
    os.kill(children[len(children) // 2], signal.SIGKILL)
    killed_at.append(time.monotonic())


def test_a_killed_child(all_programs, sessions, shared_memory):
    killed_at: list[float] = []
    killer = threading.Thread(target=kill_a_child, args=(sessions, killed_at), daemon=True)
    killer.start()
    with pytest.raises(TargetError, match="node .* was killed by SIGKILL"):
        run(target(SLOW), all_programs["every node, differential"], count=40)
    killer.join(5)
    assert time.monotonic() - killed_at[0] < 10
    assert_nothing_left(sessions, shared_memory)


def streamed(made: LavaTarget, program, frames: int):
    return list(frame_runs(program, clip(images(3), frames), made, 1, Gate(program, 0.0), "float64"))


def test_a_process_model_that_raises_in_a_stream(all_programs, sessions, shared_memory):
    with pytest.raises(TargetError, match=r"node .*neuron.*FloatingPointError: planted failure") as caught:
        streamed(target(RAISING), all_programs["every node, differential"], 6)
    assert "\n" not in str(caught.value)
    assert_nothing_left(sessions, shared_memory)


def test_a_child_killed_in_a_stream(all_programs, sessions, shared_memory):
    killer = threading.Thread(target=kill_a_child, args=(sessions, []), daemon=True)
    killer.start()
    with pytest.raises(TargetError, match="node .* was killed by SIGKILL"):
        streamed(target(SLOW), all_programs["every node, differential"], 40)
    killer.join(5)
    assert_nothing_left(sessions, shared_memory)


def test_a_value_that_is_no_longer_finite_ends_a_stream_as_it_ends_a_run(sessions, shared_memory):
    """The frame with which it happens; the same line as of the reference."""
    program, huge = case("every node, differential").program, [*clip(images(3), 3), np.full((2, 4, 4), 1.7e308)]
    lines = []
    for chosen in (LavaTarget(), ReferenceTarget()):
        with pytest.raises(TargetError if chosen.name == "lava" else NotFiniteError) as caught, np.errstate(all="ignore"):
            list(frame_runs(program, huge, chosen, 1, Gate(program, 0.0), "float64"))
        lines.append(str(caught.value))
    assert lines[1] in lines[0]
    assert "\n" not in lines[0]
    assert_nothing_left(sessions, shared_memory)


def test_a_worker_that_hangs_meets_its_deadline(all_programs, sessions, shared_memory, monkeypatch):
    monkeypatch.setattr(host_module, "BUILD_SECONDS", 1.0)
    monkeypatch.setattr(host_module, "BUILD_SECONDS_PER_PROCESS", 0.0)
    with pytest.raises(TargetError, match="no progress"):
        run(target("import time; time.sleep(600)"), all_programs["every node, rate"])
    assert_nothing_left(sessions, shared_memory)


def test_a_worker_that_cannot_start(all_programs, sessions, shared_memory):
    with pytest.raises(TargetError, match="status 1: ModuleNotFoundError"):
        run(target("import no_such_module"), all_programs["every node, rate"])
    assert_nothing_left(sessions, shared_memory)


def test_success_leaves_nothing_either(all_programs, sessions, shared_memory):
    run(LavaTarget(), all_programs["every node, rate"], count=1)
    assert_nothing_left(sessions, shared_memory)
