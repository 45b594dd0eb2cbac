"""What loading a model by name gives: :class:`Model`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.program.text import TextPreprocessing
from ecmt_deploy.shown import Shown


@dataclass(frozen=True, repr=False)
class Model(Shown):
    """A model with its weights, and what a program made of it should remember.

    Attributes
    ----------
    module
        float32, in eval mode; images (B, C, H, W) to (B, classes), or tokens by name to a tensor.
    name
        As it was asked for.
    weights_sha256
        See :func:`ecmt_deploy.models.weights.sha256`.
    preprocessing, preprocessing_origin
        What images must go through, and for each field of that who said so; of a model of text None.
    text, type_ids
        What sentences must go through, of the largest length, and whether pairs are told apart by ``token_type_ids``; of a
        model of images None.
    class_names, class_ids
        Names of its outputs, None where unknown, and what datasets call them where that is something else.
    n_outputs
        Length of its output vector; None where that is no vector of classes, or not known.
    model_args
        Arguments it was built with beyond the name.
    weights_key
        Under which key the weight file holds its weights; None where they are of no file.
    random
        Whether the weights are random.
    """

    module: nn.Module
    name: str
    weights_sha256: str
    preprocessing: Preprocessing | None
    class_names: tuple[str, ...] | None
    n_outputs: int | None
    model_args: dict[str, Any] = field(default_factory=dict)
    preprocessing_origin: dict[str, str] = field(default_factory=dict)
    class_ids: tuple[str, ...] | None = None
    weights_key: str | None = None
    random: bool = False
    text: TextPreprocessing | None = None
    type_ids: bool = False

    def __repr__(self) -> str:
        return f"Model({self.name[:200]!r}, {type(self.module).__name__}{', random weights' if self.random else ''})"
