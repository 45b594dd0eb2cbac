"""Layer norm."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.kernels.integers import divided
from ecmt_deploy.program.functions import norms
from ecmt_deploy.program.functions.base import EPS, Array, Function, Parameters, Shape, register
from ecmt_deploy.program.functions.integer import SMALL


def _size(p: Parameters, shape: Shape) -> int:
    return int(np.prod(shape[len(shape) - int(p["normalized_axes"]) :]))


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    axes, size = norms.trailing(p, x.ndim), _size(p, x.shape)
    centred = x - divided(x.sum(axis=axes, keepdims=True), size)
    return norms.integer_affine(p, norms.normalised(p, centred, axes, size))


register(Function(
    "layer_norm", "weight (x - mean) / sqrt(var + eps) + bias over the last normalized_axes axes, biased variance",
    lambda p, x: norms.affine(p, norms.standardise(x, norms.trailing(p, x.ndim), float(p["eps"]))),
    norms.integer_norm(_integer, "normalized_axes", SMALL, _size),
    parameters=(norms.NORMALIZED_AXES, EPS, norms.WEIGHT, norms.BIAS), axes=norms.trailing,
    # sum; difference to the mean, its square, sum of squares; times root, weight, plus bias: two more passes over the row
    primitives={"add": 4, "mul": 3, "load": 4, "store": 1}, row_primitives=norms.ROOT,
    reductions=2, example={"eps": 1e-6, "normalized_axes": 1},
))  # fmt: skip
