"""Evaluation under the real torchrun: any number of processes gives the same bytes, and what was kept is not lost."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ecmt_deploy import ranks
from ecmt_deploy.distributed import choose_device
from ecmt_deploy.errors import ConfigError, ElsewhereError, RunError
from ecmt_deploy.parts import part_path, read_part
from tests.evaluations import BATCH, STEPS, prepare, shard, undivided

ROOT = Path(__file__).parent.parent
#: long enough to be killed half way: 151 batches of a sample and many steps
LONG = {"timesteps": 48, "batch_size": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("distributed")
    prepare(made)
    (made / "long").mkdir()
    prepare(made / "long", samples=151)
    return made


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
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "ecmt_deploy", *arguments],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def evaluate(folder: Path, out: str, timesteps: int = STEPS, batch_size: int = BATCH) -> list[str]:
    data = f"npz:{folder / 'data.npz'}"
    sizes = ["--timesteps", str(timesteps), "--batch-size", str(batch_size)]
    return ["evaluate", "p.nir", "--data", data, *sizes, "--device", "cpu", "--out", out]


@pytest.mark.parametrize(("processes", "batch_size"), [(1, BATCH), (2, BATCH), (3, BATCH), (3, 9)])
def test_any_world_size_writes_the_same_bytes(folder, tmp_path, processes, batch_size):
    """Of 17 samples in 5 batches, the last of one sample; and 3 processes for 2 batches."""
    whole = undivided(folder, tmp_path / "whole.json", batch_size=batch_size)
    running = torchrun(processes, folder, *evaluate(folder, str(tmp_path / "e.json"), batch_size=batch_size))
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert (tmp_path / "e.json").read_bytes() == whole
    assert out.count("Accuracy on 17 samples") == 1
    assert err.strip() == ""


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
    while not (path.exists() and read_part(path).done >= batches):
        assert launcher.poll() is None, launcher.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the process to kill in /proc")
def test_a_killed_rank_goes_on_and_counts_nothing_twice(folder, tmp_path):
    long, parts = folder / "long", tmp_path / "parts"
    whole = undivided(long, tmp_path / "whole.json", **LONG)
    command = [*evaluate(long, str(tmp_path / "e.json"), **LONG), "--checkpoint", str(parts)]
    second = part_path(parts, 2, 2)

    running = torchrun(2, long, *command)
    wait_for(second, 5, running)
    kill_rank(running, 1)
    _, err = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "ecmt_deploy/" not in err  # none of ours has a traceback
    assert not (tmp_path / "e.json").exists()
    left = [read_part(part_path(parts, i, 2)) for i in (1, 2)]
    assert 5 <= left[1].done < len(left[1].batches)

    running = torchrun(2, long, *command, restarts=1)  # this time torchrun itself starts them again
    wait_for(second, left[1].done + 5, running)
    kept = read_part(second)
    assert not kept.complete
    kill_rank(running, 1)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert (tmp_path / "e.json").read_bytes() == whole
    assert out.count("Accuracy on 151 samples") == 1
    resumed = [int(n) for n in re.findall(r"parts: (\d+) of 151 samples are counted already", err)]
    assert resumed[0] == sum(part.n_samples for part in left)
    assert len(resumed) == 2
    assert resumed[1] > resumed[0]


def test_what_torchrun_began_is_finished_without_it(folder, tmp_path):
    """By the processes of an array, and the other way round."""
    whole = undivided(folder, tmp_path / "whole.json")
    shard(folder, "2/2", tmp_path / "parts")
    command = [*evaluate(folder, str(tmp_path / "e.json")), "--checkpoint", str(tmp_path / "parts")]
    running = torchrun(2, folder, *command)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert f"{tmp_path / 'parts'}: 8 of 17 samples are counted already" in err
    assert (tmp_path / "e.json").read_bytes() == whole
    assert shard(folder, "1/2", tmp_path / "parts").complete


def test_what_is_wrong_for_all_is_said_once(folder, tmp_path):
    running = torchrun(2, folder, *evaluate(folder, str(tmp_path / "none" / "e.json")))
    out, err = running.communicate(timeout=120)
    ours = [line for line in err.splitlines() if line.startswith("ecmt-deploy: ")]
    assert len(ours) == 1, err
    assert "its directory does not exist" in ours[0]
    assert re.search(r"exitcode +: 2 ", err)
    assert (running.returncode, out) == (1, "")


def test_a_broken_part_of_one_rank_stops_all_with_one_line(folder, tmp_path):
    shard(folder, "2/2", tmp_path / "parts")
    part_path(tmp_path / "parts", 2, 2).write_text("{")
    command = [*evaluate(folder, str(tmp_path / "e.json")), "--checkpoint", str(tmp_path / "parts")]
    running = torchrun(2, folder, *command)
    _, err = running.communicate(timeout=120)
    ours = [line for line in err.splitlines() if line.startswith("ecmt-deploy: ")]
    assert len(ours) == 1, err
    assert "part-2-of-2.json: damaged" in ours[0]
    assert not (tmp_path / "e.json").exists()


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
    assert ranks.place() == ranks.Place(0, 1, 0, launched=False)
    environment(3, 4, 1)
    assert ranks.place() == ranks.Place(3, 4, 1, launched=True)
    for wrong in (("x", 4, 1), (4, 4, 1), (-1, 4, 1), (0, 4, -1)):
        environment(*wrong)
        with pytest.raises(ConfigError, match="the environment says"):
            ranks.place()


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
