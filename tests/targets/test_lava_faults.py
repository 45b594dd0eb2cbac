"""A random process of a Lava network killed at a random moment, a host that is interrupted or killed, no room, two runs at
once: each ends in one line, and leaves no process, no shared memory and no file behind."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ecmt_deploy.errors import TargetError
from ecmt_deploy.program import write
from ecmt_deploy.targets.lava import LavaTarget
from ecmt_deploy.targets.lava import resources as resources_module
from ecmt_deploy.testing.handmade import images
from tests.support.targets import needs_lava

pytestmark = needs_lava

#: seconds after its start within which a process is killed: the network is built within one or two of them
WINDOW_SECONDS = 4.0
#: samples that take longer than the window
SAMPLES = 2000
HOST = """
import sys
import numpy as np
import ecmt_deploy as ecmt
from ecmt_deploy.errors import EcmtError
samples = int(sys.argv[2])
x = np.random.default_rng(0).normal(size=(samples, 2, 4, 4)).astype(np.float32)
try:
    ecmt.simulate(sys.argv[1], x, "lava", 4)
except EcmtError as error:
    print(error)
    sys.exit(2)
print("done")
"""


@pytest.fixture
def clean():
    """Nothing of ours is there afterwards that was not there before."""
    before = left()
    yield
    deadline = time.monotonic() + 10
    while left() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left() - before == set()


def left() -> set[str]:
    """Shared memory, temporary directories of jobs, and workers that are alive."""
    shared = {name for name in os.listdir("/dev/shm") if "ecmt" in name or name.startswith(("psm_", "sem.mp-"))}
    return shared | {str(path) for path in Path(tempfile.gettempdir()).glob("ecmt-lava-*")} | {str(pid) for pid in workers()}


def workers() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"ecmt_deploy.targets.lava.worker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill_one_at_random(program, sessions, seed: int) -> str:
    """Run, kill, and return the error."""
    chance = random.Random(seed)
    delay, killed = chance.uniform(0.0, WINDOW_SECONDS), []

    def kill() -> None:
        while not sessions:
            time.sleep(0.01)
        time.sleep(delay)
        pids = sessions[-1].pids()
        if pids:
            victim = chance.choice(sorted(pids))
            killed.append((victim, victim == sessions[-1].leader.pid, len(pids)))
            os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        with pytest.raises(TargetError) as caught:
            LavaTarget().run(program, images(SAMPLES), 4, dtype=np.dtype(np.float64))
    finally:
        killer.join(10)
        print(f"seed {seed}: killed after {delay:.2f} s: pid, leader, of = {killed}")
    assert killed, "nothing was there to be killed"
    assert sessions[-1].pids() == []
    return str(caught.value)


def campaign(program, sessions, seeds) -> None:
    for seed in seeds:
        sessions.clear()
        message = kill_one_at_random(program, sessions, seed)
        print(f"seed {seed}: {message}")
        assert "\n" not in message
        assert "killed by SIGKILL" in message, f"seed {seed}"


def test_a_random_process_is_killed(all_programs, sessions, clean):
    seed = random.SystemRandom().randrange(10**6)
    campaign(all_programs["every node, differential"], sessions, range(seed, seed + 3))


@pytest.mark.slow
def test_random_processes_are_killed_fifty_times(all_programs, sessions, clean):
    seed = random.SystemRandom().randrange(10**6)
    campaign(all_programs["every node, differential"], sessions, range(seed, seed + 50))


def host(program, tmp_path, samples: int, *before: str, code: str = HOST, **options) -> subprocess.Popen:
    path = tmp_path / "p.nir"
    write(program, path)
    return subprocess.Popen(
        [*before, sys.executable, "-c", code, str(path), str(samples)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **options,
    )  # fmt: skip


def wait_for_worker() -> None:
    deadline = time.monotonic() + 30
    while not workers() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers()


#: other threads of the host, which outlive its first for a moment when it is killed
THREADS = """
import threading, time
for _ in range(4):
    threading.Thread(target=lambda: [time.sleep(0.001) for _ in iter(int, 1)], daemon=True).start()
