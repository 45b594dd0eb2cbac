"""The verb ``check``: whether a model converts, and which chips would take it; and whether data can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy import data as datasets
from ecmt_deploy.chips import available
from ecmt_deploy.conversion import checking
from ecmt_deploy.conversion.checking import Checked
from ecmt_deploy.conversion.suiting import Suits, suits
from ecmt_deploy.data import DataLook
from ecmt_deploy.door import ChipLike, as_chip, listed
from ecmt_deploy.errors import ConfigError, DataError, plural
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.program.text import TextPreprocessing
from ecmt_deploy.shown import Shown
from ecmt_deploy.untrusted.text import one_line
from ecmt_deploy.verbs.arguments import require_none

if TYPE_CHECKING:
    from ecmt_deploy.models import Model


#: tokens of a sentence where nobody says how many, and sentences of different lengths
_TOKENS, _SENTENCES = 128, ("one", "two of them")


class Check(Shown, msgspec.Struct, frozen=True):
    """What :func:`check` finds.

    Attributes
    ----------
    model : whether the model can be converted, and what it amounts to; ``None`` where only data was looked at
    weights : what weights it was checked with: ``its own``, those of a file, or ``random``
    chips : whether each chip takes it; empty where the model cannot be converted
    data : what is in the data; ``None`` where there was none to look at
    """

    model: Checked | None = None
    weights: str = ""
    chips: tuple[Suits, ...] = ()
    data: DataLook | None = None

    def __repr__(self) -> str:
        if self.model is None:
            return f"Check({self.data!r})"
        found = "converts" if self.converts else f"does not convert: {self.model.reason}"
        on = f"; {len(self.takers)} of {plural(len(self.chips), 'chip')} take it" if self.chips else ""
        return f"Check({one_line(f'{self.model.model} {found}')[:200]}{on})"

    @property
    def converts(self) -> bool:
        """Whether there is a model that can be converted."""
        return self.model is not None and self.model.converts

    @property
    def takers(self) -> tuple[str, ...]:
        """Names of the chips that take it."""
        return tuple(chip.hardware for chip in self.chips if chip.takes)


def check(
    model: nn.Module | str | None = None,
    sample: Any = None,
    hardware: ChipLike | Sequence[ChipLike] | None = None,
    *,
    weights: str | PathLike[str] | None = None,
    weights_key: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    input_size: int | Sequence[int] | None = None,
    output: str | None = None,
    data: str | None = None,
    workers: int | None = None,
) -> Check:
    """Find out in seconds, without data, whether a model converts, and which chips would take it; or whether data can be read.

    The model is captured and lowered as :func:`ecmt_deploy.convert` does it. Nothing is calibrated, so that cores are those of
    the widest neurons of a preset, and the analog program is not compared with the model.

    Parameters
    ----------
    model : any ``nn.Module`` in eval mode, or the name of a model, as of :func:`ecmt_deploy.convert`
    sample : of a module: the shape of a sample without the batch, such as ``(3, 224, 224)``, or samples (N, ...) of any values,
        of a model with several inputs as a mapping. A model by name knows its own
    hardware : chips by name, file or object; by default all that come with the project
    weights, weights_key, model_args : of a model by name, see :func:`ecmt_deploy.models.load`. Without a file the weights are
        random: nothing is fetched, and what can be converted does not depend on them
    input_size : of a model by name: (C, H, W), (H, W), or the edge of a square; of text, the number of tokens (otherwise
        as many as the longest sentence of ``data`` has; without that 128)
    output : name of the answer that is meant, as of :func:`ecmt_deploy.convert`
    data : a dataset by name, such as ``folder:DIR``: every sample of it is read once, as the model takes it, if there is one;
        classes are matched with the names that a model by name has for its outputs
    workers : processes that read it, 0 for none; ``None`` for a number that suits data and machine

    Returns
    -------
    Check

    Raises
    ------
    ConfigError
        if an argument is missing, or is for the other kind of model.
    ModelError
        if the model is no module, or cannot be had by this name.
    DataError
        if the model does not take such a sample.
    HardwareError
        if there is no such chip.
    """
    if model is None:
        if data is None:
            raise ConfigError("pass a model to check, or data='folder:DIR', or both")
        require_none(
            "a model, and data alone is checked", sample=sample, hardware=hardware, weights=weights, weights_key=weights_key,
            model_args=model_args or None, input_size=input_size, output=output,
        )  # fmt: skip
        return Check(data=datasets.look_through(data, None, workers=workers))
    if data is None:
        require_none("reading data, of which none is named", workers=workers)
    chips = [as_chip(chip) for chip in (available() if hardware is None else listed(hardware))]
    if isinstance(model, str):
        loaded = _loaded(model, sample, weights, weights_key, model_args, input_size, output)
        module, name, reading = loaded.module, model, _reading(loaded, data)
        names, ids = loaded.class_names, loaded.class_ids
        x = _random(reading.input_size) if isinstance(reading, Preprocessing) else datasets.tokenized(_SENTENCES, reading)
        origin = "random" if loaded.random else "its own" if weights is None else str(weights)
    else:
        if weights is not None or weights_key is not None or model_args or input_size is not None:
            raise ConfigError("weights, model_args and input_size belong to a model by name; this module is built already")
        module, x, name, origin = model, _sample(sample), type(model).__name__, "its own"
        reading, names, ids = None, None, None
    looked = None if data is None else datasets.look_through(data, reading, names, ids, workers)
    found, made = checking.check(module, x, name, output)
    answers = () if made is None else tuple(suits(made, chip) for chip in chips)
    return Check(found, origin, answers, looked)


def _loaded(
    name: str,
    sample: Any,
    weights: Any,
    key: str | None,
    args: Mapping[str, Any] | None,
    input_size: Any,
    output: str | None,
) -> Model:
    """A model by its name, with random weights where there is no file."""
    from ecmt_deploy import models  # timm takes seconds to load

    if sample is not None:
        raise ConfigError(f"{name} knows the shape of its samples; input_size changes it")
    preprocessing = {} if input_size is None else {"input_size": input_size}
    return models.load(name, None if weights is None else Path(weights), args, key, preprocessing, output, fetch=False)


def _reading(model: Model, data: str | None) -> Preprocessing | TextPreprocessing:
    """What samples of a model by name go through; sentences are as long as was asked for, as those of ``text:FILE``, or have
    :data:`_TOKENS` tokens."""
    if model.text is None:
        assert model.preprocessing is not None  # a model by name reads images or text
        return model.preprocessing
    asked = "length" in model.preprocessing_origin
    if data is None and not asked:
        return msgspec.structs.replace(model.text, length=min(model.text.length, _TOKENS))
    return model.text if data is None else datasets.fitted_text(data, model.text, model.type_ids, asked)


def _sample(sample: Any) -> Any:
    """Samples for a module of whatever ``sample`` is, a shape or samples."""
    if isinstance(sample, Mapping):
        return sample
    if sample is None:
        raise ConfigError("pass the shape of a sample too, such as check(model, (3, 224, 224)), or samples (N, ...)")
    if isinstance(sample, int | tuple | list | torch.Size) and all(isinstance(n, int) for n in listed(sample)):
        shape = tuple(listed(sample))
        if not shape or min(shape) < 1:
            raise DataError(f"{shape} is no shape of a sample; expected sizes of 1 or more, such as (3, 224, 224)")
        return _random(shape)
    x = torch.from_numpy(np.asarray(sample)) if not isinstance(sample, Tensor) else sample
    if x.ndim < 2 or not len(x):
        raise DataError(f"samples have shape {tuple(x.shape)}; expected (N, ...), at least one")
    return x


def _random(shape: Sequence[int]) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
