"""Batches read ahead, by a thread or by processes: the same bytes in the same order, one-line errors, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ecmt_deploy import data
from ecmt_deploy.data import reading, timm_names
from ecmt_deploy.data.dataset import Dataset, whole
from ecmt_deploy.errors import DataError
from tests.support.datasets import GREY8, RGB16, FakeDataset, FakeReader, FakeStream, write_idx, write_images, write_npz


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ecmt-read")]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert not readers()
    assert not active_children()


@pytest.fixture(scope="module")
def datasets(tmp_path_factory) -> dict[str, Dataset]:
    root = tmp_path_factory.mktemp("data")
    folder = write_images(root / "folder", {"a": 6, "b": 5})
    for path in sorted(folder.glob("b/*.png")):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    rng = np.random.default_rng(1)
    (root / "MNIST" / "raw").mkdir(parents=True)
    write_idx(root / "MNIST" / "raw", "t10k", rng.integers(0, 256, (11, 8, 8), dtype=np.uint8), np.arange(11) % 10)
    write_idx(root / "MNIST" / "raw", "train", rng.integers(0, 256, (3, 8, 8), dtype=np.uint8), np.arange(3))
    return {
        "folder": data.open(f"folder:{folder}", preprocessing=RGB16),
        "digits": data.open("digits", preprocessing=GREY8).take(np.arange(11)),
        "npz": data.open(f"npz:{write_npz(root / 'a.npz', 11)}", preprocessing=GREY8),
        "idx": data.open(f"idx:{root / 'MNIST' / 'raw'}", preprocessing=GREY8),
        "torch": data.open(f"torch/mnist:{root}", preprocessing=GREY8),
        "reader": whole(timm_names.TimmSource("hfds/x", "test", FakeDataset(FakeReader(11)), RGB16)),
        "stream": whole(timm_names.TimmSource("wds/x", "test", FakeStream(11, 11), GREY8)),
    }


def same(found, expected) -> None:
    x, y = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert x.tobytes() == expected[0].tobytes()
    assert x.dtype == np.float32
    assert y.tolist() == expected[1].tolist()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["folder", "digits", "npz", "idx", "torch", "reader", "stream"])
def test_workers_change_nothing(datasets, name, workers):
    dataset = datasets[name]
    batches = list(dataset.batches(4, workers=workers))
    assert [len(y) for _, y in batches] == [4, 4, 3]
    same(batches, dataset.arrays())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["folder", "digits", "stream"]), st.integers(1, 13), st.lists(st.integers(0, 10), min_size=1, max_size=15)
)
def test_any_batch_size_and_any_indices(datasets, name, batch_size, indices):
    if name == "stream":
        indices = sorted(set(indices))
    dataset = datasets[name]
    same(dataset.take(indices).batches(batch_size), dataset.take(indices).arrays())


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 13), st.integers(1, 3), st.lists(st.integers(0, 10), min_size=1, max_size=15))
def test_any_number_of_workers(datasets, batch_size, workers, indices):
    dataset = datasets["folder"]
    same(dataset.take(indices).batches(batch_size, workers=workers), dataset.take(indices).arrays())


def test_no_indices_are_no_batches(datasets):
    for name in ("folder", "digits", "stream"):
        assert list(datasets[name].take([]).batches(4, workers=2)) == []


def test_negative_workers_are_refused(datasets):
    with pytest.raises(DataError, match="workers must be 0 or more, found -1"):
        next(datasets["folder"].batches(4, workers=-1))


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_image_in_the_middle_is_named(tmp_path, workers):
    root = write_images(tmp_path, {"a": 9})
    (root / "a" / "4.png").write_bytes(b"no image")
    batches = data.open(f"folder:{root}", preprocessing=RGB16).batches(2, workers=workers)
    assert [len(next(batches)[1]), len(next(batches)[1])] == [2, 2]
    with pytest.raises(DataError) as error:
        next(batches)
    assert str(error.value).startswith(f"{root / 'a' / '4.png'}: not a readable image")
    assert "\n" not in str(error.value)
    assert not active_children()  # although the error is still held
    assert not readers()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_caller_that_stops_early_leaves_nothing(datasets, workers):
    batches = datasets["folder"].batches(1, workers=workers)
    next(batches)
    assert readers()
    assert len(active_children()) == workers
    batches.close()
    assert not readers()
    assert not active_children()
    for _ in datasets["folder"].batches(1, workers=workers):
        break
    with contextlib.suppress(ZeroDivisionError):
        for _ in datasets["folder"].batches(1, workers=workers):
            raise ZeroDivisionError


def test_reading_is_ahead_but_bounded(monkeypatch, datasets):
    source, seen = datasets["digits"].source, []
    read = source.read
    monkeypatch.setattr(source, "read", lambda indices: (seen.append(len(indices)), read(indices))[1])
    batches = datasets["digits"].batches(1)
    next(batches)
    deadline = time.monotonic() + 10
    while len(seen) < 1 + reading.AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(seen) == 1 + reading.AHEAD
    batches.close()


def test_streams_are_read_once(monkeypatch):
    starts = []
    stream = FakeStream(11, 11)
    dataset = whole(timm_names.TimmSource("wds/x", "test", stream, GREY8))
    assert len(dataset.labels) == 11  # they take a pass of their own, once
    monkeypatch.setattr(
        FakeStream, "__iter__", lambda self: (starts.append(1), ((Image.new("L", (8, 8), i), i % 2) for i in range(11)))[1]
    )
    assert len(stream) == 11
    assert len(list(dataset.batches(2))) == 6
    assert len(starts) == 1


def test_data_in_memory_starts_no_process(datasets):
    batches = datasets["digits"].batches(2, workers=2)
    next(batches)
    assert not active_children()
    batches.close()


def test_a_killed_worker_is_one_line(tmp_path):
    dataset = data.open(f"folder:{write_images(tmp_path, {'a': 30})}", preprocessing=RGB16)
    batches = dataset.batches(1, workers=1)
    next(batches)
    (worker,) = active_children()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(DataError, match="a process that reads ended unexpectedly.*--workers") as error:
        list(batches)
    assert "\n" not in str(error.value)


def test_the_callers_random_numbers_are_left_alone(datasets):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    list(datasets["folder"].batches(4, workers=1))
    assert torch.equal(torch.rand(1), expected)


def test_usual_workers_suit_machine_and_data(datasets, monkeypatch):
    folder, digits = datasets["folder"].source, datasets["digits"].source
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 30))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert reading.usual_workers(folder, 1000, 1 << 20) == reading.MOST_WORKERS
    assert reading.usual_workers(digits, 1000, 1 << 20) == 0
    assert reading.usual_workers(folder, 1, 1 << 20) == 0
    assert reading.usual_workers(folder, 6, 1 << 20) == 3
    assert reading.usual_workers(folder, 1000, 1 << 27) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert reading.usual_workers(folder, 1000, 1 << 20) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert reading.usual_workers(folder, 1000, 1 << 20) == 0


SLOW = """
import sys, time
from ecmt_deploy import data
from ecmt_deploy.program.preprocessing import Preprocessing
if __name__ == "__main__":
    dataset = data.open("folder:" + sys.argv[1], preprocessing=Preprocessing((3, 16, 16), (0.5,) * 3, (0.5,) * 3))
    for x, y in dataset.batches(1, workers=2):
        print("batch", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_an_interrupted_program_leaves_no_process(tmp_path, number):
    root = write_images(tmp_path / "images", {"a": 20})
    (tmp_path / "slow.py").write_text(SLOW)
    program = subprocess.Popen(
        [sys.executable, str(tmp_path / "slow.py"), str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "batch\n"
        children = Path(f"/proc/{program.pid}/task")
        pids = {int(p) for task in children.iterdir() for p in (task / "children").read_text().split()}
        assert len(pids) == 2
        program.send_signal(number)
        _, err = program.communicate(timeout=30)  # ends when no process holds stderr any more
        assert "DataLoader worker" not in err  # that it suggests fewer workers on one core is another matter
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text()]
    finally:
        program.kill()
