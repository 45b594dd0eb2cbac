"""Traits that an op has to state: asking one that it does not is an error, and never a guess."""

from __future__ import annotations

import sys
from typing import Any

from ecmt_deploy.errors import ProgramError

#: the modules whose frames are not who asks
_OWN = (__name__, "ecmt_deploy.program.ops.base")


class MissingTraitError(ProgramError):
    """A reader asked an op for a trait that the op does not state."""


class Trait:
    """A trait that every op has to state; asking one that does not is an error."""

    def __init__(self, meaning: str) -> None:
        self.meaning = meaning

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, node: Any, owner: type) -> Any:
        missing(owner, self.name, self.meaning)


def missing(op: Any, name: str, meaning: str) -> Any:
    """Raise :class:`MissingTraitError`, naming the module that asks."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__") in _OWN:
        frame = frame.f_back
    reader, kind = frame.f_globals.get("__name__", "a reader"), getattr(op, "__name__", type(op).__name__)
    raise MissingTraitError(
        f"{reader} asks {kind} for its trait {name} ({meaning}), which it does not state; add {name} to the class"
    )


def trait(meaning: str) -> Any:
    """A :class:`Trait`, of whatever type those that state it give it."""
    return Trait(meaning)
