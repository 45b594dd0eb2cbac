"""Operations that cannot be converted, as records with their place in the model's code, and the error that lists them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import fx

from ecmt_deploy.errors import CaptureError, Refused, listed, plural

#: a frame of the trace that torch.export keeps with every operation: file, line
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
#: what torch's own modules do is called from elsewhere, and that is the code one can change; ours only calls the model
_MACHINERY = (Path(torch.__file__).parent, Path(__file__).parent)


def code_place(node: fx.Node) -> str:
    """File and line of the model's code that calls an operation: the innermost line that is not torch's; empty if unknown."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if not set(_MACHINERY) & set(Path(frame[0]).parents)] or frames
    return "{}, line {}".format(*own[-1]) if own else ""


def capture_error(refused: Sequence[Refused]) -> CaptureError:
    """The error that lists them all; one line of code that does the same in several modules, or several times, is told once."""
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in refused:
        alike[one.operation, one.reason, one.place].append(one.module or "the model itself")
    told = []
    for (operation, reason, place), modules in alike.items():
        times = f" ({len(modules)} times)" if len(modules) > 1 else ""
        where = f" ({place})" if place else ""
        told.append(f"{operation} in {listed(list(dict.fromkeys(modules)), 3)}{times}: {reason}{where}")
    return CaptureError(f"{plural(len(refused), 'operation')} cannot be converted: {'; '.join(told)}", refused)
