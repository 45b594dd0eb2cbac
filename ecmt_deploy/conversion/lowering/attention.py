"""Scaled dot-product attention, taken apart into what it is made of: scale, product, mask, softmax, product."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering import masks
from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.exactness import Exact
from ecmt_deploy.conversion.lowering.linear import add, matmul, turned
from ecmt_deploy.conversion.lowering.nonlinear import ecm
from ecmt_deploy.conversion.lowering.table import handles

Operand = Activation | Tensor


@handles("scaled_dot_product_attention")
def attention(
    b: Builder, out: Layout, q: Operand, k: Operand, v: Operand, mask: Any, dropout: float, causal: bool,
    scale: float | None, enable_gqa: bool,
) -> Activation:  # fmt: skip
    """softmax(scale q k^T + mask) v; any of q, k, v may be a constant (attention pooling with a learned query)."""
    if enable_gqa:
        k, v = _per_query_head(b, q, k), _per_query_head(b, q, v)
    layout = next((x for x in (q, k) if isinstance(x, Activation)), None)
    if layout is None:
        raise Refusal("is attention whose weights do not depend on the input")
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    q = b.scaled(q, b.array(factor), b.name("scale"), q) if isinstance(q, Activation) else factor * q
    scores_layout = layout.with_shape(*layout.shape[:-2], q.shape[-2], k.shape[-2])
    scores = matmul(b, scores_layout, q, turned(b, k))
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return matmul(b, out, _weights(b, scores_layout, scores, mask), v)


def _weights(b: Builder, layout: Layout, scores: Activation, mask: Any) -> Activation:
    """Attention weights of scores: a mask of ones and zeros says which count, any other is added."""
    axis = len(scores.shape) - 1
    if isinstance(mask, Activation) and mask.exact == Exact.BITS:
        return masks.softmax(b, layout, masks.masked(b, layout, scores, mask, -torch.inf), axis)
    if isinstance(mask, masks.Masked):
        return masks.softmax(b, layout, masks.added(b, layout, scores, mask), axis)
    if isinstance(mask, Tensor) and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=b.dtype).masked_fill(~mask, -torch.inf)
    total = scores if mask is None else add(b, layout, scores, mask, 1, op="add")
    if isinstance(total, masks.Masked):
        return masks.softmax(b, layout, total, axis)
    return ecm(b, layout, [total], "softmax", axis=axis)


def _per_query_head(b: Builder, q: Operand, x: Operand) -> Operand:
    """Keys or values of fewer heads than there are queries of, each for as many heads in a row."""
    heads, own = ((y.full_shape if isinstance(y, Activation) else y.shape)[-3] for y in (q, x))
    times = heads // own
    if isinstance(x, Tensor):
        return x.repeat_interleave(times, -3)
    axis = x.axis(-3)
    return b.taken(x, axis, np.arange(x.shape[axis]).repeat(times), x)
