"""One error family: every failure a user can cause is an :class:`EcmtError` with a one-line message.

The message says what failed, where, what was expected, and how to mend it. The command line prints it and
exits with status 2; in Python it is an ordinary exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ecmt_deploy.untrusted.text import one_line

#: what no word and hardly a path is
_ENDLESS = re.compile(r"\S{500,}")
#: characters of a message, and of what a library said within it
_LONGEST, _REASON = 20_000, 300


class EcmtError(Exception):
    """Base of all errors that a user can cause and mend.

    Messages quote text from outside: whatever that holds, a message is one line without control characters.
    """

    def __init__(self, message: str = "") -> None:
        line = _ENDLESS.sub(lambda found: f"{found[0][:200]}..{found[0][-100:]}", one_line(message))
        super().__init__(line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..")


class ConfigError(EcmtError):
    """An option has a value that makes no sense (``timesteps=0``, an unknown preset)."""


class ModelError(EcmtError):
    """A model cannot be built, or weights do not belong to it."""


class DataError(EcmtError):
    """A dataset or an image is missing, empty, damaged or of the wrong shape."""


@dataclass(frozen=True)
class Refused:
    """One operation of a model that cannot be converted.

    Attributes
    ----------
    operation : the operation of torch, such as ``cumsum``
    module : path of the module whose code calls it; empty for the model itself
    place : file and line of that code; empty where nobody knows
    reason : why it cannot be converted
    """

    operation: str
    module: str
    place: str
    reason: str


class CaptureError(EcmtError):
    """A model cannot be turned into a graph of known operations.

    Attributes
    ----------
    refused : the operations that cannot be converted, one by one in the order of the model, where that is why
    """

    def __init__(self, message: str = "", refused: Sequence[Refused] = ()) -> None:
        super().__init__(message)
        self.refused = tuple(refused)


class ConversionError(EcmtError):
    """A captured model cannot be converted faithfully."""


class ProgramError(EcmtError):
    """A program, or the file that holds it, breaks a rule of the dialect."""


class HardwareError(EcmtError):
    """A hardware description is unknown, incomplete or malformed."""


class TargetError(EcmtError):
    """A target is not installed, cannot run a program, or failed while running it."""


class NotFiniteError(TargetError):
    """A run came to infinity or to no number: it has no meaning from there on, on any target.

    Parameters
    ----------
    node : the first node that such a value reaches
    dtype : what the run computes in
    """

    def __init__(self, node: str, dtype: object) -> None:
        super().__init__(
            f"node {node}: a value that reaches it is infinite or no number: the program divides by zero or leaves the range of"
            f" {str(dtype).removeprefix('torch.')}; run it in float64, or look for the layer with `ecmt-deploy trace`"
        )


class RunError(EcmtError):
    """A run directory is missing, incomplete or malformed."""


class ElsewhereError(EcmtError):
    """An evaluation on several processes failed, and another of them says why; this one is silent."""


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many there are where these are not all."""
    more = f", .. ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shown(value: object, most: int = 80) -> str:
    """A value of a file as an error shows it: of a long one, its beginning."""
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}.."


def plural(number: int, what: str) -> str:
    """A number of things with their name: ``1 core``, ``20 cores``, ``2 classes``, ``1,024 entries``."""
    if number == 1:
        return f"1 {what}"
    if re.search("[^aeiou]y$", what):
        return f"{number:,} {what[:-1]}ies"
    return f"{number:,} {what}{'es' if re.search('(s|x|ch|sh)$', what) else 's'}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:_REASON]


def said(error: BaseException) -> str:
    """What an error says, all its lines in one, cut where it says too much."""
    return " ".join(str(error).split())[:_REASON]


@contextmanager
def reading(error: type[EcmtError], what: str, mend: str) -> Iterator[None]:
    """Read bytes from outside: whatever the library beneath raises becomes ``error``, as ``what (reason); mend``.

    Libraries do not say what they raise where bytes are damaged, and no list of it stays complete; so only calls of such a
    library belong into the block.
    """
    try:
        yield
    except EcmtError:
        raise
    except Exception as failure:
        reason = one_line(getattr(failure, "strerror", None) or str(failure) or type(failure).__name__)
        raise error(f"{what} ({reason[:_REASON]}); {mend}") from failure
