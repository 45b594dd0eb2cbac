"""What is installed: one name in everybody's environment, whatever stands beside it."""

import ast
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
def test_the_library_never_imports_a_target_under_its_installed_name(path):
    imported = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
    assert not [name for name in imported if name.startswith("ecmt_deploy.targets")]


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
