"""Reading in a process that can be ended: hangs, crashes and bombs end in one line, whoever reads, and leave nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecmt_deploy.errors import ProgramError, RunError
from ecmt_deploy.evaluation.checkpoints import read_checkpoint
from ecmt_deploy.program import read
from ecmt_deploy.simulation.probes import load_probes
from ecmt_deploy.untrusted import limits
from ecmt_deploy.untrusted.apart import apart
from ecmt_deploy.untrusted.handover import Sender, WorkError
from ecmt_deploy.untrusted.hdf5 import read_tree
from tests.support.processes import children

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_a_file_that_never_ends_ends(hanging, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.3)
    with pytest.raises(ProgramError, match="hanging.nir: not a readable program file .reading it does not come to an end") as e:
        read(hanging)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda sender: os.kill(os.getpid(), signal.SIGSEGV), "crashed .SIGSEGV"),
        (lambda sender: os.kill(os.getpid(), signal.SIGKILL), "was killed"),
        (lambda sender: os._exit(3), "ended early"),
        (lambda sender: bytearray(2 * limits.MEMORY_BYTES), "MemoryError"),
        (lambda sender: 1 // 0, "by zero"),
        (lambda sender: sender.send(b"four") or sender.send(b"more"), "more values than declared"),
        (lambda sender: sys.exit("nobody hears this"), "ended early"),
    ],
)
def test_work_that_fails_says_how(work, expected):
    with pytest.raises(WorkError, match=expected), apart(work) as answer:
        answer.take_into(memoryview(bytearray(7)))


def test_silence_ends(monkeypatch):
    monkeypatch.setattr(limits, "SILENCE_SECONDS", 1)
    with pytest.raises(WorkError, match="nothing heard for 1 s"), apart(lambda sender: time.sleep(60)) as answer:
        answer.take()


def test_work_that_is_alive_may_take_long(monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.3)

    def work(sender: Sender) -> None:
        for _ in range(4):
            sender.alive()
            begun = time.process_time()
            while time.process_time() < begun + 0.15:
                pass
        sender.send(b"done")

    with apart(work) as answer:
        assert answer.take() == b"done"


def test_a_caller_that_wants_no_more_leaves_nothing():
    with apart(lambda sender: sender.send(bytes(1 << 22))):
        pass
    with pytest.raises(ZeroDivisionError), apart(lambda sender: time.sleep(60)):
        raise ZeroDivisionError


def test_a_program_that_reaps_all_children_itself(good):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert len(read(good).nodes) == 10
        with pytest.raises(WorkError, match="ended early"), apart(lambda sender: None) as answer:
            answer.take()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_threads_fork_one_at_a_time(monkeypatch):
    """filelock, which torch needs, refuses a fork while another thread forks (seen on Python 3.12)."""
    fork, forking, seen, found = os.fork, [], [], []

    def slow_fork() -> int:
        forking.append(threading.get_ident())
        seen.append(len(forking))
        time.sleep(0.01)
        try:
            return fork()
        finally:
            forking.remove(threading.get_ident())

    def work() -> None:
        for _ in range(3):
            with apart(lambda sender: sender.send(b"done")) as answer:
                found.append(bytes(answer.take()))

    monkeypatch.setattr(os, "fork", slow_fork)
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"done"] * 18
    assert seen == [1] * 18


def test_threads(good, hanging, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.3)
    found: list[object] = []

    def attempt(path: Path) -> None:
        try:
            found.append(len(read(path).nodes))
        except ProgramError as error:
            found.append(str(error))

    threads = [threading.Thread(target=attempt, args=(path,)) for path in [good] * 6 + [hanging] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(10) == 6
    assert sum("does not come to an end" in str(what) for what in found) == 2


def test_a_daemon(good):
    """A daemonic process of multiprocessing, as a worker of a DataLoader is, may have no children of multiprocessing's."""
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    daemon = context.Process(target=lambda: answer.put(len(read(good).nodes)), daemon=True)
    daemon.start()
    assert answer.get() == 10
    daemon.join()


READS = """
import sys
from ecmt_deploy.untrusted import limits
from ecmt_deploy.program import read
limits.SECONDS = float(sys.argv[2])
print("reading", flush=True)
read(sys.argv[1])
"""


