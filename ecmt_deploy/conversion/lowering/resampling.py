"""Fixed linear maps along one axis: interpolation of activations, padding by their own values, uneven means.

What torch computes is asked of torch itself: an operation on the unit vectors of an axis gives the map along that axis,
whatever its options. A map that only moves values is wiring. Any other is a sum of few taps, each a ``Take`` times a ``Scale``:
arithmetic, as means and poolings are, so that no neuron stands before it and nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.table import handles


def along(b: Builder, x: Activation, axis: int, matrix: np.ndarray) -> Activation:
    """``y[.., o, ..] = sum_i matrix[o, i] x[.., i, ..]`` along one axis of the sample, as a sum over the taps of a row.

    Parameters
    ----------
    matrix : (out, in), with few entries in a row that are not zero; a row of fewer taps than others takes some of them times 0
    """
    out, taps = len(matrix), max(int(np.count_nonzero(matrix, axis=1).max()), 1)
    # taps of a row in the order of what they take: those that are not zero first
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :taps]
    weights = np.take_along_axis(matrix, order, axis=1)
    order = np.where(weights == 0, order[:, :1], order)
    layout = x.with_axes(axis, out)
    terms = []
    for indices, scale in zip(order.T, weights.T, strict=True):
        term = x
        if not np.array_equal(indices, np.arange(x.shape[axis])):
            term = b.taken(x, axis, indices, layout)
        if (scale != 1).any():
            same = scale if (scale != scale[0]).any() else scale[:1]
            shape = [-1 if i == axis else 1 for i in range(len(layout.shape))]
            term = b.scaled(term, b.array(torch.from_numpy(same)).reshape(shape), b.name("scale"), layout)
        terms.append(term)
    return b.added(terms, b.name("add"), layout) if len(terms) > 1 else terms[0].laid_out(layout)


def each_axis(b: Builder, x: Activation, matrices: dict[int, np.ndarray]) -> Activation:
    """One map after the other, those that shrink their axis first, so that the others have less to do."""
    for axis, matrix in sorted(matrices.items(), key=lambda item: len(item[1]) / item[1].shape[1]):
        x = along(b, x, axis, matrix)
    return x


@handles(
    *(f"upsample_{mode}" for mode in ("linear1d", "bilinear2d", "trilinear3d", "bicubic2d")),
    *(f"_upsample_{mode}2d_aa" for mode in ("bilinear", "bicubic", "lanczos")),
    *(f"{mode}{axes}d" for mode in ("upsample_nearest", "_upsample_nearest_exact") for axes in (1, 2, 3)),
)  # fmt: skip
def upsample(b: Builder, out: Layout, x: Activation, size: Any, *rest: Any, op: str) -> Activation:
    """``rest``: whether corners are aligned, of what knows that; then a scale for each axis, a list of them, or nothing."""
    axes = int(next(letter for letter in op if letter.isdigit()))
    flags = [option for option in rest if isinstance(option, bool)]
    scales = list(rest[len(flags) :])
    if len(scales) == 1 and not isinstance(scales[0], float):
        scales = list(scales[0] or [None] * axes)
    # which element is the nearest, torch decides in the dtype it is given; everything else is continuous in where it looks
    dtype = b.dtype if "nearest" in op else torch.float64
    matrices = {}
    for i in range(axes):
        axis = x.axis(x.rank - axes + i)
        # the unit vectors as channels; of the other axes two elements, for torch 2.13 takes a width of one wrongly
        sizes, factors = [2] * axes, [None] * axes
        sizes[i] = x.shape[axis]
        units = torch.eye(sizes[i], dtype=dtype).reshape(1, sizes[i], *(sizes[i] if j == i else 1 for j in range(axes)))
        units = units.expand(1, -1, *sizes).contiguous()
        sizes[i], factors[i] = out.shape[axis], scales[i]
        found = getattr(torch.ops.aten, op).default(units, sizes, *flags, *factors)
        by_place = found[0].movedim(1 + i, 1).reshape(x.shape[axis], out.shape[axis], -1)
        matrices[axis] = by_place[..., 0].T.double().numpy()
    return each_axis(b, x, matrices)


_MODES = {"reflection": "reflect", "replication": "replicate"}


@handles(*(f"{mode}_pad{axes}d" for mode in _MODES for axes in (1, 2, 3)))
def pad_by_own_values(b: Builder, out: Layout, x: Activation, widths: Sequence[int], op: str) -> Activation:
    return padded(b, x, widths, _MODES[op.partition("_")[0]])


def padded(b: Builder, x: Activation, widths: Sequence[int], mode: str) -> Activation:
    """Around the last axes their own values: ``widths`` before and after each, the last axis first."""
    if mode not in ("reflect", "replicate", "circular"):
        raise Refusal(f"pads by {mode}")
    for i, both in enumerate(zip(widths[::2], widths[1::2], strict=True)):
        if any(both):
            axis = x.axis(x.rank - 1 - i)
            places = torch.arange(x.shape[axis], dtype=torch.float64).reshape(1, 1, -1)
            indices = torch.nn.functional.pad(places, both, mode).ravel().long().numpy()
            x = b.taken(x, axis, indices, x)
    return x
