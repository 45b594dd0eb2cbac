"""Systems differ in what calls they have: where one is missing, work goes on without it, or an error says what is missing."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ecmt_deploy import data
from ecmt_deploy.program.preprocessing import Preprocessing


def test_processes_read_images_where_a_signal_is_missing(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path / name / "0.png")
    monkeypatch.delattr(signal, "SIGHUP")
    dataset = data.evaluation(f"folder:{tmp_path}", preprocessing=Preprocessing((1, 8, 8), (0.0,), (1.0,)))
    assert [len(x) for x, _ in dataset.batches(1, workers=2)] == [1, 1]


#: run before anything of ours is imported, here and in the process that reads: what Windows does not have, gone.
#: Python's own modules and libraries are imported first, as they ask which system they run on; what they call here, SIGKILL and
#: sendfile, stays
WITHOUT = """
import encodings.cp1252, faulthandler, multiprocessing, os, pickle, select, selectors, signal, socket, subprocess, sys, tempfile
import h5py, msgspec, numpy
{libraries}
for module, gone in {{
    os: "fork forkpty register_at_fork readv writev pread pwrite preadv pwritev WNOHANG WTERMSIG WIFSIGNALED WEXITSTATUS getuid"
        " geteuid getgid setsid getpgid setpgid killpg sysconf uname mkfifo fchmod fchown statvfs sched_getaffinity"
        " sched_setaffinity posix_fallocate posix_fadvise wait3 wait4 nice getpriority O_NOFOLLOW"
        " O_DIRECTORY O_CLOEXEC O_NONBLOCK lockf memfd_create pipe2 getloadavg ctermid ttyname",
    signal: "SIGHUP SIGALRM SIGPROF SIGCHLD SIGPIPE SIGUSR1 SIGQUIT SIGSTOP setitimer alarm pthread_sigmask pthread_kill"
        " ITIMER_PROF ITIMER_REAL SIG_BLOCK SIG_SETMASK SIG_UNBLOCK sigwait pause",
    select: "poll epoll POLLIN POLLERR POLLHUP",
}}.items():
    for name in gone.split():
        vars(module).pop(name, None)
for name in "resource fcntl pwd grp termios tty pty syslog".split():
    sys.modules[name] = None
"""

LIBRARIES = """
import asyncio, matplotlib.pyplot, nir, rich.console, rich.progress, scipy.sparse, sklearn.datasets, timm, torch, torch.export
import torch._dynamo, torch.utils.data, torchvision, cyclopts, jinja2
"""

WORK = """
import importlib, pkgutil
from pathlib import Path
import numpy as np
import pytest
from ecmt_deploy.untrusted import started
started.START = READING + started.START
import ecmt_deploy
from ecmt_deploy import errors, targets
for package in (ecmt_deploy, targets):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith(("ecmt_deploy.targets.lava.", "ecmt_deploy.__main__", "ecmt_deploy.testing")):
            importlib.import_module(module.name)
from ecmt_deploy import cli
def ecmt(words):
    sys.argv = ["ecmt-deploy", *words.split()]
    cli.main()
    sys.stdout.flush()
ecmt("convert zoo:vit_digits --data digits --calibration-samples 16 --preset paper --out p.nir")
ecmt("inspect p.nir")
ecmt("simulate p.nir --target reference --data digits --limit 2 --out run")
ecmt("evaluate p.nir --data digits --limit 4")
ecmt("energy run --hardware loihi2 --out energy.json")
ecmt("report run --out report.html")
Path("bad.nir").write_bytes(Path("p.nir").read_bytes()[:-100])
try:
    ecmt_deploy.read("bad.nir")
except errors.ProgramError as error:
    print("SAID", error)
assert not hasattr(os, "fork")
"""


@pytest.mark.slow
def test_the_whole_road_without_the_calls_that_only_unix_has(tmp_path):
    """Every module is imported, and a program is converted, read, run and priced; what is printed is not UTF-8."""
    reading = WITHOUT.format(libraries="") + "sys.platform = 'win32'\n"
    script = "\n".join((WITHOUT.format(libraries=LIBRARIES), f"READING = {reading!r}", WORK))
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, encoding="cp1252", timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SAID bad.nir: not a readable program file (" in done.stdout
    assert r"\u2265" in done.stdout  # which Latin letters lack
    assert {path.name for path in tmp_path.iterdir()} >= {"p.nir", "run", "energy.json", "report.html"}
