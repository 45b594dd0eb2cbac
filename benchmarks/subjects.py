"""The models that accuracy is measured on, and the arguments that say where the larger ones are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.planted import plant
from benchmarks.train_vit_fashion import ARCHITECTURE, MODEL_ARGS
from ecmt_deploy import data, models
from ecmt_deploy.data import Dataset


class Subject(NamedTuple):
    """A model, and the data that it was trained for."""

    name: str
    model: Any
    spec: str

    def drawn(self, seed: int = 0) -> Any:
        """64 calibration samples, of the training split."""
        return data.calibration(
            self.spec, preprocessing=self.model.preprocessing, n_samples=64, n_classes=self.model.n_outputs, seed=seed
        )

    def test(self, drawn: Any, samples: int) -> Dataset:
        """Test samples, so many at most; ``drawn`` is left out."""
        return data.evaluation(
            self.spec, preprocessing=self.model.preprocessing, exclude=drawn.record, limit=samples,
            n_classes=self.model.n_outputs,
        )  # fmt: skip

    def arrays(self, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        """Calibration samples, test samples and the labels of these."""
        drawn = self.drawn()
        x, labels = self.test(drawn, samples).arrays()
        return torch.from_numpy(drawn.x), torch.from_numpy(x), torch.from_numpy(labels)


def arguments(description: str | None, samples: int) -> argparse.ArgumentParser:
    """A parser of ``--idx``, ``--weights`` and ``--samples``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idx", type=Path, help="directory with the Fashion-MNIST idx files; without it, digits only")
    parser.add_argument("--weights", type=Path, help="what train_vit_fashion wrote")
    parser.add_argument("--samples", type=int, default=samples, help="test samples, at most")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line says; ends the program where half of Fashion-MNIST is missing."""
    options = parser.parse_args()
    if (options.idx is None) != (options.weights is None):
        parser.error("--idx and --weights go together")
    return options


def digits() -> Subject:
    """The bundled model."""
    return Subject("digits", models.load("zoo:vit_digits"), "digits")


def subjects(options: argparse.Namespace) -> Iterator[Subject]:
    """The bundled model and, with Fashion-MNIST, a model trained on it and the same with planted massive activations."""
    yield digits()
    if options.idx:
        for name, outliers in (("Fashion-MNIST", False), ("Fashion-MNIST, planted outliers", True)):
            model = models.load(ARCHITECTURE, options.weights, MODEL_ARGS)
            if outliers:
                plant(model.module)
            yield Subject(name, model, f"idx:{options.idx}")
