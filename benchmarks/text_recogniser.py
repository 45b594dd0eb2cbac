"""A recogniser of lines of text: a small network with long feature maps, for the benchmark of conversions.

Convolutions take a line of 32 x width pixels down to one row of width / 2 columns, two encoder layers let the columns attend to
each other, and a linear layer names a character for each. Random weights: what its conversion takes is measured, not what it
reads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH, CHANNELS, CHARACTERS = 1024, 256, 97


class TextRecogniser(nn.Module):
    """(B, 1, 32, width) to (B, width / 2, characters): 11 MB of weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        #: output channels, kernel and stride of every convolution
        layers: tuple[tuple[int, int | tuple[int, int], int | tuple[int, int]], ...] = (
            (32, 3, 1), (64, 3, 1), (128, 2, 2), (128, 3, 1), (256, (2, 1), (2, 1)), (256, 3, 1), (256, (2, 1), (2, 1)),
            (CHANNELS, (4, 1), (4, 1)),
        )  # fmt: skip
        modules: list[nn.Module] = []
        channels = 1
        for out, kernel, stride in layers:
            padding = 1 if kernel == 3 else 0
            modules += [nn.Conv2d(channels, out, kernel, stride, padding), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        self.columns = nn.Sequential(*modules)
        layer = nn.TransformerEncoderLayer(CHANNELS, 4, 2 * CHANNELS, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(CHANNELS, CHARACTERS)

    def forward(self, lines: Tensor) -> Tensor:
        columns = self.columns(lines).squeeze(2).transpose(1, 2)
        characters: Tensor = self.head(self.encoder(columns))
        return characters
