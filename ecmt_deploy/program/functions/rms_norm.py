"""RMS norm."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program.functions.base import EPS, Array, Function, Parameters, Shape, register
from ecmt_deploy.program.functions.integer import SMALL
from ecmt_deploy.program.functions.norms import (
    NORMALIZED_AXES,
    WEIGHT,
    affine,
    integer_affine,
    integer_norm,
    normalised,
    trailing,
)


def _size(p: Parameters, shape: Shape) -> int:
    return int(np.prod(shape[len(shape) - int(p["normalized_axes"]) :]))


def _numpy(p: Parameters, x: Array) -> Array:
    mean_square = np.mean(x * x, axis=trailing(p, x.ndim), keepdims=True)
    return affine(p, x / np.sqrt(mean_square + x.dtype.type(float(p["eps"]))))


register(Function(
    "rms_norm", "weight x / sqrt(mean(x^2) + eps) over the last normalized_axes axes", _numpy,
    integer_norm(
        lambda p, bits, x: integer_affine(p, normalised(p, x, trailing(p, x.ndim), _size(p, x.shape))),
        "normalized_axes", SMALL, _size,
    ),
    parameters=(NORMALIZED_AXES, EPS, WEIGHT), axes=trailing, example={"eps": 1e-5, "normalized_axes": 1},
))  # fmt: skip
