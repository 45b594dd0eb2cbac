"""What stands under the windows of a convolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecmt_deploy.program.ops.rules import Shape


def listed_windows(
    operand: Shape, shape: Shape, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool = False,
) -> np.ndarray:  # fmt: skip
    """Which place of the operand stands under each tap of each place of the result, flat, -1 in the padding: (places, taps).

    A convolution sees ``o stride - padding + t dilation`` from place o with tap t; a transposed one sees i where
    ``i stride - padding + t dilation = o``.

    Parameters
    ----------
    operand, shape : spatial axes of the operand and of the result
    kernel, stride, padding, dilation : by spatial axis; padding is that before the first place
    """
    places, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    for size, out, k, s, p, d in zip(operand, shape, kernel, stride, padding, dilation, strict=True):
        place, tap = np.arange(out)[:, None], np.arange(k) * d
        at, valid = place * s - p + tap, np.ones((out, k), bool)
        if transposed:
            at, rest = np.divmod(place + p - tap, s)
            valid = rest == 0
        valid &= (at >= 0) & (at < size)
        places = (places[:, None, :, None] * size + at[None, :, None, :]).reshape(len(places) * out, -1)
        inside = (inside[:, None, :, None] & valid[None, :, None, :]).reshape(len(inside) * out, -1)
    return np.where(inside, places, -1)