"""


@pytest.mark.parametrize(("seconds", "before"), [(0.3, ""), (3.0, ""), (3.0, THREADS)])
def test_a_host_that_is_killed_takes_its_network_along(all_programs, tmp_path, clean, seconds, before):
    running = host(all_programs["every node, differential"], tmp_path, SAMPLES, code=before + HOST)
    try:
        wait_for_worker()
        time.sleep(seconds)
    finally:
        running.kill()
        running.wait(10)
    deadline = time.monotonic() + 10
    while workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line_is_interrupted(tmp_path, clean, digits, number):
    shutil.copy(digits, tmp_path / "p.nir")
    begun = subprocess.Popen(
        [sys.executable, "-m", "ecmt_deploy", "simulate", "p.nir", "--target", "lava", "--data", "digits", "--out", "run"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )  # fmt: skip
    wait_for_worker()
    time.sleep(1.5)
    begun.send_signal(number)
    _, err = begun.communicate(timeout=30)
    assert begun.returncode == 128 + number
    assert err.strip() == ("ecmt-deploy: interrupted" if number == signal.SIGINT else "ecmt-deploy: terminated")
    assert [path.name for path in tmp_path.iterdir()] == ["p.nir"]


def test_two_runs_at_once(all_programs, tmp_path, clean):
    program = all_programs["every node, rate"]
    both = [host(program, tmp_path, 3) for _ in range(2)]
    said = [each.communicate(timeout=120)[0] for each in both]
    assert said == ["done\n", "done\n"]


def in_small_shared_memory(size: str) -> list[str]:
    """A command prefix that gives what follows a ``/dev/shm`` of ``size``."""
    prefix = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"', "sh"]
    try:
        tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, timeout=20)
    except OSError as error:
        pytest.skip(f"no mount namespace: {error}")
    if tried.returncode:
        pytest.skip(f"a small /dev/shm cannot be mounted here: {tried.stderr.strip()}")
    return prefix


def test_shared_memory_without_room_is_refused(all_programs, tmp_path, clean):
    running = host(all_programs["every node, rate"], tmp_path, 1, *in_small_shared_memory("64k"))
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "of /dev/shm for semaphores, 0.1 MB are free" in said
    assert "mount it larger" in said
    assert said.count("\n") == 1


def test_shared_memory_that_fills_up_later_ends_the_run(all_programs, tmp_path, clean):
    unchecked = HOST.replace(
        "import ecmt_deploy as ecmt",
        "import ecmt_deploy as ecmt\nfrom ecmt_deploy.targets.lava import host\nhost.require_room = lambda *a: None",
    )
    running = host(all_programs["every node, rate"], tmp_path, 1, *in_small_shared_memory("64k"), code=unchecked)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "target lava: the worker raised OSError: [Errno 28] No space left on device" in said
    assert said.count("\n") == 1


def test_memory_without_room_is_refused(all_programs, monkeypatch):
    monkeypatch.setattr(resources_module, "available_memory", lambda: 1 << 20)
    with pytest.raises(TargetError, match=r"needs at least [\d.]+ MB of memory, 1.0 MB are available; .*float32"):
        LavaTarget().run(all_programs["every node, rate"], images(1), 4, dtype=np.dtype(np.float64))


def test_a_disk_without_room_is_refused(all_programs, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ecmt_deploy.targets.lava.job.write", full)
    with pytest.raises(TargetError, match="a job cannot be written: No space left on device; free space there, or set TMPDIR"):
        LavaTarget().run(all_programs["every node, rate"], images(1), 4, dtype=np.dtype(np.float64))


def test_a_process_that_stops_is_named(all_programs, sessions, clean, monkeypatch):
    """A node that never finishes its step meets the deadline, and the error says which."""
    monkeypatch.setattr("ecmt_deploy.targets.lava.host.patience", lambda program, seconds: 3.0)
    code = """
import sys, time
from pathlib import Path
from ecmt_deploy.targets.lava import worker
from ecmt_deploy.program.ops.readout import ReadoutKernel
original = ReadoutKernel.advance
def advance(self, t, *operands):
    if t == 3:
        time.sleep(600)
    return original(self, t, *operands)
ReadoutKernel.advance = advance
worker.main(Path(sys.argv[1]))
"""
    target = LavaTarget()
    target.worker = ("-c", code)
    with pytest.raises(TargetError, match="node readout does not finish step 3 of the run; the network hangs"):
        target.run(all_programs["every node, rate"], images(2), 4, dtype=np.dtype(np.float64))
    assert sessions[0].pids() == []
