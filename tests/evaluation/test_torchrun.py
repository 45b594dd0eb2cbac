"""Evaluation under the real torchrun: any number of processes gives the same bytes, and what was kept is not lost."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import torch

from ecmt_deploy.errors import ConfigError, ElsewhereError, RunError
from ecmt_deploy.evaluation import jobs
from ecmt_deploy.evaluation.checkpoints import Origin, checkpoint_path, read_checkpoint
from ecmt_deploy.evaluation.jobs import choose_device
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.evaluation.torchrun import Process, fresh_store, this_process
from ecmt_deploy.runs.merge import merge
from tests.support.evaluations import BATCH, STEPS, prepare, shard, undivided

ROOT = Path(__file__).parents[2]
#: long enough to be killed half way: 51 batches of many steps
LONG = {"timesteps": 32, "batch_size": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("distributed")
    prepare(made)
    (made / "long").mkdir()
    prepare(made / "long", samples=101)
    return made


_STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    """Ends what a test that failed has not waited for; torchrun ends its processes."""
    yield
    while _STARTED:
        launcher = _STARTED.pop()
        if launcher.poll() is None:
            launcher.terminate()
            launcher.communicate(timeout=60)


def torchrun(processes: int, folder: Path, *arguments: str, restarts: int = 0) -> subprocess.Popen:
    """Start ``torchrun -m ecmt_deploy`` on free ports."""
    launcher = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        "--max-restarts",
        str(restarts),
    ]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(
        [sys.executable, *launcher, "-m", "ecmt_deploy", *arguments],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _STARTED.append(started)
    return started


def evaluate(folder: Path, out: str, timesteps: int = STEPS, batch_size: int = BATCH) -> list[str]:
    data = f"npz:{folder / 'data.npz'}"
    sizes = ["--timesteps", str(timesteps), "--batch-size", str(batch_size)]
    return ["evaluate", "p.nir", "--data", data, *sizes, "--device", "cpu", "--out", out]


@pytest.mark.parametrize(
    ("processes", "batch_size"),
    [(2, BATCH), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in ((1, BATCH), (3, 9), (3, BATCH)))],
)
def test_any_world_size_writes_the_same_bytes(folder, tmp_path, processes, batch_size, monkeypatch):
    """Of 17 samples in 5 batches, the last of one sample; 3 processes for 2 batches; and what others began is gone on with: a
    part of which one batch was done."""
    whole = undivided(folder, tmp_path / "whole.json", batch_size=batch_size)
    command = evaluate(folder, str(tmp_path / "e.json"), batch_size=batch_size)
    before = ""
    if processes == 2:
        batches = iter([jobs.score_batch])
        with monkeypatch.context() as patch:
            patch.setattr(jobs, "score_batch", lambda *arguments: next(batches)(*arguments))
            with pytest.raises(StopIteration):
                shard(folder, "1/2", tmp_path / "parts")
        command += ["--checkpoint", str(tmp_path / "parts")]
        before = f"{tmp_path / 'parts'}: {BATCH} of 17 samples are counted already"
    running = torchrun(processes, folder, *command)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert (tmp_path / "e.json").read_bytes() == whole
    assert out.count("Accuracy on 17 samples") == 1
    assert err.strip() == before


def rank_of(pid: Path) -> int | None:
    """The rank of a process, if torchrun started it."""
    try:
        found = re.search(rb"(?:^|\0)RANK=(\d+)\0", (pid / "environ").read_bytes())
    except OSError:  # it has ended
        return None
    return int(found[1]) if found else None


def kill_rank(launcher: subprocess.Popen, rank: int) -> None:
    """As the kernel kills what needs too much memory: nothing can be kept any more."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    [victim] = [int(child) for child in children if rank_of(Path("/proc") / child) == rank]
    os.kill(victim, signal.SIGKILL)


def wait_for(path: Path, batches: int, launcher: subprocess.Popen) -> None:
    deadline = time.monotonic() + 100
    while not (path.exists() and read_checkpoint(path).done >= batches):
        assert launcher.poll() is None, launcher.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the process to kill in /proc")


def long_evaluation(folder: Path, tmp_path: Path) -> tuple[bytes, list[str], list[Path]]:
    """What it writes undivided, the command with checkpoints, and the files of the two parts."""
    whole = undivided(folder / "long", tmp_path / "whole.json", **LONG)
    command = [*evaluate(folder / "long", str(tmp_path / "e.json"), **LONG), "--checkpoint", str(tmp_path / "parts")]
    return whole, command, [checkpoint_path(tmp_path / "parts", Shard(i, 2)) for i in (1, 2)]


@needs_proc
def test_a_killed_rank_goes_on_and_counts_nothing_twice(folder, tmp_path):
    whole, command, parts = long_evaluation(folder, tmp_path)
    running = torchrun(2, folder / "long", *command)
    wait_for(parts[1], 1, running)
    kill_rank(running, 1)
    _, err = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "/ecmt_deploy/" not in err  # none of ours ends in a traceback
    assert not (tmp_path / "e.json").exists()
    left = [read_checkpoint(path) for path in parts]
    assert 1 <= left[1].done < len(left[1].batches)

    for i in (1, 2):  # that torchrun goes on too, test_any_world_size_writes_the_same_bytes has
        shard(folder / "long", f"{i}/2", tmp_path / "parts", **LONG)
    merge([tmp_path / "parts"], tmp_path / "e.json")
    assert (tmp_path / "e.json").read_bytes() == whole


