"""The models that docs/support.md is about: where each is from, how to build it at full size, and how to build it small."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import timm
import timm.layers
import torch
import torchvision
from torch import Tensor, nn

from tests.support.families import FAMILIES
from tests.support.hugging_face import SMALL
from tests.support.survey.scan import scanned

#: edges of the pictures that small models are tried with, in order
EDGES = (64, 96, 128, 160, 192, 224, 256, 288)
#: a model of torchvision is one whose file is of transformers
TORCHVISION = ("vit_b_16", "swin_t", "swin_v2_t", "maxvit_t")


@dataclass(frozen=True)
class Entry:
    """A model.

    Attributes
    ----------
    key : names it in the cache
    source : ``timm``, ``torchvision``, ``transformers`` or ``torch``
    family : its family in the table
    model : its name there
    full : builds it as it is; what is counted
    small : builds a small one for cosines, with what it is smaller by; ``None`` where the model is small itself
    inputs : samples for a model with another shape than pictures; ``None`` where ``shape`` says it
    """

    key: str
    source: str
    family: str
    model: str
    full: Callable[[], tuple[nn.Module, tuple[int, ...]]]
    small: Callable[[], tuple[nn.Module, tuple[int, ...], str]] | None
    inputs: Callable[[int, int], Tensor | dict[str, Tensor]] | None = None
    output: str | None = None


def entries() -> Iterator[Entry]:
    """All of them, in the order of the tables."""
    for found in scanned():
        if found["kind"] is not None:
            file, name = found["file"], found["model"]
            shape = tuple(found["shape"])
            yield Entry(
                f"timm-{file}", "timm", file, name, lambda name=name, shape=shape: (_timm(name), shape),
                lambda file=file, name=name, shape=shape: smaller(file, name, shape),
            )  # fmt: skip
    for name in TORCHVISION:
        yield Entry(f"torchvision-{name}", "torchvision", name, name, lambda name=name: _torchvision(name), None)
    for family in FAMILIES:
        if family.name.startswith("torch"):
            yield Entry(
                f"small-{family.name}", family.name.partition(" ")[0].partition(".")[0], family.name, "small",
                lambda family=family: (family.build(), family.shape), None,
            )  # fmt: skip
    for name, small in SMALL.items():
        yield Entry(
            f"transformers-{name}", "transformers", name, "small", lambda small=small: (small.make(), ()), None,
            small.inputs, small.output,
        )  # fmt: skip


def _timm(name: str, **options: Any) -> nn.Module:
    timm.layers.set_fused_attn(False)
    torch.manual_seed(0)
    return timm.create_model(name, **options)


def _torchvision(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    return getattr(torchvision.models, name)(weights=None), (3, 224, 224)


def smaller(file: str, name: str, shape: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...], str]:
    """A model of timm with one block a stage, for the smallest pictures that it runs on.

    Which arguments say how many blocks there are is told by their names, among those that its entry point passes and those of
    its class; a model that has none such, or that does not run with them, keeps all its blocks.
    """
    for options, said in ((shallow(file, name), "one block a stage"), ({}, "")):
        for edge in (edge for edge in EDGES if edge < shape[-1]) if options or not said else ():
            for sized in ({"img_size": edge}, {}):
                made = _runs(name, {**options, **sized, "num_classes": 16}, (shape[0], edge, edge))
                if made is not None:
                    return made, (shape[0], edge, edge), ", ".join(filter(None, [said, f"{edge} px"]))
    return _timm(name, num_classes=16), shape, ""


def _runs(name: str, options: dict[str, Any], shape: tuple[int, ...]) -> nn.Module | None:
    """The model, if it can be built so and takes such pictures."""
    try:
        model = _timm(name, **options).eval()
        with torch.no_grad():
            answer = model(torch.zeros(2, *shape))
    except Exception:  # whatever a thousand constructors raise
        return None
    return model if answer.shape[-1] == 16 else None


def shallow(file: str, name: str) -> dict[str, Any]:
    """Arguments that leave one block in every stage, or one in all where it has no stages."""
    module, seen = importlib.import_module(f"timm.models.{file}"), {}
    build = module.build_model_with_cfg

    def note(cls: type, *args: Any, **kwargs: Any) -> nn.Module:
        own = {
            key: p.default for key, p in inspect.signature(cls).parameters.items() if p.default is not inspect.Parameter.empty
        }
        seen.update({**own, **kwargs})
        return build(cls, *args, **kwargs)

    computing = contextlib.suppress(Exception)  # a constructor that computes: what it was called with is known by then
    with computing, mock.patch.object(module, "build_model_with_cfg", note), torch.device("meta"):
        timm.create_model(name)
    options: dict[str, Any] = {}
    for key in ("depth", "depths", "layers", "num_layers", "num_blocks", "blocks"):
        value = seen.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            options[key] = 1
        elif isinstance(value, tuple | list) and all(isinstance(n, int) for n in value):
            options[key] = tuple(min(n, 1) for n in value)
    return options
