"""What is installed: one name in everybody's environment, whatever stands beside it."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

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


@pytest.mark.slow
def test_a_wheel_takes_no_other_name(tmp_path):
    # by way of a source archive, so that nothing is built in the tree
    command = [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].removesuffix(".dist-info").split("-")[0] for name in names} == {"ecmt_deploy"}
    assert "ecmt_deploy/hw_configs/loihi2.toml" in names
    assert "ecmt_deploy/targets/lava/worker.py" in names


def test_the_tree_in_the_readme_is_true_and_short():
    """Ten lines; every folder it names exists, and it names every room of the library."""
    root = Path(__file__).parents[1]
    (tree,) = re.findall(r"## Where things are\n\n```text\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    assert len(tree.splitlines()) <= 10
    named = {name for line in tree.splitlines() for name in re.findall(r"(?:ecmt_deploy/)?(\w+)/", line)}
    rooms = {path.name for path in (root / "ecmt_deploy").iterdir() if (path / "__init__.py").is_file()}
    assert rooms - {"hw_configs", "targets"} <= named
    assert all((root / name).exists() or list((root).glob(f"*/**/{name}")) for name in named)
    beside = [path.name for path in (root / "ecmt_deploy").iterdir() if path.is_file()]
    assert len(beside) <= 8, beside


def test_no_module_is_long_and_no_reader_asks_for_types_of_nodes():
    root = Path(__file__).parents[1]
    modules = [path for room in ("ecmt_deploy", "targets") for path in (root / room).rglob("*.py")]
    assert not [path.name for path in modules if len(path.read_text().splitlines()) > 300]
    asks = re.compile(r"isinstance\([^()]*(?:\([^()]*\))?[^()]*\b(?:ops|nir)\.[A-Z]\w+")
    assert sum(len(asks.findall(path.read_text())) for path in modules) <= 20
