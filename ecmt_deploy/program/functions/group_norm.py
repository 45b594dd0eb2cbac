"""Group norm."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.kernels.integers import divided
from ecmt_deploy.program.functions.base import EPS, Array, Function, Parameter, Parameters, Shape, is_integer, one_per, register
from ecmt_deploy.program.functions.norms import ROOT, affine, integer_affine, integer_norm, normalised, standardise

_GROUPS = Parameter(
    "groups", "a divisor of the number of channels (the operand's first axis)",
    lambda value, shape, p: bool(shape) and is_integer(value, 1, shape[0]) and shape[0] % int(value) == 0,
)  # fmt: skip


def _per_channel(x: Array) -> Shape:
    return (-1, *([1] * (x.ndim - 1)))


def _numpy(p: Parameters, x: Array) -> Array:
    y = standardise(x.reshape(int(p["groups"]), -1), (1,), float(p["eps"])).reshape(x.shape)
    return affine({key: p[key].reshape(_per_channel(x)) for key in ("weight", "bias") if key in p}, y)


def _integer(p: Parameters, bits: int, x: Array) -> Array:
    grouped = x.reshape(int(p["groups"]), -1)
    centred = grouped - divided(grouped.sum(axis=1, keepdims=True), grouped.shape[1])
    y = normalised(p, centred, (1,), grouped.shape[1]).reshape(x.shape)
    return integer_affine(p, y, _per_channel(x))


register(Function(
    "group_norm",
    "x (C, ...) in groups of C / groups channels: (x - mean) / sqrt(var + eps) each, then weight, bias per channel",
    _numpy, integer_norm(_integer, "groups", 2**20, lambda p, shape: int(np.prod(shape)) // int(p["groups"])),
    parameters=(_GROUPS, EPS, *(one_per(name, "channel", lambda shape, p: shape[:1]) for name in ("weight", "bias"))),
    # sum; difference to the mean, its square, sum of squares; times root, weight, plus bias: two more passes over the row
    primitives={"add": 4, "mul": 3, "load": 4, "store": 1}, row_primitives=ROOT,
    axes=lambda p, ndim: tuple(range(ndim)), reductions=2, example={"eps": 1e-5, "groups": 1},
))  # fmt: skip
