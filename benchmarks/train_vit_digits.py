"""Train the bundled model ``zoo:vit_digits`` and write its weights, card and model card.

    python benchmarks/train_vit_digits.py                 train on the whole train split, write into ecmt_deploy/models/zoo
    python benchmarks/train_vit_digits.py --validate      train on 80 % of it and print the accuracy on the other 20 %

Hyperparameters were chosen with ``--validate``; the test split is looked at once, after the last epoch, to write down
the accuracy. Training is seeded and runs on one thread, so a second run on the same machine gives the same file.
"""

from __future__ import annotations

import argparse
import copy
import math
import platform
from pathlib import Path

import msgspec
import numpy as np
import safetensors.torch
import sklearn
import timm
import torch
from torch import nn
from torch.nn import functional

from ecmt_deploy import data, models
from ecmt_deploy.models import weights, zoo
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.report.units import accuracy as percent

ARCHITECTURE = "vit_tiny_patch16_224"
MODEL_ARGS = {
    "img_size": 8,
    "patch_size": 2,
    "in_chans": 1,
    "num_classes": 10,
    "embed_dim": 64,
    "depth": 3,
    "num_heads": 4,
    "mlp_ratio": 2.0,
}
TRAINING = {
    "seed": 0,
    "epochs": 400,
    "batch_size": 64,
    "optimizer": "AdamW",
    "peak_learning_rate": 1e-3,
    "warmup_epochs": 10,
    "schedule": "cosine to zero",
    "weight_decay": 0.2,
    "label_smoothing": 0.1,
    "max_rotation_degrees": 8.0,
    "max_scale": 0.08,
    "max_shift_pixels": 0.6,
    "ema_decay": 0.995,
}
VALIDATION_SHARE = 0.2


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--validate", action="store_true", help="hold out part of the train split; write nothing")
    parser.add_argument("--out", type=Path, default=Path(zoo.__file__).parent, help="directory to write to")
    parser.add_argument("--seed", type=int, default=TRAINING["seed"])
    parser.add_argument("--epochs", type=int, default=TRAINING["epochs"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    training = TRAINING | {"seed": options.seed, "epochs": options.epochs}

    preprocessing = measure_preprocessing()
    x, y = data.open("digits", preprocessing=preprocessing, split="train").arrays()
    if options.validate:
        order = np.random.RandomState(options.seed).permutation(len(x))
        held = order[: int(len(x) * VALIDATION_SHARE)]
        kept = np.setdiff1d(order, held)
        module = train(x[kept], y[kept], training)
        print(f"validation accuracy {correct(module, x[held], y[held]) / len(held):.4f} of {len(held)} samples")
        return
    module = train(x, y, training)
    write(module, preprocessing, training, options.out)


def measure_preprocessing() -> Preprocessing:
    """Normalisation to zero mean and unit deviation of the train split's pixels."""
    unit = Preprocessing(input_size=(1, 8, 8), mean=(0.0,), std=(1.0,), interpolation="bilinear")
    pixels, _ = data.open("digits", preprocessing=unit, split="train").arrays()
    mean, std = float(pixels.mean(dtype=np.float64)), float(pixels.std(dtype=np.float64))
    return Preprocessing(input_size=(1, 8, 8), mean=(round(mean, 6),), std=(round(std, 6),), interpolation="bilinear")


def train(x: np.ndarray, y: np.ndarray, training: dict) -> nn.Module:
    """Train on normalised images (N, 1, 8, 8) and labels (N,); returns the moving average of the weights."""
    generator = torch.Generator().manual_seed(training["seed"])
    random_weights = {**MODEL_ARGS, "pretrained": False, "seed": training["seed"]}
    module = models.load(ARCHITECTURE, model_args=random_weights).module.train()
    average = copy.deepcopy(module)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    decayed = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": training["weight_decay"]}, {"params": others, "weight_decay": 0.0}],
        lr=training["peak_learning_rate"],
    )
    background = float(images.min())
    steps_per_epoch = math.ceil(len(images) / training["batch_size"])
    total, warmup = training["epochs"] * steps_per_epoch, training["warmup_epochs"] * steps_per_epoch
    step = 0
    for epoch in range(training["epochs"]):
        losses = []
        for batch in torch.randperm(len(images), generator=generator).split(training["batch_size"]):
            rising, falling = (step + 1) / warmup, (1 + math.cos(math.pi * step / total)) / 2
            for group in optimizer.param_groups:
                group["lr"] = training["peak_learning_rate"] * min(rising, 1.0) * falling
            inputs = augment(images[batch], background, training, generator)
            loss = functional.cross_entropy(module(inputs), labels[batch], label_smoothing=training["label_smoothing"])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            step += 1
            decay = min(training["ema_decay"], step / (step + 10))
            with torch.no_grad():
                for kept, new in zip(average.parameters(), module.parameters(), strict=True):
                    kept.lerp_(new, 1 - decay)
            losses.append(loss.item())
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:4d}  loss {np.mean(losses):.4f}", flush=True)
    return average.eval()


