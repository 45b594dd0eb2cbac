"""Which of several processes this is, as torchrun says it in the environment. Loads no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NoReturn

from ecmt_deploy.errors import ConfigError, ElsewhereError

_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_PLACE = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """A process among those of one evaluation.

    Attributes
    ----------
    rank, size : it is number ``rank``, from 0, of ``size``; number 0 prints and writes
    local : its number on its machine: which of the machine's GPUs is its own
    launched : whether torchrun started it
    """

    rank: int
    size: int
    local: int
    launched: bool


def place() -> Place:
    """Where this process stands; alone, unless the environment holds all that torchrun sets.

    Raises
    ------
    ConfigError
        if it holds something else than torchrun sets.
    """
    if not all(name in os.environ for name in (*_NUMBERS, *_PLACE)):
        return Place(0, 1, 0, launched=False)
    try:
        rank, size, local = (int(os.environ[name]) for name in _NUMBERS)
    except ValueError:
        said = ", ".join(f"{name}={os.environ[name]!r}" for name in _NUMBERS)
        raise ConfigError(f"the environment says {said}, expected numbers as torchrun sets them; unset them") from None
    if not (0 <= rank < size and local >= 0):
        raise ConfigError(f"the environment says RANK={rank} of WORLD_SIZE={size}; start with torchrun, or unset them")
    return Place(rank, size, local, launched=True)


def refuse(message: str) -> NoReturn:
    """Fail with what every process finds wrong by itself; one of them says it."""
    raise ConfigError(message) if place().rank == 0 else ElsewhereError(message)
