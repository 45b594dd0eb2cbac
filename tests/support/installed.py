"""A copy of the project that a test may add files to."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_of_the_project(root: Path) -> None:
    """The project under ``root`` as it is installed: the two folders of the top inside the package."""
    for name in ("ecmt_deploy", "targets", "hw_configs", "tests", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("targets", "hw_configs"):
        (root / "ecmt_deploy" / name).symlink_to(root / name)
