"""Where a system cannot fork, a process is started anew that reads: the same files, the same answers, the same ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial

import h5py
import numpy as np
import pytest

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program import read
from ecmt_deploy.untrusted import limits, started
from ecmt_deploy.untrusted.apart import apart
from ecmt_deploy.untrusted.handover import Sender, WorkError
from ecmt_deploy.untrusted.hdf5 import read_tree

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture(autouse=True)
def no_fork(monkeypatch):
    """As on Windows; what the process itself lacks there is in tests/data/test_systems.py."""
    monkeypatch.delattr(os, "fork")


def test_a_program_is_what_a_fork_reads(good, monkeypatch):
    found = read(good)
    monkeypatch.undo()
    expected = read(good)
    assert list(found.nodes) == list(expected.nodes)
    for name, node in expected.nodes.items():
        np.testing.assert_equal(vars(found.nodes[name]), vars(node))


def test_a_file_that_never_ends_ends(hanging, monkeypatch):
    monkeypatch.setattr(limits, "WAITING_SECONDS", 0.3)
    with pytest.raises(ProgramError, match=r"reading it does not come to an end: 0\.3 s led nowhere") as error:
        read(hanging)
    assert "\n" not in str(error.value)


def test_values_that_are_sent_arrive(tmp_path):
    values = np.arange(3_000_000, dtype=np.float64).reshape(1000, 3000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, compression=1, chunks=(100, 3000))
        file["text"] = "Übergang"
    tree = read_tree(tmp_path / "a.h5")
    np.testing.assert_array_equal(tree["x"], values)
    assert tree["text"].item() == "Übergang"


def kill(number: int, sender: Sender) -> None:
    os.kill(os.getpid(), number)


def leave(status: int, sender: Sender) -> None:
    os._exit(status)


def too_much(sender: Sender) -> None:
    bytearray(2 * limits.MEMORY_BYTES)


def fail(sender: Sender) -> None:
    raise ZeroDivisionError("division by zero")


def twice(sender: Sender) -> None:
    print("nobody reads this")
    sender.send(b"four")
    sender.send(b"more")


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (partial(kill, signal.SIGSEGV), "crashed .SIGSEGV"),
        (partial(leave, 0), "ended early$"),
        (partial(leave, 0xC5), "crashed .status 0xc5"),
        (too_much, "MemoryError"),
        (fail, "by zero"),
        (twice, "more values than declared"),
    ],
)
def test_work_that_fails_says_how(work, expected):
    with pytest.raises(WorkError, match=expected), apart(work) as answer:
        answer.take_into(memoryview(bytearray(7)))


def test_a_process_that_cannot_begin_says_why(monkeypatch):
    monkeypatch.setattr(started, "START", "import a_module_that_nobody_has")
    with pytest.raises(WorkError, match="ended early: ModuleNotFoundError: .*a_module_that_nobody_has"), apart(fail) as answer:
        answer.take()


def test_an_interpreter_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(WorkError, match="no process that reads it can be started: No such file"), apart(fail):
        pass


def test_nothing_of_the_working_directory_is_run(good, tmp_path, monkeypatch):
    (tmp_path / "pickle.py").write_text("raise SystemExit(3)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert len(read(good).nodes) == 10


def slowly(sender: Sender) -> None:
    for _ in range(4):
        sender.alive()
        time.sleep(0.2)
    sender.send(bytes(1 << 22))
    sender.send(b"done")


def test_neither_slow_work_nor_a_slow_caller_is_ended(monkeypatch):
    monkeypatch.setattr(limits, "WAITING_SECONDS", 0.6)
    with apart(slowly) as answer:
        time.sleep(1.5)
        assert len(answer.take()) == 1 << 22
        assert answer.take() == b"done"


def wait(sender: Sender) -> None:
    time.sleep(50)


def test_a_caller_that_wants_no_more_leaves_nothing():
    with pytest.raises(ZeroDivisionError), apart(wait):
        raise ZeroDivisionError
