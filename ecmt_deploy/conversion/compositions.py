"""Operations of torch as compositions of others that the lowering takes: one entry each, called as the operation is.

An operation is taken apart by torch's own decompositions where the table has none; it has one where torch's compares (elu,
prelu), leaves the range of floats, or does not exist. Sources: the definitions in torch's documentation. Where a composition
needs a function that would lose digits made of others (softplus, log), that is a function of the dialect.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import log, pi, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.conversion.lowering.builder import Refusal

Dims = Sequence[int] | int | None
_JUMPS = "jumps, so that a rounding of its operand would decide its value"


def composition(target: Any) -> Callable[..., Any] | None:
    """The composition of an operation, of one of its overloads or of all; ``None`` where the table has none.

    Called, it raises a ``Refusal`` where there is a reason why there can be none.
    """
    if not isinstance(target, torch._ops.OpOverload):
        return None
    name = target._schema.name.rpartition("::")[2].removesuffix("_")
    reason = next((reason for names, reason in REASONS.items() if name in names), None)
    if reason is not None:
        return functools.partial(_refuse, reason)
    return COMPOSITIONS.get(f"{name}.{target._overloadname}", COMPOSITIONS.get(name))


def _refuse(reason: str, *args: Any, **options: Any) -> Tensor:
    raise Refusal(reason)


def _elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    below = alpha * scale * (torch.exp(input_scale * x.clamp(max=0)) - 1)
    return scale * F.relu(x) + below


def _threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    return x.clamp(min=threshold) if threshold == value else _refuse(_JUMPS)


def _var(x: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Tensor:
    return _var_mean(x, dim, correction=correction, keepdim=keepdim)[0]


def _var_mean(
    x: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:  # fmt: skip
    dims = [dim] if isinstance(dim, int) else list(dim or range(x.ndim))
    count = prod(x.shape[d] for d in dims)
    mean = x.mean(dims, keepdim=True)
    variance = (x - mean).square().mean(dims, keepdim=keepdim) * (count / (count - (1 if correction is None else correction)))
    return variance, mean if keepdim else x.mean(dims)


def _instance_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None, of_input: bool,
    momentum: float, eps: float, *options: Any,
) -> Tensor:  # fmt: skip
    if of_input:
        return F.group_norm(x, x.shape[1], weight, bias, eps)
    return F.batch_norm(x, mean, var, weight, bias, False, momentum, eps)


def _unfold(x: Tensor, dim: int, size: int, step: int) -> Tensor:
    """Windows along an axis: (.., windows, .., size)."""
    last = (x.shape[dim] - size) // step * step
    return torch.stack([torch.ops.aten.slice(x, dim, i, i + last + 1, step) for i in range(size)], dim=-1)


def _fold(x: Tensor, size: Sequence[int], kernel: Any, dilation: Any, padding: Any, stride: Any) -> Tensor:
    """Windows (N, C k, windows) added up where they overlap: every pixel gathers what falls on it, and a zero where less does
    than elsewhere."""
    height, width = size
    at = []
    for extent, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True):
        windows = (extent + 2 * p - d * (k - 1) - 1) // s + 1
        at.append(np.arange(k)[:, None] * d + np.arange(windows) * s - p)
    rows, columns = at[0][:, None, :, None], at[1][None, :, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixel = np.where(inside, rows * width + columns, -1).ravel()
    order = [i for i in np.argsort(pixel, kind="stable").tolist() if pixel[i] >= 0]
    counts = np.bincount(pixel[order], minlength=height * width)
    rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[pixel[order]]
    sources = np.full((max(int(counts.max()), 1), height * width), len(pixel))  # the zero behind them
    sources[rank, pixel[order]] = order
    lead, channels = x.shape[:-2], x.shape[-2] * x.shape[-1] // len(pixel)
    values = F.pad(x.reshape(*lead, channels, len(pixel)), (0, 1))
    return functools.reduce(torch.add, [values[..., torch.tensor(each)] for each in sources.tolist()]).reshape(
        *lead, channels, height, width
    )


def _cdist(x: Tensor, y: Tensor, p: float = 2, mode: int | None = None) -> Tensor:
    return torch.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, dim=-1)


def _logsumexp(x: Tensor, dim: int | list[int], keepdim: bool = False) -> Tensor:
    largest = x.amax(dim, keepdim=True)
    total = largest + torch.log(torch.exp(x - largest).sum(dim, keepdim=True))
    return total if keepdim else total.sum(dim)  # of one element each


def _logit(x: Tensor) -> Tensor:
    return torch.log(x) - torch.log(1 - x)


def _std_mean(variance: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    return torch.sqrt(variance), mean


def _slice_scatter(
    x: Tensor, source: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:  # fmt: skip
    """``x`` with some elements of an axis in the place of its own."""
    size = x.shape[dim]
    written = range(size)[slice(start, end, step)]
    joined = torch.cat([x, source.expand(*x.shape[:dim], len(written), *x.shape[dim + 1 :])], dim)
    taken = {index: size + i for i, index in enumerate(written)}
    return joined.index_select(dim, torch.tensor([taken.get(i, i) for i in range(size)]))


def _diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    last = x.movedim((dim1, dim2), (-2, -1))
    rows = torch.arange(max(-offset, 0), min(last.shape[-2], last.shape[-1] - offset))
    flat = last.reshape(*last.shape[:-2], last.shape[-2] * last.shape[-1])
    return flat[..., rows * last.shape[-1] + rows + offset]


#: why there are none of some operations, by their names
REASONS = {
    (
        "ceil", "eq", "floor", "floor_divide", "fmod", "frac", "ge", "gt", "heaviside", "le", "lt", "ne", "remainder", "round",
        "sgn", "sign", "trunc",
    ): _JUMPS,
    ("argmax", "argmin", "argsort", "kthvalue", "median", "mode", "sort", "topk"): "selects by rank, which jumps",
    ("_native_batch_norm_legit",): "takes statistics of the batch, which mixes samples",
}  # fmt: skip

#: by the name of the operation, or with the overload behind it
COMPOSITIONS: dict[str, Callable[..., Any]] = {
    # activations
    "elu": _elu,
    "celu": lambda x, alpha=1.0: _elu(x, alpha, 1, 1 / alpha),
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
    "_prelu_kernel": lambda x, weight: F.relu(x) - weight * F.relu(-x),
    "rrelu": lambda x, lower=1 / 8, upper=1 / 3, *options: F.leaky_relu(x, (lower + upper) / 2),
    "log_sigmoid": lambda x: -F.softplus(-x),
    "threshold": _threshold,
    # elementary functions
    "cos": lambda x: torch.sin(x + pi / 2),
    "tan": lambda x: torch.sin(x) / torch.sin(x + pi / 2),
    "sinh": lambda x: (torch.exp(x) - torch.exp(-x)) / 2,
    "cosh": lambda x: (torch.exp(x) + torch.exp(-x)) / 2,
    "erfc": lambda x: 1 - torch.erf(x),
    "exp2": lambda x: torch.exp(x * log(2)),
    "expm1": lambda x: torch.exp(x) - 1,
    "log2": lambda x: torch.log(x) / log(2),
    "log10": lambda x: torch.log(x) / log(10),
    "log1p": lambda x: torch.log(1 + x),
    "logit": lambda x, eps=None: _logit(x if eps is None else x.clamp(eps, 1 - eps)),
    "logaddexp": lambda x, y: y + F.softplus(x - y),
    "pow.Scalar": lambda base, exponent: torch.exp(exponent * log(base)),
    "pow.Tensor_Tensor": lambda base, exponent: torch.exp(exponent * torch.log(base)),
    "logsumexp": _logsumexp,
    "lerp": lambda x, end, weight: x + weight * (end - x),
    # statistics and norms
    "var.correction": _var,
    "std.correction": lambda x, dim=None, **options: torch.sqrt(_var(x, dim, **options)),
    "var_mean.correction": _var_mean,
    "std_mean.correction": lambda x, dim=None, **options: _std_mean(*_var_mean(x, dim, **options)),
    "bilinear": lambda x, y, weight, bias: F.linear((x.unsqueeze(-1) * y.unsqueeze(-2)).flatten(-2), weight.flatten(1), bias),
    "instance_norm": _instance_norm,
    "_cdist_forward": _cdist,
    "cosine_similarity": lambda x, y, dim=1, eps=1e-8: (
        F.normalize(x, dim=dim, eps=eps) * F.normalize(y, dim=dim, eps=eps)
    ).sum(dim),
    # sums and products along an axis
    "prod.dim_int": lambda x, dim, keepdim=False, **options: functools.reduce(
        torch.mul, x.split(1, dim) if keepdim else x.unbind(dim)
    ),
    # writing into a part
    "copy": lambda x, source, *options: source.expand(x.shape),
    "fill": lambda x, value: torch.full_like(x, value) if isinstance(value, float | int) else value.expand(x.shape),
    "select_scatter": lambda x, source, dim, index: _slice_scatter(
        x, source.unsqueeze(dim), dim, index % x.shape[dim], index % x.shape[dim] + 1
    ),
    "slice_scatter": _slice_scatter,
    "diagonal": _diagonal,
    # windows
    "unfold": _unfold,
    "col2im": _fold,
}
