"""Scaled dot-product attention, taken apart into what it is made of: scale, product, mask, softmax, product."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.linear import matmul, turned
from ecmt_deploy.conversion.lowering.nonlinear import ecm
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.program import ops

Operand = Activation | Tensor


@handles("scaled_dot_product_attention")
def attention(
    b: Builder, out: Layout, q: Operand, k: Operand, v: Operand, mask: Any, dropout: float, causal: bool,
    scale: float | None, enable_gqa: bool,
) -> Activation:  # fmt: skip
    """softmax(scale q k^T + mask) v; any of q, k, v may be a constant (attention pooling with a learned query)."""
    if isinstance(mask, Activation):
        raise Refusal("is attention with a mask that depends on the input")
    if enable_gqa:
        k, v = _per_query_head(b, q, k), _per_query_head(b, q, v)
    layout = next((x for x in (q, k) if isinstance(x, Activation)), None)
    if layout is None:
        raise Refusal("is attention whose weights do not depend on the input")
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    q = b.scaled(q, b.array(factor), b.name("scale"), q) if isinstance(q, Activation) else factor * q
    scores_layout = layout.with_shape(*layout.shape[:-2], q.shape[-2], k.shape[-2])
    scores = matmul(b, scores_layout, q, turned(b, k))
    rows, columns = scores.shape[-2:]
    if causal:
        mask = torch.ones(rows, columns, dtype=torch.bool).tril()
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=b.dtype).masked_fill(~mask, -torch.inf)
        bias = np.broadcast_to(b.sample_array(mask, scores_layout), scores.shape)
        constant = b.constant(bias, b.name("mask"), scores_layout)
        scores = b.added([scores, constant], b.name("add"), scores_layout)
    weights = ecm(b, scores_layout, [scores], "softmax", axis=len(scores.shape) - 1)
    return matmul(b, out, weights, v)


def _per_query_head(b: Builder, q: Operand, x: Operand) -> Operand:
    """Keys or values of fewer heads than there are queries of, each for as many heads in a row."""
    heads, own = ((y.full_shape if isinstance(y, Activation) else y.shape)[-3] for y in (q, x))
    times = heads // own
    if isinstance(x, Tensor):
        return x.repeat_interleave(times, -3)
    axis = x.axis(-3)
    return b.emit(ops.Take(axis, np.arange(x.shape[axis]).repeat(times)), [x], b.name("take"), x)
