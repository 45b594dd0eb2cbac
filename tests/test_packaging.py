"""What is installed: one name in everybody's environment, whatever stands beside it."""

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

import ecmt_deploy

ROOT = Path(__file__).parent.parent
MAPPED = ("targets", "hw_configs")


def _modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_package_of_the_tree_is_installed_inside_ecmt_deploy():
    setuptools = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["tool"]["setuptools"]
    found = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in _modules("ecmt_deploy", *MAPPED)}
    assert set(setuptools["packages"]) == {name if name.startswith("ecmt_deploy") else f"ecmt_deploy.{name}" for name in found}


@pytest.mark.parametrize("path", _modules("ecmt_deploy"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_library_never_imports_a_target_under_its_installed_name_nor_the_suite(path):
    imported = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
    assert not [name for name in imported if name.startswith("ecmt_deploy.targets")]
    suite = [name for name in imported if name.startswith("ecmt_deploy.testing")]
    assert not suite or path.parent.name == "testing"


def test_files_of_the_same_names_in_the_users_folder_break_nothing(tmp_path):
    for name in MAPPED:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('this is the file of the user')")
    code = (
        "from ecmt_deploy import chips; from ecmt_deploy.simulation import target; "
        "print(target.find('torch').name, chips.available())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("torch ["), done.stderr


class Archives(NamedTuple):
    """What git holds, what a release is made of, and the files inside."""

    tracked: set[str]
    paths: list[Path]
    source: set[str]
    wheel: set[str]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A release, built from a copy of what git holds in which tests have run and documents were made."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so nobody says what a release holds")
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    folder = tmp_path_factory.mktemp("release")
    built = (
        "tests/__pycache__/conftest.cpython-311.pyc",
        "build/lib/ecmt_deploy/old.py",
        "demo/report.html",
        "site/index.html",
    )
    for name in (*tracked, *built):
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "tree" / name) if name in tracked else (folder / "tree" / name).touch()
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "tree"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (source,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    with tarfile.open(source) as archive:
        inside = {member.name.partition("/")[2] for member in archive if not member.isdir()}
    return Archives(tracked, [source, wheel], inside, set(zipfile.ZipFile(wheel).namelist()))


def test_a_source_archive_holds_what_git_holds_and_nothing_that_was_built(archives):
    metadata = {name for name in archives.source if re.fullmatch(r"PKG-INFO|setup\.cfg|ecmt_deploy\.egg-info/.*", name)}
    assert archives.source - metadata == archives.tracked, "MANIFEST.in says what a source archive holds"


def test_a_wheel_holds_the_library_whole_and_takes_no_other_name(archives):
    inside = {name for name in archives.wheel if not re.match(r"ecmt_deploy-[\d.]+\.dist-info/", name)}
    rooms = {name for name in archives.tracked if name.startswith(("ecmt_deploy/", *(f"{folder}/" for folder in MAPPED)))}
    assert inside == {name if name.startswith("ecmt_deploy/") else f"ecmt_deploy/{name}" for name in rooms}


def test_an_index_takes_the_release_and_renders_its_readme(archives):
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *archives.paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_said_in_one_place():
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]
    assert ecmt_deploy.__version__ == project["version"]  # else the environment is of an older one: make setup
    assert "urls" not in project  # there is none yet, and none is made up
    pythons = [int(found) for found in re.findall(r":: 3\.(\d+)", "\n".join(project["classifiers"]))]
    assert project["requires-python"] == f">=3.{min(pythons)},<3.{max(pythons) + 1}"
    said = re.compile(rf"version[^\n]*[\"' ]{re.escape(project['version'])}\b")
    assert not [path for path in _modules("ecmt_deploy", *MAPPED) if said.search(path.read_text())]


def test_the_tree_in_the_readme_is_true_and_short():
    """Ten lines; every folder it names exists, and it names every room of the library."""
    root = Path(__file__).parents[1]
    (tree,) = re.findall(r"## Where things are\n\n```text\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    assert len(tree.splitlines()) <= 10
    named = {name for line in tree.splitlines() for name in re.findall(r"(?:ecmt_deploy/)?(\w+)/", line)}
    rooms = {path.name for path in (root / "ecmt_deploy").iterdir() if (path / "__init__.py").is_file()}
    assert rooms - {"hw_configs", "targets"} <= named
    assert all((root / name).exists() or list(root.glob(f"[!.]*/**/{name}")) for name in named)
    beside = [path.name for path in (root / "ecmt_deploy").iterdir() if path.is_file()]
    assert len(beside) <= 8, beside


def test_no_module_is_long_and_no_reader_asks_for_types_of_nodes():
    root = Path(__file__).parents[1]
    modules = [path for room in ("ecmt_deploy", "targets") for path in (root / room).rglob("*.py")]
    assert not [path.name for path in modules if len(path.read_text().splitlines()) > 300]
    asks = re.compile(r"isinstance\([^()]*(?:\([^()]*\))?[^()]*\b(?:ops|nir)\.[A-Z]\w+")
    assert sum(len(asks.findall(path.read_text())) for path in modules) <= 20
