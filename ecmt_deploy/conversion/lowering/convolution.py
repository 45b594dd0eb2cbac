"""Convolutions: nodes of NIR's own where a sample is one image, and nodes that list their windows where it is not.

Such are transposed and three-dimensional ones, those padded on one side more than on the other, and those whose batch is
windows of every sample: their windows stand side by side along an axis of their own, and share the weights.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.pooling import per_axis
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.conversion.lowering.weights import biased, synapses
from ecmt_deploy.program import ops
from ecmt_deploy.program.ops.windows import listed_windows

Operand = Activation | Tensor | float | int | bool


@handles("conv1d", "conv2d", "conv3d", "convolution")
def conv(
    b: Builder, out: Layout, x: Operand, weight: Operand, bias: Operand | None, stride: Any, padding: Any, dilation: Any,
    *rest: Any,
) -> Activation:  # fmt: skip
    """``rest`` is the number of groups; in the general form, before it: whether it is transposed, and its output padding."""
    *general, groups = rest
    if general and general[0]:
        return transposed(b, out, x, weight, bias, stride, padding, general[1], groups, dilation)
    x, weight, array_of_bias = _checked(b, x, weight, bias)
    kernel = tuple(weight.shape[2:])
    n = len(kernel)
    stride, dilation = per_axis(stride, n), per_axis(dilation, n)
    before, after = _padding(padding, kernel, dilation)
    if before == after and n in (1, 2) and x.batch == 0:
        name, array = b.name(f"conv{n}d"), b.array(weight)
        cls = ops.Conv1d if n == 1 else ops.Conv2d
        node = cls(None, array, stride, before, dilation, groups, np.zeros(len(array), array.dtype))
        y = synapses(b, out, x, node, name, 0)
        return y if bias is None else biased(b, out, y, array_of_bias.reshape(-1, *[1] * n), name)
    shapes = x.shape[-n:], out.shape[-n:]
    places = listed_windows(*shapes, kernel, stride, before, dilation)
    return _listed(b, out, x, weight, array_of_bias, places, int(groups), n)


def _padding(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros before and after each axis; by name as torch pads, the odd one after."""
    if not isinstance(padding, str):
        both = per_axis(padding, len(kernel))
        return both, both
    total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
    return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)


@handles("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed(
    b: Builder, out: Layout, x: Operand, weight: Operand, bias: Operand | None, stride: Any, padding: Any,
    output_padding: Any, groups: int, dilation: Any,
) -> Activation:  # fmt: skip
    """Kernel (in, out / groups, ...); the padding of the result is in its shape."""
    x, weight, array_of_bias = _checked(b, x, weight, bias)
    kernel = tuple(weight.shape[2:])
    n = len(kernel)
    by_group = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)  # (out, in / groups, ...)
    stride, padding, dilation = (per_axis(value, n) for value in (stride, padding, dilation))
    places = listed_windows(x.shape[-n:], out.shape[-n:], kernel, stride, padding, dilation, transposed=True)
    return _listed(b, out, x, by_group, array_of_bias, places, int(groups), n)


def _checked(b: Builder, x: Operand, weight: Operand, bias: Operand | None) -> tuple[Activation, Tensor, np.ndarray]:
    if not isinstance(x, Activation) or not isinstance(weight, Tensor) or isinstance(bias, Activation):
        raise Refusal("is a convolution whose kernel depends on the input")
    if x.rank != weight.ndim:
        raise Refusal(f"is a convolution of {x.rank} axes by a kernel of {weight.ndim}")
    for axis in range(1, x.rank):
        x.axis(axis)  # channels and places are of one sample each
    return x, weight, b.array(0.0 if bias is None else bias)


def _listed(
    b: Builder, out: Layout, x: Activation, weight: Tensor, bias: np.ndarray, places: np.ndarray, groups: int, n: int
) -> Activation:
    """A convolution that lists its windows: (C, *places), or (k, C, *places) of k windows in a sample, which go after C."""
    name = b.name(f"conv{n}d")
    spatial = out.shape[-n:]
    folded = x.batch is None
    if folded:
        windows, size = x.shape[0], prod(x.shape[2:])
        x = _exchanged(b, x)
        shifts = size * np.arange(windows)[:, None, None]
        places = np.where(places < 0, -1, places + shifts).reshape(-1, places.shape[1])
        spatial = (windows, *spatial)
    node = ops.ListedConvolution(b.array(weight.flatten(2)), places, np.array(spatial, np.int64), groups)
    layout = out.with_shape(len(weight), *spatial)
    y = synapses(b, layout, x, node, name, 0)
    if bias.any():
        y = biased(b, layout, y, bias.reshape(-1, *[1] * len(spatial)), name)
    return _exchanged(b, y).laid_out(out) if folded else y


def _exchanged(b: Builder, x: Activation) -> Activation:
    """The first two axes exchanged."""
    return b.reordered(x, [1, 0, *range(2, len(x.shape))], x)
