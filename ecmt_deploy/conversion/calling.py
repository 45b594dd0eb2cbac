"""How a model is called, and which of its answers is meant: nothing else in conversion calls the model.

A sample is one array, however many inputs the model has (:mod:`ecmt_deploy.program.inputs`). It is taken apart here, and
passed by position or by keyword as the model's ``forward`` takes it; of the answer the tensor that is meant comes back.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

import torch
from torch import Tensor, nn

from ecmt_deploy.conversion.answers import Way, choose, named, taken
from ecmt_deploy.conversion.places import place_in_code
from ecmt_deploy.conversion.preparing import Prepared
from ecmt_deploy.errors import CaptureError, DataError, said
from ecmt_deploy.program.inputs import Inputs, NamedInput

#: attribute under which the module that is exported holds the model; paths of its modules begin with it
ROOT = "called"
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)


@dataclass(frozen=True)
class Calling:
    """A model and how it is called.

    Attributes
    ----------
    prepared : the module that is converted, and what its caller has
    inputs : the named inputs of the model; ``None`` for one input of floating point that nobody named
    keywords : for every input, the keyword it is passed by, or ``None`` where it is passed by position
    way : the way to the tensor that is meant in an answer
    booleans : names of the inputs that the model takes as booleans
    """

    prepared: Prepared
    inputs: Inputs | None
    keywords: tuple[str | None, ...]
    way: Way
    booleans: frozenset[str] = frozenset()

    @property
    def model(self) -> nn.Module:
        """The module that is converted."""
        return self.prepared.model

    @property
    def name(self) -> str:
        """What to call the model in messages."""
        return type(self.model).__name__

    def tensors(self, samples: Tensor) -> tuple[Tensor, ...]:
        """The model's inputs (N, ..), in the order of :attr:`keywords`, of packed samples; ids and masks are integers."""
        return _tensors(self.inputs, samples, self.booleans)

    def __call__(self, samples: Tensor) -> Tensor:
        """What the module that the caller has answers to packed samples (N, ..), without gradients; in single precision where
        it is in half.

        Raises
        ------
        DataError
            if the model's own code raises anything; the message says what, and where.
        """
        return self._called(self.prepared.given, self.tensors(samples))

    def in_half(self, samples: Tensor, half: nn.Module) -> Tensor:
        """The same from ``prepared.half``, in its precision."""
        dtype = self.prepared.half_dtypes[0]
        given = tuple(x.to(dtype) if x.is_floating_point() else x for x in self.tensors(samples))
        return self._called(half, given).to(samples.dtype)

    def _called(self, module: nn.Module, tensors: tuple[Tensor, ...]) -> Tensor:
        with torch.no_grad(), _failing(self.name, tensors):
            answer = taken(_answer(module, self.keywords, tensors), self.way)
        return _tensor(answer, self.name, self.way)

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
        model = getattr(self, ROOT)
        return _tensor(taken(_answer(model, self._keywords, tensors), self._way), type(model).__name__, self._way)


def called(
    model: nn.Module | Prepared,
    batch: Tensor,
    inputs: Inputs | None = None,
    output: str | None = None,
    booleans: frozenset[str] = frozenset(),
) -> Calling:
    """Find out how a model is called, and which of its answers is meant, by calling it on the first sample of a batch.

    Parameters
    ----------
    model : the module that is to be converted, as :func:`ecmt_deploy.conversion.preparing.prepare` makes it, or plain
    batch : packed samples (N, ..)
    inputs : the model's named inputs; ``None`` for one input of floating point that nobody named
    output : the name of the tensor that is meant (``logits``, ``hidden_states.3``, ``[0]``); ``None`` for the only floating
        one, or ``logits``
    booleans : names of the inputs that are passed as booleans, not as integers

    Raises
    ------
    DataError
        if the model's own code raises anything; the message says what, and where.
    CaptureError
        if it is not said which answer is meant, that is not of floating point, or a single sample's has other axes than that
        of several.
    """
    prepared = model if isinstance(model, Prepared) else Prepared(model, model, None)
    name, keywords = type(prepared.model).__name__, _keywords(prepared.model, inputs)
    with torch.no_grad(), _failing(name, _tensors(inputs, batch, booleans)):
        one, two = (_answer(prepared.given, keywords, _tensors(inputs, part, booleans)) for part in (batch[:1], batch[[0, 0]]))
    way = choose(name, one, two, output)
    answer, doubled = taken(one, way), taken(two, way)
    if not isinstance(doubled, Tensor) or answer.ndim != doubled.ndim:
        found = tuple(doubled.shape) if isinstance(doubled, Tensor) else type(doubled).__name__
        raise CaptureError(
            f"{name} answers one sample with shape {tuple(answer.shape)} and two with {found}; "
            "name the axis that squeeze() is to leave out"
        )
    return Calling(prepared, inputs, keywords, way, booleans)


@contextmanager
def _failing(name: str, tensors: tuple[Tensor, ...]) -> Iterator[None]:
    """Whatever the model's code raises in the block becomes one line that says what, and where in that code."""
    try:
        yield
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape[1:])) for x in tensors)
        reason = f"{type(error).__name__}: {said(error)}".rstrip(": ")
        raise DataError(
            f"{name} does not run on calibration samples of shape {shapes}: its code raises {reason}{place_in_code(error)}"
        ) from error


def _tensor(answer: Any, name: str, way: Way) -> Tensor:
    if not isinstance(answer, Tensor):
        raise CaptureError(f"{name} answers some samples with no {named(way)}; expected the same answer, whatever the values")
    return answer


def _answer(model: nn.Module, keywords: tuple[str | None, ...], tensors: tuple[Tensor, ...]) -> Any:
    given = list(zip(keywords, tensors, strict=True))
    return model(*(x for keyword, x in given if keyword is None), **{keyword: x for keyword, x in given if keyword})


def _tensors(inputs: Inputs | None, samples: Tensor, booleans: frozenset[str]) -> tuple[Tensor, ...]:
    if inputs is None:
        return (samples,)
    parts = inputs.unpack(samples)
    return tuple(_of_its_kind(entry, parts[entry.name], booleans) for entry in inputs)


def _of_its_kind(entry: NamedInput, values: Tensor, booleans: frozenset[str]) -> Tensor:
    """The numbers of an input as the model takes them: ids are integers, a mask integers or booleans."""
    if entry.holds == "values":
        return values
    return values.bool() if entry.name in booleans else values.long()


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
