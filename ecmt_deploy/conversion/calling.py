"""How a model is called, and which of its answers is meant: nothing else in conversion calls the model.

A sample is one array, however many inputs the model has (:mod:`ecmt_deploy.program.inputs`). It is taken apart here, and
passed by position or by keyword as the model's ``forward`` takes it; of the answer the tensor that is meant comes back.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ecmt_deploy.conversion.answers import Way, choose, taken
from ecmt_deploy.conversion.places import place_in_code
from ecmt_deploy.errors import CaptureError, DataError

#: attribute under which the module that is exported holds the model; paths of its modules begin with it
ROOT = "called"
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)


class Inputs(Protocol):
    """Named inputs, as :mod:`ecmt_deploy.program.inputs` will have them."""

    def __iter__(self) -> Iterator[Any]: ...

    def unpack(self, samples: Any) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Calling:
    """A model and how it is called.

    Attributes
    ----------
    model : the module that is converted
    given : the module that its caller has, which may wrap it
    inputs : the named inputs of the model; ``None`` for one input of floating point that nobody named
    keywords : for every input, the keyword it is passed by, or ``None`` where it is passed by position
    way : the way to the tensor that is meant in an answer
    """

    model: nn.Module
    given: nn.Module
    inputs: Inputs | None
    keywords: tuple[str | None, ...]
    way: Way

    @property
    def name(self) -> str:
        """What to call the model in messages."""
        return type(self.model).__name__

    def tensors(self, samples: Tensor) -> tuple[Tensor, ...]:
        """The model's inputs (N, ..), in the order of :attr:`keywords`, of packed samples; ids and masks are integers."""
        return _tensors(self.inputs, samples)

    def __call__(self, samples: Tensor) -> Tensor:
        """What the module that the caller has answers to packed samples (N, ..), without gradients."""
        with torch.no_grad():
            answer: Tensor = taken(_answer(self.given, self.keywords, self.tensors(samples)), self.way)
        return answer

    def exportable(self) -> nn.Module:
        """A module that takes :meth:`tensors` by position and answers with the tensor that is meant, for ``torch.export``.

        It holds the model as :data:`ROOT`, by which the paths of modules that it reports are longer.
        """
        return _Exportable(self)


class _Exportable(nn.Module):
    def __init__(self, calling: Calling) -> None:
        super().__init__()
        self.training = False  # of this module alone: the model's are as its caller has them
        self._keywords, self._way = calling.keywords, calling.way
        setattr(self, ROOT, calling.model)

    def forward(self, *tensors: Tensor) -> Tensor:
        answer: Tensor = taken(_answer(getattr(self, ROOT), self._keywords, tensors), self._way)
        return answer


def called(
    model: nn.Module,
    batch: Tensor,
    inputs: Inputs | None = None,
    output: str | None = None,
    given: nn.Module | None = None,
) -> Calling:
    """Find out how a model is called, and which of its answers is meant, by calling it on the first sample of a batch.

    Parameters
    ----------
    model : the module that is to be converted
    batch : packed samples (N, ..)
    inputs : the model's named inputs; ``None`` for one input of floating point that nobody named
    output : the name of the tensor that is meant (``logits``, ``hidden_states.3``, ``[0]``); ``None`` for the only floating
        one, or ``logits``
    given : the module that the caller has, where that wraps ``model``

    Raises
    ------
    DataError
        if the model's own code does not take the sample; what it expects is in the reason it gives, with where it says so.
    CaptureError
        if it is not said which answer is meant, that is not of floating point, or a single sample's has other axes than that
        of several.
    """
    given = model if given is None else given
    keywords = _keywords(model, inputs)
    try:
        with torch.no_grad():
            one, two = (_answer(given, keywords, _tensors(inputs, part)) for part in (batch[:1], batch[[0, 0]]))
    except Exception as error:  # whatever the model's code raises
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{type(model).__name__} does not take calibration samples of shape {tuple(batch.shape[1:])}; its code says what it"
            f" expects: {type(error).__name__}: {reason}{place_in_code(error)}"
        ) from error
    way = choose(type(model).__name__, one, two, output)
    answer, doubled = taken(one, way), taken(two, way)
    if not isinstance(doubled, Tensor) or answer.ndim != doubled.ndim:
        found = tuple(doubled.shape) if isinstance(doubled, Tensor) else type(doubled).__name__
        raise CaptureError(
            f"{type(model).__name__} answers one sample with shape {tuple(answer.shape)} and two with {found}; "
            "name the axis that squeeze() is to leave out"
        )
    return Calling(model, given, inputs, keywords, way)


def _answer(model: nn.Module, keywords: tuple[str | None, ...], tensors: tuple[Tensor, ...]) -> Any:
    given = list(zip(keywords, tensors, strict=True))
    return model(*(x for keyword, x in given if keyword is None), **{keyword: x for keyword, x in given if keyword})


def _tensors(inputs: Inputs | None, samples: Tensor) -> tuple[Tensor, ...]:
    if inputs is None:
        return (samples,)
    parts = inputs.unpack(samples)
    return tuple(parts[entry.name] if entry.holds == "values" else parts[entry.name].long() for entry in inputs)


def _keywords(model: nn.Module, inputs: Inputs | None) -> tuple[str | None, ...]:
    """The keyword that every input is passed by, as the signature of ``forward`` has it; ``None`` for by position."""
    parameters = inspect.signature(model.forward).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    by_keyword = [name for name, p in parameters.items() if p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    if inputs is not None:
        names = [entry.name for entry in inputs]
        unknown = [name for name in names if name not in by_keyword]
        if not unknown or Parameter.VAR_KEYWORD in kinds:
            return tuple(names)
        if len(names) == 1 and kinds & set(_BY_POSITION):
            return (None,)
        raise DataError(f"{type(model).__name__} has no input {unknown[0]!r}; its forward takes {', '.join(by_keyword)}")
    main = getattr(model, "main_input_name", None)  # by which transformers' models say what they take
    if main in by_keyword:
        return (main,)
    if kinds & set(_BY_POSITION):
        return (None,)
    required = [name for name in by_keyword if parameters[name].default is Parameter.empty] or by_keyword
    if len(required) == 1:
        return (required[0],)
    raise DataError(
        f"{type(model).__name__} takes its inputs by keyword, {', '.join(required) or 'of any name'}; name the samples that are"
        " one of them, {name: samples}"
    )