def augment(images: torch.Tensor, background: float, training: dict, generator: torch.Generator) -> torch.Tensor:
    """Random rotation, scale and shift of each image (B, 1, 8, 8), by bilinear sampling."""
    n, size = len(images), images.shape[-1]

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle = uniform(math.radians(training["max_rotation_degrees"]))
    scale = 1 + uniform(training["max_scale"])
    shift = 2.0 * training["max_shift_pixels"] / size
    row_x = torch.stack([torch.cos(angle) * scale, -torch.sin(angle) * scale, uniform(shift)], dim=1)
    row_y = torch.stack([torch.sin(angle) * scale, torch.cos(angle) * scale, uniform(shift)], dim=1)
    grid = functional.affine_grid(torch.stack([row_x, row_y], dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images - background, grid, align_corners=False) + background


def correct(module: nn.Module, x: np.ndarray, y: np.ndarray) -> int:
    """Samples whose largest output is their label."""
    with torch.no_grad():
        return int((module(torch.from_numpy(x)).argmax(dim=1) == torch.from_numpy(y)).sum())


def write(module: nn.Module, preprocessing: Preprocessing, training: dict, out: Path) -> None:
    """Write weights, card (JSON) and model card (Markdown), with the accuracy measured on the written weights."""
    path = out / "vit_digits.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in module.state_dict().items()}, path)
    path.chmod(0o644)  # safetensors writes private files
    shipped = models.load(ARCHITECTURE, weights=path, model_args=MODEL_ARGS).module
    measured = []
    class_names: tuple[str, ...] = ()
    for split in ("train", "test"):
        dataset = data.open("digits", preprocessing=preprocessing, split=split)
        class_names = dataset.class_names or ()
        n_correct = correct(shipped, *dataset.arrays())
        measured.append(zoo.Accuracy(split, n_correct, len(dataset), n_correct / len(dataset)))
    card = zoo.Card(
        name="zoo:vit_digits",
        description="Vision transformer for 8 x 8 handwritten digits; small enough to simulate on a laptop",
        data="scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits, CC BY 4.0), "
        f"stratified split of ecmt_deploy.data.split_digits: {measured[0].samples} train, {measured[1].samples} test",
        architecture=ARCHITECTURE,
        model_args=MODEL_ARGS,
        preprocessing=preprocessing,
        class_names=class_names,
        n_parameters=sum(p.numel() for p in shipped.parameters()),
        weights_sha256=weights.sha256(shipped),
        measured=tuple(measured),
        training=training,
        versions={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "timm": timm.__version__,
            "scikit-learn": sklearn.__version__,
        },
    )
    (out / "vit_digits.json").write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    (out / "vit_digits.md").write_text(markdown(card))
    print(f"{path}: test accuracy {measured[1].accuracy:.4f} ({measured[1].correct} of {measured[1].samples})")


def markdown(card: zoo.Card) -> str:
    """The model card in words; every number is from the card."""
    lines = [
        f"# {card.name}",
        "",
        f"{card.description}. Written by `benchmarks/train_vit_digits.py`; do not edit.",
        "",
        f"- Architecture: `timm.create_model({card.architecture!r}, "
        + ", ".join(f"{k}={v}" for k, v in card.model_args.items())
        + ")`",
        f"- Parameters: {card.n_parameters:,} (float32)",
        f"- Input: {' x '.join(map(str, card.preprocessing.input_size))}, pixels in [0, 1], "
        f"mean {card.preprocessing.mean[0]}, standard deviation {card.preprocessing.std[0]}",
        f"- Data: {card.data}",
        f"- Weights sha256 (of the state dict): `{card.weights_sha256}`",
        "",
        "| split | correct | samples | accuracy, %, and its 95 % interval |",
        "|---|---|---|---|",
        *[f"| {m.split} | {m.correct} | {m.samples} | {percent(m.accuracy, m.samples)} |" for m in card.measured],
        "",
        "The test split was not used to choose anything: hyperparameters were chosen on a fifth of the train split, and",
        "the number of epochs is fixed.",
        "",
        "Training: " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in card.training.items()) + ".",
        "",
        "Libraries: " + ", ".join(f"{k} {v}" for k, v in card.versions.items()) + ".",
        "",
        "Intended for demonstrations and tests. It knows centred, upright digits of 8 x 8 pixels and nothing else.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
