"""Where in a model's code something happened."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch


def place_in_code(error: BaseException) -> str:
    """Where in the model's code an error arose: the innermost line that is neither torch's own machinery nor ours."""
    package, own = Path(torch.__file__).parent, Path(__file__).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        machinery = package in path.parents and (path.parent != package / "nn" / "modules" or path.name == "module.py")
        if not machinery and own not in path.parents and path.is_file():
            return f" in {frame.filename}, line {frame.lineno}: {frame.line}"
    return ""
