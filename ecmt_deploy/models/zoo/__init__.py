"""Bundled models: weights, and a card for each with what was measured when it was trained.

Every number of a card was written by the script that trained the model (``benchmarks/train_vit_digits.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ecmt_deploy.errors import ModelError
from ecmt_deploy.program.preprocessing import Preprocessing

PREFIX = "zoo:"
_DIRECTORY = Path(__file__).parent


class Accuracy(msgspec.Struct, frozen=True):
    """Correct answers out of so many samples of a split."""

    split: str
    correct: int
    samples: int
    accuracy: float


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a bundled model.

    Attributes
    ----------
    architecture, model_args
        Name and arguments of ``timm.create_model``.
    weights_sha256
        As :func:`ecmt_deploy.models.weights.sha256`; checked on every load.
    measured
        Accuracy of the shipped weights in float32, by split.
    training
        Everything the training depended on: seed, epochs, optimiser, augmentation.
    versions
        Of the libraries it was trained with.
    """

    name: str
    description: str
    data: str
    architecture: str
    model_args: dict[str, Any]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    n_parameters: int
    weights_sha256: str
    measured: tuple[Accuracy, ...]
    training: dict[str, Any]
    versions: dict[str, str]


def names() -> tuple[str, ...]:
    """Names of the bundled models, as ``zoo:NAME``."""
    return tuple(sorted(f"{PREFIX}{path.stem}" for path in _DIRECTORY.glob("*.json")))


def card(name: str) -> Card:
    """The card of a bundled model.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    if name not in names():
        raise ModelError(f"{name}: no such bundled model; there are {', '.join(names())}")
    return msgspec.json.decode((_DIRECTORY / f"{name.removeprefix(PREFIX)}.json").read_bytes(), type=Card)


def weights_path(name: str) -> Path:
    """Where the weights of a bundled model lie (``.safetensors``)."""
    return _DIRECTORY / f"{name.removeprefix(PREFIX)}.safetensors"
