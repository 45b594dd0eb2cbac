"""Every kind of operation that can be converted, each in one line: representatives for the fast suite.

A kind is an operation of torch that has a handler, or a function of the dialect. Each line maps a sample, with its batch before
it, to a tensor of any shape with the batch before it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Callable[[Tensor], Tensor]
_GENERATOR = torch.Generator().manual_seed(0)


def _weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=_GENERATOR) / 2)


W3, W43, W5 = _weight(3), _weight(4, 3), _weight(5)
K1, K2, K3 = _weight(4, 3, 3), _weight(4, 3, 3, 3), _weight(2, 3, 2, 2, 2)
T1, T2, T3 = _weight(3, 2, 3), _weight(3, 2, 3, 3), _weight(3, 2, 2, 2, 2)
MASK = torch.tensor([True, False, True, True, False])

#: of tokens (5, 3)
TOKENS: dict[str, Kind] = {
    "linear": lambda x: F.linear(x, W43),
    "addmm": lambda x: torch.addmm(W43.sum(1), x[:, 0], W43.t()),
    "mm": lambda x: torch.mm(x[:, 0], W43.t()),
    "bmm": lambda x: torch.bmm(x, x.mT),
    "matmul": lambda x: x @ x.transpose(1, 2),
    "add": lambda x: x + x.relu() + W3,
    "sub": lambda x: x - x.relu(),
    "rsub": lambda x: torch.rsub(x, 1.0),
    "neg": lambda x: -x,
    "mul": lambda x: x * x.relu(),
    "div": lambda x: x / (1 + x.abs()),
    "mean": lambda x: x.mean(1),
    "sum": lambda x: x.sum(-1),
    "where": lambda x: torch.where(MASK[:, None], x, 2.0),
    "masked_fill": lambda x: x.masked_fill(MASK[:, None], 1.5),
    "softmax": lambda x: x.softmax(1),
    "layer_norm": lambda x: F.layer_norm(x, (3,), W3, W3),
    "rms_norm": lambda x: F.rms_norm(x, (3,), W3),
    "l2_norm": lambda x: x.norm(dim=-1),
    "linalg_vector_norm": lambda x: torch.linalg.vector_norm(x, dim=1),
    "gelu": lambda x: F.gelu(x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": lambda x: x.relu(),
    "relu6": lambda x: F.relu6(x),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "silu": lambda x: F.silu(x),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "exp": lambda x: x.exp(),
    "log": lambda x: (x.abs() + 1).log(),
    "sin": lambda x: x.sin(),
    "erf": lambda x: x.erf(),
    "abs": lambda x: x.abs(),
    "sqrt": lambda x: x.abs().sqrt(),
    "rsqrt": lambda x: (x.abs() + 1).rsqrt(),
    "reciprocal": lambda x: (x.abs() + 1).reciprocal(),
    "softplus": lambda x: F.softplus(x),
    "hard_sigmoid": lambda x: F.hardsigmoid(x),
    "hard_swish": lambda x: F.hardswish(x),
    "hardtanh": lambda x: F.hardtanh(x),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "clamp_min": lambda x: x.clamp_min(0.1),
    "clamp_max": lambda x: x.clamp_max(0.1),
    "pow": lambda x: x**2,
    "max": lambda x: x.max(1)[0],
    "amax": lambda x: x.amax(-1),
    "min": lambda x: x.min(1)[0],
    "amin": lambda x: x.amin(-1),
    "maximum": lambda x: torch.maximum(x, x.flip(1)),
    "minimum": lambda x: torch.minimum(x, x.flip(1)),
    "fmax": lambda x: torch.fmax(x, x.flip(1)),
    "fmin": lambda x: torch.fmin(x, x.flip(1)),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None]),
    "view": lambda x: x.view(-1, 15),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.flatten(1).unflatten(1, (3, 5)),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "expand": lambda x: x[:, :1].expand(-1, 4, -1),
    "permute": lambda x: x.permute(0, 2, 1),
    "t": lambda x: x[:, 0].t().t(),
    "select": lambda x: x[:, 1],
    "slice": lambda x: x[:, 1:4:2],
    "split": lambda x: x.split(2, 1)[1],
    "split_with_sizes": lambda x: x.split([2, 3], 1)[1],
    "chunk": lambda x: x.chunk(2, 1)[0],
    "tensor_split": lambda x: torch.tensor_split(x, 2, 1)[0],
    "unbind": lambda x: x.unbind(1)[2],
    "index": lambda x: x[:, [3, 1]],
    "index_select": lambda x: x.index_select(1, torch.tensor([2, 2])),
    "flip": lambda x: x.flip(1),
    "roll": lambda x: x.roll(2, 1),
    "cat": lambda x: torch.cat([x, x.relu()], 1),
    "stack": lambda x: torch.stack([x, x.relu()], 1),
    "repeat": lambda x: x.repeat(1, 2, 1),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "clone": lambda x: x.clone(),
    "constant_pad_nd": lambda x: F.pad(x, (1, 2)),
    "dropout": lambda x: F.dropout(x, training=False),
    "to": lambda x: x.to(torch.float64).to(torch.float32),
    "conv1d": lambda x: F.conv1d(x.mT, K1),
    "conv_transpose1d": lambda x: F.conv_transpose1d(x.mT, T1),
    "avg_pool1d": lambda x: F.avg_pool1d(x, 3),
    "max_pool1d": lambda x: F.max_pool1d(x, 3),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x, 1),
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x, 1),
    "reflection_pad1d": lambda x: F.pad(x, (1, 1), "reflect"),
    "replication_pad1d": lambda x: F.pad(x, (1, 1), "replicate"),
    "upsample_nearest1d": lambda x: F.interpolate(x, scale_factor=2),
    "_upsample_nearest_exact1d": lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "upsample_linear1d": lambda x: F.interpolate(x, scale_factor=2, mode="linear"),
}

#: of pictures (3, 6, 6)
PICTURES: dict[str, Kind] = {
    "conv2d": lambda x: F.conv2d(x, K2),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, T2),
    "batch_norm": lambda x: F.batch_norm(x, W3.detach(), W3.detach().abs() + 1, W3, W3),
    "group_norm": lambda x: F.group_norm(x, 3, W3, W3),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 2),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 2),
    "reflection_pad2d": lambda x: F.pad(x, (1, 1, 1, 1), "reflect"),
    "replication_pad2d": lambda x: F.pad(x, (1, 1, 1, 1), "replicate"),
    "upsample_nearest2d": lambda x: F.interpolate(x, scale_factor=2),
    "_upsample_nearest_exact2d": lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "upsample_bilinear2d": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "_upsample_bilinear2d_aa": lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True),
    "upsample_bicubic2d": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "_upsample_bicubic2d_aa": lambda x: F.interpolate(x, scale_factor=0.5, mode="bicubic", antialias=True),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 3),
}

#: of volumes (3, 4, 4, 4)
VOLUMES: dict[str, Kind] = {
    "conv3d": lambda x: F.conv3d(x, K3),
    "conv_transpose3d": lambda x: F.conv_transpose3d(x, T3),
    "avg_pool3d": lambda x: F.avg_pool3d(x, 2),
    "max_pool3d": lambda x: F.max_pool3d(x, 2),
    "adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(x, 2),
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(x, 2),
    "reflection_pad3d": lambda x: F.pad(x, (1, 1) * 3, "reflect"),
    "replication_pad3d": lambda x: F.pad(x, (1, 1) * 3, "replicate"),
    "upsample_nearest3d": lambda x: F.interpolate(x, scale_factor=2),
    "_upsample_nearest_exact3d": lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "upsample_trilinear3d": lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"),
}

GROUPS: dict[str, tuple[tuple[int, ...], dict[str, Kind]]] = {
    "tokens": ((5, 3), TOKENS), "pictures": ((3, 6, 6), PICTURES), "volumes": ((3, 4, 4, 4), VOLUMES),
}  # fmt: skip


#: spellings of others that have a handler too, for releases of torch and for graphs that are not from ``torch.export``, which
#: leaves none of them: in place, what is only a name, and what it takes apart
SPELLINGS = frozenset({
    "add_", "clamp_", "clamp_max_", "div_", "gelu_", "hardtanh_", "masked_fill_", "mul_", "relu6_",
    "broadcast_to", "chunk", "clip", "concat", "concatenate", "expand_as", "flatten", "mT", "movedim", "norm", "numpy_T",
    "reshape", "reshape_as", "square", "swapaxes", "swapdims", "tensor_split", "to", "true_divide", "type_as", "unflatten",
    "view_as", "alias", "contiguous", "lift_fresh_copy", "alpha_dropout", "dropout", "feature_dropout", "native_dropout",
    "_adaptive_avg_pool1d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_fused_rms_norm", "_safe_softmax", "_softmax",
    "_upsample_lanczos2d_aa", "batch_norm", "cudnn_batch_norm", "constant_pad_nd", "convolution", "native_layer_norm",
    "max_pool2d_with_indices", "max_pool3d_with_indices", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "replication_pad1d", "replication_pad2d", "replication_pad3d",
})  # fmt: skip

#: operations and functions that stand on token ids and masks: the models of text that the tests convert have them
ON_TOKENS = frozenset({
    "__and__", "__iand__", "__ior__", "__or__", "__xor__", "all", "any", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "cumsum", "embedding", "eq", "ge", "gt", "le", "logical_and", "logical_not", "logical_or", "logical_xor",
    "lt", "ne", "argmax", "gather", "one_hot", "_unsafe_index", "pad",
})  # fmt: skip
FUNCTIONS_ON_TOKENS = frozenset({"argmax", "cumulative_sum", "inside", "masked_softmax"})


class Together(nn.Module):
    """All kinds of a group side by side: their results one after the other, of the same sample."""

    def __init__(self, kinds: dict[str, Kind]) -> None:
        super().__init__()
        self.kinds = kinds

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([kind(x).flatten(1) for kind in self.kinds.values()], 1)
