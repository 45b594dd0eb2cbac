"""Where in a model's code something happened."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

_TORCH, _OWN = Path(torch.__file__).parent, Path(__file__).parent
#: folders of what is installed, which is not a person's own code
_INSTALLED = frozenset(("site-packages", "dist-packages"))
#: code that nobody wrote: of graphs, of the interpreter
_NOBODYS = ("<eval_with_key>", "<frozen", "<__")


def place_in_code(error: BaseException) -> str:
    """Where an error arose in a person's code, `` in FILE, line N: CODE``, and where in a library that it calls; empty where it
    arose in torch's own machinery or here."""
    frames = list(_of_models(error))
    if not frames:
        return ""
    own = [frame for frame in frames if not _INSTALLED.intersection(Path(frame.filename).parts)]
    if not own or own[-1] is frames[-1]:
        return f" in {_shown(frames[-1])}"
    return f" in {_shown(own[-1])} (raised in {_shown(frames[-1])})"


def _of_models(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """Frames, the innermost last, that are neither torch's machinery nor ours."""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        machinery = _TORCH in path.parents and (path.parent != _TORCH / "nn" / "modules" or path.name == "module.py")
        known = path.is_file() or frame.line or frame.filename.startswith("<")  # cells of a notebook are no files
        if not machinery and _OWN not in path.parents and known and not frame.filename.startswith(_NOBODYS):
            yield frame


def _shown(frame: traceback.FrameSummary) -> str:
    code = f": {' '.join(frame.line.split())}" if frame.line else ""
    return f"{frame.filename}, line {frame.lineno}{code}"
