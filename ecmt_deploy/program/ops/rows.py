"""Parameters of a function of whole rows, for some of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecmt_deploy.program.ops.share import Shape, picked

#: integer parameters that may be one per channel
PER_CHANNEL = ("weight", "weight_shift", "bias")


def parameters_of_rows(node: Any, operand: Shape, taken: np.ndarray) -> dict[str, Any]:
    """The parameters of a function of whole rows where its rows are those of the matrix ``taken``."""
    found, axes = node.parameters, node.coupling(len(operand))
    trailing = operand[len(operand) - len(axes) :] if axes[0] == len(operand) - len(axes) else None
    made: dict[str, Any] = {name: np.asarray(1) for name in ("axis", "normalized_axes") if name in found}
    for name in PER_CHANNEL:
        array = np.asarray(found.get(name, 0))
        if array.ndim and trailing and array.ndim <= len(trailing):  # the same for every row
            made[name] = np.broadcast_to(array, trailing).ravel()
        elif array.ndim:
            made[name] = picked(array, operand, taken)
    return {**found, **made}
