"""RMS norm."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions import norms
from ecmt_deploy.program.functions.base import EPS, Array, Function, Parameters, Shape, register
from ecmt_deploy.program.functions.integer import SMALL


def _size(p: Parameters, shape: Shape) -> int:
    return int(np.prod(shape[len(shape) - int(p["normalized_axes"]) :]))


def _numpy(p: Parameters, x: Array) -> Array:
    mean_square = np.mean(x * x, axis=norms.trailing(p, x.ndim), keepdims=True)
    return norms.affine(p, x / np.sqrt(mean_square + x.dtype.type(float(p["eps"]))))


register(Function(
    "rms_norm", "weight x / sqrt(mean(x^2) + eps) over the last normalized_axes axes", _numpy,
    norms.integer_norm(
        lambda p, bits, x: norms.integer_affine(p, norms.normalised(p, x, norms.trailing(p, x.ndim), _size(p, x.shape))),
        "normalized_axes", SMALL, _size,
    ),
    parameters=(norms.NORMALIZED_AXES, EPS, norms.WEIGHT), axes=norms.trailing, reductions=1,
    # square, sum of squares; times root and weight: one more pass over the row
    primitives={"add": 1, "mul": 3, "load": 2}, row_primitives=norms.ROOT, example={"eps": 1e-5, "normalized_axes": 1},
))  # fmt: skip
