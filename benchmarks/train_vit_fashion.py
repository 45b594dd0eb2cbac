"""Train a small vision transformer on Fashion-MNIST (idx files) for the accuracy benchmark.

    python -m benchmarks.train_vit_fashion DIR --out fashion.safetensors

DIR holds train-images-idx3-ubyte[.gz] and its companions. Seeded; some six minutes on two cores. Nothing was tuned on the test
split, whose accuracy is printed once, at the end.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from ecmt_deploy import data, models

ARCHITECTURE = "vit_tiny_patch16_224"
MODEL_ARGS: dict[str, Any] = {
    "img_size": 28, "patch_size": 7, "in_chans": 1, "num_classes": 10, "embed_dim": 96, "depth": 6, "num_heads": 4,
    "mean": 0.286, "std": 0.353,
}  # fmt: skip
EPOCHS, BATCH, PEAK_LEARNING_RATE, WEIGHT_DECAY = 12, 128, 1e-3, 0.05


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="idx files")
    parser.add_argument("--out", type=Path, default=Path("fashion.safetensors"))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    model = models.load(ARCHITECTURE, model_args={**MODEL_ARGS, "pretrained": False})
    train_x, train_y, test_x, test_y = (
        torch.from_numpy(array)
        for split in ("train", "test")
        for array in data.open(f"idx:{options.directory}", preprocessing=model.preprocessing, split=split).arrays()
    )
    train(model.module, train_x, train_y, options.epochs)
    safetensors.torch.save_file({k: v.contiguous() for k, v in model.module.state_dict().items()}, options.out)
    with torch.no_grad():
        right = sum(
            int((model.module(x).argmax(1) == y).sum()) for x, y in zip(test_x.split(500), test_y.split(500), strict=True)
        )
    print(f"{options.out}: test accuracy {right / len(test_y):.4f} ({right} of {len(test_y)})")


def train(module: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    """AdamW on one cycle of the learning rate, images mirrored at random; ends in eval mode."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(module.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = (len(x) + BATCH - 1) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, epochs=epochs, steps_per_epoch=steps)
    module.train()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            images = torch.where(torch.rand(len(batch), 1, 1, 1, generator=generator) < 0.5, x[batch], x[batch].flip(-1))
            loss = functional.cross_entropy(module(images), y[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch + 1:3d}  loss {total / len(x):.4f}", flush=True)
    module.eval()


if __name__ == "__main__":
    main()
