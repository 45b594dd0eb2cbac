"""What a model answers with: its floating tensors by name, and which of them is meant.

An answer is a tensor, or holds tensors in tuples, lists, mappings, dataclasses and any other object with fields, one inside
another. A tensor's name is the way to it: ``logits``, ``hidden_states.3``, ``[0]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn

from ecmt_deploy.errors import CaptureError

#: the way to a tensor inside an answer: keys, positions and names of fields; empty where the answer is the tensor
Way: TypeAlias = tuple[Any, ...]
#: the name that classifiers give to what is meant, where there are other tensors beside it
USUAL = "logits"
#: tensors that an error lists
_LISTED = 12


def named(way: Way) -> str:
    """The name of a way, as a caller writes it: ``hidden_states.3``, ``[0].logits``."""
    first = f"[{way[0]}]" if way and isinstance(way[0], int) else "".join(map(str, way[:1]))
    return ".".join([first, *map(str, way[1:])])


def taken(answer: Any, way: Way) -> Any:
    """What stands at the end of a way; ``None`` where this answer has nothing there."""
    for step in way:
        answer = dict(_fields(answer)).get(step)
    return answer


def choose(model: str, one: Any, two: Any, name: str | None) -> Way:
    """The way to the tensor that is meant.

    Parameters
    ----------
    model : what to call the model in messages
    one, two : its answers to one sample and to two, by which tensors are told that have an axis for samples
    name : the name of the tensor, or of what holds it alone; ``None`` for the only floating tensor that has an axis for
        samples, or ``logits`` where there are several

    Raises
    ------
    CaptureError
        if there is no such tensor, or there are several; these are listed with their shapes, N for the samples.
    """
    if isinstance(one, Tensor):
        if name is not None:
            raise CaptureError(f"{model} answers with one tensor, {_shown(one, two)}, and nothing in it is called {name!r}")
        _require_floating(model, "", one)
        return ()
    found = dict(_tensors(one))
    if name is not None:
        return _by_name(model, found, two, name)
    meant: dict[Way, Tensor] = {}
    for way, value in found.items():
        other = taken(two, way)
        per_sample = isinstance(other, Tensor) and value.shape != other.shape
        again = any(value is known for known in meant.values())  # one tensor under two names
        if value.is_floating_point() and per_sample and not again:
            meant[way] = value
    if (USUAL,) in meant:
        return (USUAL,)
    if not meant:
        listed = f": {_listed(found, two)}" if found else ""
        raise CaptureError(
            f"{model} answers with {type(one).__name__} that holds no floating tensor with an axis for samples{listed};"
            " expected logits or features"
        )
    if len(meant) > 1:
        raise CaptureError(
            f"{model} answers with {len(meant)} tensors: {_listed(meant, two)}; name the one that is meant,"
            f" output={named(next(iter(meant)))!r} (--output-name)"
        )
    return next(iter(meant))


def _by_name(model: str, found: dict[Way, Tensor], two: Any, name: str) -> Way:
    steps = _steps(name)
    exact = [way for way in found if _steps(named(way)) == steps]
    below = exact or [way for way in found if _steps(named(way))[: len(steps)] == steps and found[way].is_floating_point()]
    if len(below) == 1:
        _require_floating(model, f"{named(below[0])} of ", found[below[0]])
        return below[0]
    if below:
        listed = _listed({way: found[way] for way in below}, two)
        raise CaptureError(f"output {name!r} of {model} holds {len(below)} tensors: {listed}; name the one that is meant")
    listed = f"; there are {_listed(found, two)}" if found else ", nor any other tensor"
    raise CaptureError(f"{model} answers with nothing called {name!r}{listed}")


def _steps(name: str) -> list[str]:
    """A name taken apart: ``a[3].b``, ``a.3.b`` and ``a['3'].b`` are the same."""
    return [step.strip("'\"") for step in re.split(r"[.\[\]]+", name) if step]


def _require_floating(model: str, where: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point():
        raise CaptureError(f"{where}{model} answers with {tensor.dtype}; expected logits or features, floating point")


def _tensors(answer: Any, way: Way = (), inside: tuple[int, ...] = ()) -> Iterator[tuple[Way, Tensor]]:
    """Every tensor in an answer with the way to it, in order."""
    if isinstance(answer, Tensor):
        yield way, answer
    elif id(answer) not in inside:  # what holds itself is walked once
        for step, value in _fields(answer):
            yield from _tensors(value, (*way, step), (*inside, id(answer)))


def _fields(answer: Any) -> Iterator[tuple[Any, Any]]:
    """What an answer holds by key, position or name of a field; nothing where it is no container."""
    if isinstance(answer, Mapping):  # other libraries' outputs, too
        yield from answer.items()
    elif isinstance(answer, tuple) and hasattr(answer, "_fields"):
        yield from zip(answer._fields, answer, strict=True)
    elif isinstance(answer, list | tuple):
        yield from enumerate(answer)
    elif not isinstance(answer, type | Tensor | nn.Module):
        slots = (name for kind in type(answer).__mro__ for name in _listed_slots(kind) if hasattr(answer, name))
        yield from ((name, getattr(answer, name)) for name in slots)
        yield from getattr(answer, "__dict__", {}).items()


def _listed_slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    named_slots = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in named_slots if name not in ("__dict__", "__weakref__"))


def _listed(tensors: dict[Way, Tensor], two: Any) -> str:
    shown = [f"{named(way)} {_shown(value, taken(two, way))}" for way, value in tensors.items()]
    return ", ".join(shown[:_LISTED]) + (f", .. ({len(shown)} in all)" if len(shown) > _LISTED else "")


def _shown(one: Tensor, two: Any) -> str:
    """The shape of a tensor, N for its axis of samples, and its type where that is no floating one."""
    other = two.shape if isinstance(two, Tensor) and two.ndim == one.ndim else one.shape
    sizes = ["N" if (a, b) == (1, 2) else str(a) for a, b in zip(one.shape, other, strict=True)]
    shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
    return shape if one.is_floating_point() else f"{shape} {str(one.dtype).removeprefix('torch.')}"
