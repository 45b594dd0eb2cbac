"""Arguments that mean something in one use of a verb alone: in every other they are refused, and never silently left alone."""

from __future__ import annotations

from ecmt_deploy.errors import ConfigError, listed


def require_none(what: str, **given: object) -> None:
    """Refuse arguments that are for something else.

    Parameters
    ----------
    what : what they are for, such as ``a dataset by name``
    given : arguments by their name; what nobody gave is ``None``, or ``False`` of a flag

    Raises
    ------
    ConfigError
        if there is another.
    """
    if names := [name for name, value in given.items() if value is not None and value is not False]:
        verb, them = ("is", "it") if len(names) == 1 else ("are", "them")
        raise ConfigError(f"{listed(names)} {verb} for {what}; leave {them} out")


def unless(value: object, default: object) -> object:
    """``None`` for an argument that has its default, as if nobody had given it."""
    return None if value == default else value
