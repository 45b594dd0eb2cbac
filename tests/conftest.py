"""Programs that are made once for the whole suite, and which tests share a worker where several run (pytest-xdist)."""

import functools
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

# threads that wait for work spin, and take the cores from the other worker; what tests start inherits it
os.environ.setdefault("OMP_NUM_THREADS", "1")
# the few kernels of the tests are made sooner than processes that make kernels
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch
from hypothesis import settings

from ecmt_deploy import testing
from ecmt_deploy.program import Program
from tests.support import kept
from tests.support.targets import PROGRAMS

torch.set_num_threads(1)
# how long an example takes says more about what else runs
settings.register_profile("tests", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None)
settings.load_profile("tests")


class _Programs(Mapping[str, Program]):
    """Each is converted when a test asks for it, once in a worker."""

    def __getitem__(self, name: str) -> Program:
        return testing.case(name).program

    def __iter__(self) -> Iterator[str]:
        return iter(PROGRAMS)

    def __len__(self) -> int:
        return len(PROGRAMS)


@pytest.fixture(scope="session")
def all_programs() -> Mapping[str, Program]:
    return _Programs()


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """The bundled model as a program in a file, the quickest way: for tests of what is done with files."""
    from tests.support.trained import program_file

    return Path(shutil.copy(program_file("paper", 8), tmp_path_factory.mktemp("digits") / "p.nir"))


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, all_programs: Mapping[str, Program]) -> Program:
    return all_programs[request.param]


def pytest_configure(config: pytest.Config) -> None:
    """A folder for what is made once for all workers, which inherit its name."""
    if not hasattr(config, "workerinput"):
        os.environ[kept.FOLDER] = tempfile.mkdtemp(prefix="ecmt_tests_")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(kept.FOLDER))


def pytest_collection_finish() -> None:
    """What was imported stays, and need not be looked through whenever a conversion makes objects by the thousand: that took
    a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_xdist_auto_num_workers() -> int:
    """Of ``-n auto``: a worker for each core this process may use, four at most as each holds torch and Lava."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 4) if usable > 1 else 0


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """The tests of a file share a worker, as what they are given is made once for them, and so do those of the conformance
    suite; all files that run Lava share one, as some look for what Lava left on the machine, and must not see what others
    run."""
    from xdist.scheduler import LoadScopeScheduling

    @functools.cache
    def group(path: str) -> str:
        text = (config.rootpath / path).read_text().lower()
        return "lava" if "lava" in text or "installed()" in text or "testing.conformance" in text else path

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid.partition("::")[0])

    return ByFile(config, log)
