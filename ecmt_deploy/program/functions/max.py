"""Maximum over an axis."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions import integer
from ecmt_deploy.program.functions.base import AXIS, Array, Function, Parameters, along_axis, register


def _largest(p: Parameters, x: Array) -> Array:
    return np.asarray(x.max(axis=int(p["axis"]), keepdims=True))


register(Function(
    "max", "largest x over axis, kept as size 1", _largest,
    integer.IntegerForm(
        lambda p, bits, x: _largest(p, x), lambda given, formats: {"axis": int(given["axis"])}, {"axis": integer.SMALL},
        keeps_format=True,
    ),
    parameters=(AXIS,), axes=along_axis, maxima=1, reduces="axis", finite=True, primitives={"compare": 1},
    example={"axis": -1},
))  # fmt: skip