@needs_proc
@pytest.mark.slow
def test_torchrun_restarts_a_killed_rank_itself(folder, tmp_path):
    """It keeps its store over a restart, with the addresses of dead processes in it."""
    whole, command, parts = long_evaluation(folder, tmp_path)
    running = torchrun(2, folder / "long", *command, restarts=1)
    wait_for(parts[1], 1, running)
    kill_rank(running, 1)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert (tmp_path / "e.json").read_bytes() == whole
    assert re.search(r"parts: \d+ of 101 samples are counted already", err)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["p.nir", "--shard", "1/2"], "--shard 1/2 needs --checkpoint"),  # before the processes are connected
        (["none.nir"], "none.nir: no such file"),  # and after
    ],
)
def test_what_is_wrong_for_all_is_said_once(folder, arguments, words):
    running = torchrun(2, folder, "evaluate", *arguments, "--data", "digits")
    out, err = running.communicate(timeout=120)
    ours = [line for line in err.splitlines() if line.startswith("ecmt-deploy: ")]
    assert len(ours) == 1, err
    assert words in ours[0]
    assert re.search(r"exitcode +: 2 ", err)
    assert (running.returncode, out) == (1, "")


# --- without processes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch):
    """Sets what torchrun sets."""

    def launched(rank: object = 0, size: object = 2, local: object = 0) -> None:
        given = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": local, "MASTER_ADDR": "localhost", "MASTER_PORT": 1}
        for name, value in given.items():
            monkeypatch.setenv(name, str(value))

    return launched


def test_the_place_among_processes(environment, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert this_process() == Process(0, 1, 0, launched=False)
    environment(3, 4, 1)
    assert this_process() == Process(3, 4, 1, launched=True)
    for wrong in (("x", 4, 1), (4, 4, 1), (-1, 4, 1), (0, 4, -1)):
        environment(*wrong)
        with pytest.raises(ConfigError, match="the environment says"):
            this_process()


def test_all_begin_or_none(monkeypatch):
    """The first process that could not says why, and no other."""

    def fails() -> int:
        raise RunError("part-2-of-3.json: damaged")

    wrong = [False, True, True]
    monkeypatch.setattr(Process, "gather", lambda self, value: wrong)
    started = [Process(rank, 3, rank, launched=True) for rank in range(3)]
    with pytest.raises(ElsewhereError):
        started[0].together(lambda: 1)
    with pytest.raises(RunError, match="damaged"):
        started[1].together(fails)
    with pytest.raises(ElsewhereError):
        started[2].together(fails)
    wrong[:] = [False] * 3
    assert started[0].together(lambda: 1) == 1


def test_a_start_takes_nothing_from_the_start_before(monkeypatch):
    """Two starts of three processes on one store, as torchrun keeps it; the first leaves everything behind."""
    store = torch.distributed.HashStore()
    names = []
    for _ in range(2):
        with ThreadPoolExecutor(3) as pool:
            started = [pool.submit(fresh_store, store, rank, 3) for rank in (2, 0, 1)]
            views = [one.result(timeout=30) for one in started]
        views[0].set("name", f"start {len(names)}")
        assert {view.get("name") for view in views} == {f"start {len(names)}".encode()}
        assert not any(view.check(["other"]) for view in views)
        views[0].set("other", "stale")
        names.append(views)
    monkeypatch.setattr("ecmt_deploy.evaluation.torchrun.MEETING_S", 0.1)
    with pytest.raises(RuntimeError, match="not all 3 processes have started"):
        fresh_store(store, 0, 3)


def test_startedof_other_evaluations_do_not_add(folder, tmp_path, monkeypatch):
    """As where each machine has its own copy of the program."""

    def gather(self, value):
        return [value, msgspec.structs.replace(value, program_sha256="0" * 64)] if isinstance(value, Origin) else [value]

    monkeypatch.setattr(Process, "gather", gather)
    with pytest.raises(ConfigError, match="process 1 evaluates something else: program 000000000000, not"):
        undivided(folder, tmp_path / "e.json")


def test_what_every_process_finds_wrong_is_said_by_the_first(environment, folder, tmp_path):
    for rank, kind in ((0, ConfigError), (1, ElsewhereError)):
        environment(rank)
        with pytest.raises(kind, match="--shard is for processes that torchrun did not start"):
            shard(folder, "1/2", tmp_path)


def test_devices(environment, monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="device is 'tpu'; choose cpu or cuda"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(None) == torch.device("cpu")
    with pytest.raises(ConfigError, match="torch finds no CUDA device; use --device cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    environment(rank=5, size=6, local=1)
    assert choose_device(None) == choose_device("cuda") == torch.device("cuda", 1)
    environment(rank=5, size=6, local=2)
    with pytest.raises(ConfigError, match="no GPU of its own: torch finds 2; use --nproc-per-node 2"):
        choose_device("cuda")


def test_too_little_memory_is_one_line(folder, tmp_path, monkeypatch):
    def exhausted(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate ..")

    monkeypatch.setattr("ecmt_deploy.engine.SpikingModel.count", exhausted)
    with pytest.raises(RunError, match="cpu: out of memory at batch size 4; use a smaller --batch-size"):
        undivided(folder, tmp_path / "e.json")
