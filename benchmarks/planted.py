"""Massive activations planted into a timm vision transformer that has none.

Pretrained transformers keep a few channels at tens to hundreds of times the rest; small models trained from scratch do not.
Here, in every block, three channels each of the operands of qkv, of fc1 and of the attention's projection are scaled up and
the weights that take them scaled down, which changes nothing, and three hidden units are moved far to the right, where GELU
is the identity.
"""

from __future__ import annotations

from typing import Any

import torch

FACTORS = (50.0, 100.0, 200.0)
#: by how much a moved hidden unit counts less
WEAKENED = 10.0


@torch.no_grad()
def plant(model: Any, seed: int = 0) -> None:
    """Plant outliers in the blocks of a timm ``VisionTransformer``, in place."""
    generator = torch.Generator().manual_seed(seed)
    for block in model.blocks:
        qkv, proj, fc1, fc2 = block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2
        width = block.norm1.weight.numel()
        for norm, linear in ((block.norm1, qkv), (block.norm2, fc1)):
            for channel, factor in zip(torch.randperm(width, generator=generator)[:3], FACTORS, strict=True):
                norm.weight[channel] *= factor
                norm.bias[channel] *= factor
                linear.weight[:, channel] /= factor
        for channel, factor in zip(torch.randperm(width, generator=generator)[:3], FACTORS, strict=True):
            qkv.weight[2 * width + channel] *= factor
            qkv.bias[2 * width + channel] *= factor
            proj.weight[:, channel] /= factor
        least = (fc2.weight.norm(dim=0) * fc1.weight.norm(dim=1)).argsort()[:3]
        for unit, factor in zip(least, FACTORS, strict=True):
            fc1.bias[unit] += factor
            fc2.weight[:, unit] /= WEAKENED
            fc2.bias -= fc2.weight[:, unit] * fc1.bias[unit]