def wait_for(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("number", "seconds", "status"), [(signal.SIGINT, 60, 130), (signal.SIGTERM, 60, 143), (signal.SIGKILL, 1, -signal.SIGKILL)]
)
def test_signals_end_it_at_once(hanging, number, seconds, status):
    """The command line answers SIGINT and SIGTERM; what is read for a program that was killed ends by itself."""
    if number == signal.SIGKILL:
        command = [sys.executable, "-c", READS, str(hanging), str(seconds)]
    else:
        main = f"from ecmt_deploy import cli; from ecmt_deploy.untrusted import limits; limits.SECONDS = {seconds}; cli.main()"
        command = [sys.executable, "-c", main, "inspect", str(hanging)]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert wait_for(lambda: children(program.pid))
        inside = children(program.pid)
        time.sleep(0.2)
        begun = time.monotonic()
        program.send_signal(number)
        _, said = program.communicate(timeout=20)
        assert program.returncode == status
        assert number == signal.SIGKILL or said.count("\n") == 1
        assert number == signal.SIGKILL or time.monotonic() - begun < 5
        assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in inside))
    finally:
        program.kill()


DTYPES = ["<f2", "<f4", "<f8", ">f4", ">f8", "<i1", "<i2", ">i4", "<i8", "<u2", "|b1"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(DTYPES),
            st.lists(st.integers(0, 5), max_size=3),
            st.sampled_from([{}, {"chunks": True}, {"compression": 3}, {"compression": 3, "shuffle": True}]),
        ),
        max_size=4,
    ),
    st.sampled_from(["earliest", "latest"]),
    st.sampled_from([0, 512]),
)
def test_arrays_are_what_was_written(tmp_path, datasets, version, userblock):
    """In every layout that HDF5 has for plain and gzip values, whether they are sent or read from their place."""
    rng = np.random.default_rng(len(datasets))
    written = {}
    with h5py.File(tmp_path / "a.h5", "w", libver=version, userblock_size=userblock) as file:
        for i, (dtype, shape, options) in enumerate(datasets):
            values = (rng.normal(size=shape) * 50).astype(dtype)
            written[str(i)] = values
            file.create_dataset(f"group/{i}", data=values, **(options if values.size and shape else {}))
        file["text/one"] = "Übergang"
        file.create_dataset("text/fixed", data=np.array([[b"a", b"bc"]]))
    tree = read_tree(tmp_path / "a.h5")
    assert tree["text"]["one"].item() == "Übergang"
    assert tree["text"]["fixed"].tolist() == [["a", "bc"]]
    assert tree.get("group", {}).keys() == written.keys()
    for name, values in written.items():
        found = tree["group"][name]
        assert found.dtype == values.dtype.newbyteorder("=")
        assert found.flags.writeable
        np.testing.assert_array_equal(found, values)


def test_many_rows_are_sent_in_parts(tmp_path, monkeypatch):
    from ecmt_deploy.untrusted import hdf5

    monkeypatch.setattr(hdf5, "SLAB_BYTES", 1000)
    values = np.arange(30_000, dtype=np.float64).reshape(1000, 30)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, compression=1, chunks=(7, 11))
        file.create_dataset("y", data=values[:, 0] > 3)
    tree = read_tree(tmp_path / "a.h5")
    np.testing.assert_array_equal(tree["x"], values)
    np.testing.assert_array_equal(tree["y"], values[:, 0] > 3)


def itself(file: h5py.File) -> None:
    file["x"] = file["/"]


def deep(file: h5py.File) -> None:
    file.create_group("/".join("x" * 20))


def compound(file: h5py.File) -> None:
    file["x"] = np.zeros(3, [("a", "f4"), ("b", "f4")])


def other_filter(file: h5py.File) -> None:
    file.create_dataset("x", data=np.zeros(30), fletcher32=True)


def a_type(file: h5py.File) -> None:
    file["x"] = np.dtype("f4")


def nothing(file: h5py.File) -> None:
    file["x"] = h5py.Empty("f4")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (itself, "x stores the same bytes again"),
        (deep, "groups are nested 9 deep"),
        (compound, "x has dtype .*, expected numbers or text"),
        (other_filter, "x is stored in a way that is not read"),
        (nothing, "x is stored in a way that is not read"),
        (a_type, "x is a TypeIntegerID|x is a TypeFloatID"),
    ],
)
def test_what_is_not_read(damage, expected, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        damage(file)
    with pytest.raises(WorkError, match=expected):
        read_tree(tmp_path / "a.h5")


def test_a_file_that_unpacks_to_a_thousand_times_its_size(tmp_path, monkeypatch):
    from ecmt_deploy.untrusted import hdf5

    monkeypatch.setattr(hdf5, "BOMB_BYTES", 1 << 20)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(1 << 20), compression=9)
    with pytest.raises(WorkError, match="x unpacks from .* to 8388608 bytes"):
        read_tree(tmp_path / "a.h5")


@pytest.mark.parametrize(("call", "name"), [(read, "p.nir"), (load_probes, "probes.h5"), (read_checkpoint, "part-1-of-2.json")])
def test_a_pipe_is_not_waited_for(call, name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises((ProgramError, RunError), match=r"no such file|no regular file"):
        call(tmp_path / name)
