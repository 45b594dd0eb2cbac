"""A small transformer, and its programs: made by the real converter, so this file needs torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.program import Program
from ecmt_deploy.testing.handmade import images


class TinyTransformer(nn.Module):
    """A transformer with massive activations in a few channels, as pretrained ones have: (2, 4, 4) to 5 classes."""

    def __init__(self, seed: int = 0, dim: int = 12, outlier: float = 40.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.patch = nn.Conv2d(2, dim, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        self.position = nn.Parameter(torch.randn(1, 5, dim))
        self.norm1, self.norm2, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.act, self.fc2 = nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        self.head = nn.Linear(dim, 5)
        with torch.no_grad():
            self.norm1.weight[3] *= outlier
            self.fc1.bias[5] += outlier
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, 3, dim // 3).permute(2, 0, 3, 1, 4).unbind(0)
        attention = (q * 0.5) @ k.transpose(-2, -1)
        x = x + self.proj((attention.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, dim))
        x = x + self.fc2(self.act(self.fc1(self.norm2(x))))
        return self.head(self.norm(x)[:, 0])


def converted(preset: str, seed: int = 0, **options: Any) -> Program:
    """The tiny transformer as preset ``preset`` converts it with these options."""
    calibration = torch.from_numpy(images(16, seed=1))
    return convert(TinyTransformer(seed), calibration, ConvertConfig(preset=preset, **options)).program
